// The page's entry: styles, theme, app.
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import { App } from './app.tsx';
import './styles/base.css';
import './styles/layout.css';
import './styles/controls.css';
import './styles/matrix.css';
import { followTheme } from './theme.ts';

followTheme();
const root = document.getElementById('app');
if (root === null) throw new Error('index.html has no #app');
render(<App />, root);

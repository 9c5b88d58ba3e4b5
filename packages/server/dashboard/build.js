// `vite build` that minds no further arguments: the workspace builds all packages with one command, and its flags are tsup's.
import { build } from 'vite';

await build();

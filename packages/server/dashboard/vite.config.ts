// Builds the page into the server package, which publishes it with itself. Nothing is inlined: the page's policy allows files only.
import preact from '@preact/preset-vite';
import { defineConfig } from 'vite';

export default defineConfig({
  base: '/admin/',
  plugins: [preact({ reactAliasesEnabled: false, devToolsEnabled: false })],
  logLevel: 'warn',
  build: {
    outDir: '../dist/dashboard',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The SDK is in it whole: one file that a browser keeps for ever.
    chunkSizeWarningLimit: 1000,
  },
});

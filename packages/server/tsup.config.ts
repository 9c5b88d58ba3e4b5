// Builds the gateway: the process (main), the library (index) and the in-process gateway for tests (testing).
// The contract is inlined because it is not published; every other dependency stays a dependency.
import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts', 'src/main.ts', 'src/testing.ts'],
  format: ['esm'],
  target: 'node20',
  platform: 'node',
  tsconfig: '../../tsconfig.json',
  // The page is built by its own package, into a folder of ours.
  clean: ['!dashboard/**'],
  silent: true,
  sourcemap: true,
  splitting: true,
  noExternal: ['@mcp-valet/shared'],
  dts: {
    entry: ['src/index.ts', 'src/testing.ts'],
    // `paths` makes the contract's types part of our own declarations; `customConditions` goes, so that they come from its build.
    compilerOptions: {
      ignoreDeprecations: '6.0',
      customConditions: [],
      paths: { '@mcp-valet/shared': ['../shared/dist/index.d.ts'] },
    },
  },
});

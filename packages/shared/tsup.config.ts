// Builds the contract for the other packages of the workspace. It is private: the client and the gateway inline it.
import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts'],
  format: ['esm'],
  target: 'node20',
  platform: 'neutral',
  tsconfig: '../../tsconfig.json',
  clean: true,
  silent: true,
  dts: { compilerOptions: { ignoreDeprecations: '6.0' } },
});

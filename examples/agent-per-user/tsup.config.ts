// Builds the story to one file that plain Node runs; the workspace packages stay imports, as they are for a user.
import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/main.ts'],
  format: ['esm'],
  target: 'node20',
  tsconfig: '../../tsconfig.json',
  clean: true,
  silent: true,
});

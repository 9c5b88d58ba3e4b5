// The everything-upstream over stdio as one plain file, so that it starts in a fraction of the time that a TypeScript loader takes: a process
// is started for every session. Removed by its maker.
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';
import type { Era } from './server.ts';

export interface EverythingBundle {
  /** An entry of a catalogue of local servers. */
  entry(eras?: readonly Era[]): { command: string; args: string[]; files: string[] };
  remove(): Promise<void>;
}

export async function bundleEverything(): Promise<EverythingBundle> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'everything-')));
  await build({
    entry: { everything: fileURLToPath(new URL('./stdio.ts', import.meta.url)) },
    outDir: folder,
    format: 'esm',
    target: 'node20',
    platform: 'node',
    outExtension: () => ({ js: '.mjs' }),
    noExternal: [/.*/],
    // What is CommonJS inside asks for Node's own modules with `require`.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    config: false,
    tsconfig: fileURLToPath(new URL('../../../tsconfig.json', import.meta.url)),
    silent: true,
  });
  return {
    entry: (eras = ['legacy', 'modern']) => ({
      command: process.execPath,
      args: [join(folder, 'everything.mjs'), ...(eras.length === 1 ? [`--eras=${eras[0]}`] : [])],
      files: [folder],
    }),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

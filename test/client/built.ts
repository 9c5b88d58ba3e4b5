// The SDK as it is published, for suites about answers that no gateway of ours gives: the build leaves parts of the contract out, and what only the
// sources know would be missing there. Needs a build (`npm test` makes one).
import { existsSync } from 'node:fs';
import { root } from '../repo/workspace.ts';

const entry = `${root}packages/client/dist/index.js`;
if (!existsSync(entry)) throw new Error('packages/client is not built: run `npm run build`');

export const built = (await import(/* @vite-ignore */ entry)) as typeof import('@mcp-valet/client');

// The command line that starts the everything-upstream over stdio, for tests and connectors that spawn it.
// Must not start anything itself.
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Era } from './server.ts';

export function everythingStdio(options: { readonly eras?: readonly Era[] } = {}): { command: string; args: string[] } {
  // A child process inherits no loader, so TypeScript needs one named here.
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const args = ['--import', tsx, fileURLToPath(new URL('./stdio.ts', import.meta.url))];
  if (options.eras?.length === 1) args.push(`--eras=${options.eras[0]}`);
  return { command: process.execPath, args };
}

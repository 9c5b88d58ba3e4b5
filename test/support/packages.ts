// Says what a run of the tests leaves out because a program is missing on this machine, and what to install. Last, where it is read.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const programs = [
  {
    name: 'bwrap',
    without:
      'local servers were tested without their sandbox; install bubblewrap to test it (apt-get install bubblewrap)',
  },
];

function isInstalled(name: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      // Not in this folder.
      return false;
    }
  });
}

/** Called by vitest before anything runs; what it returns is called after everything ran. */
export function setup(): () => void {
  const missing = programs.filter(({ name }) => !isInstalled(name));
  return () => {
    for (const { name, without } of missing) process.stderr.write(`npm test: ${name} is missing: ${without}\n`);
  };
}

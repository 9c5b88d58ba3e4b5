// The lockfile installs the same bytes everywhere: integrity for each package, and no address of whoever wrote it.
import { expect, it } from 'vitest';
import { read } from './workspace.ts';

const lockfile = read('pnpm-lock.yaml');

it('names no address', () => {
  expect(lockfile.match(/tarball:|https?:\/\/|git\+/g)).toBeNull();
});

it('has an integrity for each package', () => {
  const resolutions = lockfile.match(/^ {4}resolution: .*$/gm) ?? [];
  expect(resolutions.length).toBeGreaterThan(100);
  expect(resolutions.filter((line) => !/resolution: \{integrity: sha512-[\w+/=]+\}/.test(line))).toEqual([]);
});

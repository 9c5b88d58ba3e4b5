// One gateway per embedded database: a lock on `<dir>.lock` that the kernel holds for this process and drops when it dies, however it dies.
// Never decided by a process id or an age: two writers on one directory lose rows without an error (electric-sql/pglite#1106).
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, realpath, statfs } from 'node:fs/promises';

export interface DirectoryLock {
  release(): void;
}

export class DirectoryLocked extends Error {
  override readonly name = 'DirectoryLocked';
}

/** Kernel locks on these do not reach the other machines: NFS, SMB 1 and 2, CIFS. */
const networkFileSystems = new Set([0x6969, 0x517b, 0xfe534d42, 0xff534d42]);

export async function lockDirectory(dir: string): Promise<DirectoryLock> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  // Two spellings or a symbolic link of one directory must meet in one lock file.
  const real = await realpath(dir);
  if (networkFileSystems.has((await statfs(real)).type)) {
    throw new DirectoryLocked(
      `The data directory ${real} is on a network file system, where it cannot be locked safely. Use a local disk or PostgreSQL.`,
    );
  }
  const file = openSync(`${real}.lock`, 'a', 0o600);
  // The child locks our open file description and exits; the lock stays with our descriptor, which no other child inherits.
  const flock = spawnSync('flock', ['-n', '3'], { stdio: ['ignore', 'ignore', 'ignore', file] });
  if (flock.status === 0) {
    let isOpen = true;
    return {
      release: () => {
        if (isOpen) closeSync(file);
        isOpen = false;
      },
    };
  }
  closeSync(file);
  if (flock.error) {
    throw new DirectoryLocked(
      `The data directory ${real} cannot be locked: the program "flock" did not start (${(flock.error as NodeJS.ErrnoException).code}). Install util-linux (Linux) or flock (macOS: brew install flock), or use PostgreSQL.`,
    );
  }
  throw new DirectoryLocked(
    `The data directory ${real} is in use by another gateway. Stop that one, or choose another directory in DATABASE_URL.`,
  );
}

// Where a database lies, as far as the engine itself cannot tell a copy from the original.
import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { PgliteTarget } from './pglite.ts';

/**
 * An embedded database: the file that is written once, when the directory is made. Memory is a new place each time. PostgreSQL (no target): the
 * server's catalogue says enough.
 */
export function placeOf(target: PgliteTarget | undefined): string {
  if (target === undefined) return '';
  if (target.dir === undefined) return randomUUID();
  const { ino, birthtimeMs } = statSync(join(target.dir, 'PG_VERSION'));
  return `${ino}.${Math.floor(birthtimeMs)}`;
}

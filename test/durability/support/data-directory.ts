// An embedded database in a directory that outlives the process which serves it, unpacked from the migrated template: making one anew costs
// many seconds of processor time per test.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openTestDatabase, type TestDatabase } from '../../support/database.ts';

export interface DirectoryDatabase extends TestDatabase {
  dir: string;
}

export async function openDirectory(): Promise<DirectoryDatabase> {
  const template = await openTestDatabase('pglite');
  const file = new URLSearchParams(template.url.slice(template.url.indexOf('?') + 1)).get('from') ?? '';
  const folder = mkdtempSync(join(tmpdir(), 'valet-directory-'));
  const dir = join(folder, 'data');
  mkdirSync(dir, { mode: 0o700 });
  const tar = spawnSync('tar', ['-xf', file, '-C', dir], { encoding: 'utf8' });
  if (tar.status !== 0) throw new Error(`the template was not unpacked: ${tar.stderr}`);
  return {
    kind: 'pglite',
    url: `pglite:${dir}`,
    dir,
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

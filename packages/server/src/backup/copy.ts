// Makes a backup of a database, and fills an empty one from a backup or from another database: one way for both engines and in every direction.
//
// Guarantee: a backup is of one moment; a database is filled as a whole or not at all, and only after the master key was proven on what is to be
// loaded. What was revoked stays revoked. The filled database begins a new segment of the journal, so that idempotency keys of before are not
// believed, and its trail goes on behind the last place, so that verification covers both sides.
// Failure: kill -9 leaves an empty database, or a file that its last line does not confirm.
import { defaultAccountName, findAccountByName, withinAccount } from '../accounts/store.ts';
import { recordEvent, systemAccount } from '../audit/record.ts';
import type { KeyProvider } from '../crypto/key-provider.ts';
import type { Database } from '../db/client.ts';
import { isUsed, type Reading, readAll, type Writing, writeAll } from '../db/copy.ts';
import { migrate } from '../db/migrate.ts';
import { installationScope, withScope } from '../db/scope.ts';
import {
  BackupError,
  type BackupHeader,
  type BackupSource,
  backupFormat,
  proveMasterKey,
  rowLine,
  summing,
} from './format.ts';

export type Progress = (table: string, rows: number) => void;

const keyTables = ['installation', 'master_keys', 'keyring'] as const;

async function headerOf(db: Database, reading: Reading, gateway: string): Promise<BackupHeader> {
  const keys: BackupHeader['keys'] = { installation: [], master_keys: [], keyring: [] };
  for (const table of keyTables)
    for await (const rows of reading.rows(table))
      keys[table].push(...rows.map((row) => JSON.parse(row) as Record<string, unknown>));
  if (keys.installation.length === 0)
    throw new BackupError('No gateway has used this database yet: there is nothing to copy.');
  const { migrations, tables } = reading;
  const createdAt = new Date().toISOString();
  return { format: backupFormat, gateway, createdAt, engine: db.kind, migrations, tables, keys };
}

/** Answers how many rows of each table were written. */
export function backUp(
  db: Database,
  gateway: string,
  write: (text: string) => Promise<void>,
  progress: Progress,
): Promise<Record<string, number>> {
  return readAll(db, async (reading) => {
    const header = await headerOf(db, reading, gateway);
    const sum = summing();
    await write(sum.line(JSON.stringify(header)));
    for (const table of header.tables) {
      let count = 0;
      for await (const rows of reading.rows(table)) {
        await write(rows.map((row) => sum.line(rowLine(table, row), table)).join(''));
        count += rows.length;
        progress(table, count);
      }
    }
    const end = sum.end();
    await write(`${JSON.stringify(end)}\n`);
    return end.rows;
  });
}

/** Another database as it is now. `work` gets it while it is read. */
export function copyFrom<T>(db: Database, gateway: string, work: (source: BackupSource) => Promise<T>): Promise<T> {
  return readAll(db, async (reading) => {
    const header = await headerOf(db, reading, gateway);
    return work({
      header,
      async *batches() {
        for (const table of header.tables) for await (const rows of reading.rows(table)) yield { table, rows };
      },
    });
  });
}

/** What was alive later than the backup: keys and users that are not in it were ended since. */
export interface Living {
  keys: readonly string[];
  users: readonly string[];
}

export interface RestoreOptions {
  source: BackupSource;
  provider: KeyProvider | undefined;
  /** Opens the database to fill; asked for only when the master key was proven. */
  open: () => Promise<Database>;
  /** `keep`: every key as the backup has it. `revoke`: none may sign in any more. */
  keys: 'keep' | 'revoke' | Living;
  /** For the event. */
  from: 'backup' | 'database';
  progress: Progress;
}

export async function restore(options: RestoreOptions): Promise<Record<string, number>> {
  const { source, provider, progress } = options;
  await proveMasterKey(source.header, provider);
  const db = await options.open();
  try {
    if (await isUsed(db))
      throw new BackupError('The database is not empty. Give an empty one: nothing is ever written over.');
    await migrate(db, source.header.migrations);
    const counts: Record<string, number> = {};
    await writeAll(db, source.header.tables, async (writing) => {
      for await (const { table, rows } of source.batches()) {
        await writing.write(table, rows);
        counts[table] = (counts[table] ?? 0) + rows.length;
        progress(table, counts[table]);
      }
      await endWhatEnded(writing, options.keys);
    });
    await migrate(db);
    await tell(db, options);
    return counts;
  } finally {
    await db.close();
  }
}

const listed = (ids: readonly string[]): string =>
  `(select value from json_array_elements_text('${JSON.stringify(ids).replaceAll("'", "''")}'::json))`;

async function endWhatEnded({ run }: Writing, keys: RestoreOptions['keys']): Promise<void> {
  if (keys === 'keep') return;
  if (keys === 'revoke') {
    await run('update api_keys set revoked_at = now() where revoked_at is null');
    return;
  }
  await run(`update api_keys set revoked_at = now() where revoked_at is null and id not in ${listed(keys.keys)};
    update users set enabled = false where enabled and id not in ${listed(keys.users)}`);
}

async function tell(db: Database, { source, keys, from }: RestoreOptions): Promise<void> {
  await withScope(db, installationScope, async (tx) => {
    const account = (await findAccountByName(tx, defaultAccountName))?.id ?? systemAccount;
    const details = {
      from,
      made_at: source.header.createdAt,
      engine: source.header.engine,
      keys: typeof keys === 'string' ? keys : 'living',
    };
    await withinAccount(tx, account, '*', () =>
      recordEvent(tx, { accountId: account, actor: null, action: 'database.restore', outcome: 'ok', details }),
    );
  });
}

/** What is alive now. Small, and made often: it is what a restore of an older backup has to respect. */
export function living(db: Database): Promise<Living & { createdAt: string }> {
  return readAll(db, async (reading) => {
    const alive = async (table: string, isAlive: (row: Record<string, unknown>) => boolean): Promise<string[]> => {
      const ids: string[] = [];
      for await (const rows of reading.rows(table))
        for (const text of rows) {
          const row = JSON.parse(text) as Record<string, unknown>;
          if (isAlive(row)) ids.push(String(row['id']));
        }
      return ids;
    };
    return {
      createdAt: new Date().toISOString(),
      keys: await alive('api_keys', (row) => row['revoked_at'] === null),
      users: await alive('users', (row) => row['enabled'] === true),
    };
  });
}

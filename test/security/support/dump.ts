// Everything that a gateway's database holds, as text, read past row-level security: the oracle searches it. Read-only.
import postgres from 'postgres';
import type { Database } from '../../../packages/server/src/db/client.ts';
import { internalsOf } from '../../../packages/server/src/db/client.ts';
import { superuserUrl, type TestDatabase } from '../../support/database.ts';

type Rows = Record<string, unknown>[];
export type Reader = (text: string) => Promise<Rows>;

/** Runs `work` with a reader that no policy restricts. Bytes come as `\x…` text. */
export async function withReader<T>(
  database: TestDatabase,
  db: Database,
  work: (read: Reader) => Promise<T>,
): Promise<T> {
  if (database.kind === 'pglite') {
    return internalsOf(db).driver.asOwner((owner) => owner.transaction((run) => work(run)));
  }
  const sql = postgres(await superuserUrl(database), { max: 1, onnotice: () => undefined });
  try {
    return await work(async (text) => [...(await sql.unsafe(text))]);
  } finally {
    await sql.end();
  }
}

export const tables = [
  'accounts',
  'api_keys',
  'audit_events',
  'calls',
  'claims',
  'connectors',
  'credentials',
  'data_keys',
  'installation',
  'keyring',
  'secrets',
  'servers',
  'users',
] as const;

/** Every row of every table, one line each. */
export async function dumpTables(read: Reader, names: readonly string[] = tables): Promise<string[]> {
  const lines: string[] = [];
  for (const name of names) {
    for (const row of await read(`select to_jsonb(t)::text as line from ${name} t order by 1`))
      lines.push(`${name} ${String(row['line'])}`);
  }
  return lines;
}

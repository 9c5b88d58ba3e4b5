// Reads and writes whole tables as text, for backups: in one transaction of the schema's owner, so that what is read is of one moment and what is
// written is there as a whole or not at all. Knows no table by name but those that are not copied; which file it becomes is `backup/`'s to know.
import { type Database, internalsOf } from './client.ts';
import { continueTrail } from './continue-trail.ts';
import type { Row } from './driver.ts';
import { takeMigrationLock } from './migrate.ts';

type Run = (script: string) => Promise<Row[]>;

/** Of this database, of running processes or of a browser that is signed in now: they mean nothing elsewhere or later. */
const notCopied = new Set(['valet_migrations', 'master_key_holders', 'replicas', 'rate_windows', 'dashboard_sessions']);

export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const rowsPerRead = 500;
const enter = (task: string): string =>
  `set local role valet_app; select set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true), set_config('valet.task', '${task}', true)`;

export interface MigrationMark {
  tag: string;
  hash: string;
}

export interface Reading {
  migrations: MigrationMark[];
  tables: string[];
  /** Rows as JSON texts, in batches. */
  rows(table: string): AsyncGenerator<string[]>;
}

/** `work` sees one moment of the database. Gateways go on beside it. */
export function readAll<T>(db: Database, work: (reading: Reading) => Promise<T>): Promise<T> {
  return internalsOf(db).driver.asOwner((owner) =>
    owner.transaction(async (run) => {
      await run('set transaction isolation level repeatable read, read only');
      const migrations = await appliedMigrations(run);
      const tables = await copiedTables(run);
      await run(enter('backup'));
      return work({
        migrations,
        tables,
        async *rows(table) {
          await run(`declare copied no scroll cursor for select row_to_json(t)::text as row from ${quoted(table)} t`);
          for (;;) {
            const batch = await run(`fetch ${rowsPerRead} from copied`);
            if (batch.length === 0) break;
            yield batch.map((row) => row['row'] as string);
          }
          await run('close copied');
        },
      });
    }),
  );
}

async function appliedMigrations(run: Run): Promise<MigrationMark[]> {
  const [there] = await run("select to_regclass('public.valet_migrations') is not null as yes");
  if (there?.['yes'] !== true) return [];
  return (await run('select tag, hash from valet_migrations order by tag')) as unknown as MigrationMark[];
}

/** Parents before children. A table that would be read as empty, because no policy lets a backup read it, is an error. */
async function copiedTables(run: Run): Promise<string[]> {
  const rows =
    await run(`select c.relname as name, exists (select from pg_policies p where p.schemaname = 'public' and p.tablename = c.relname
      and p.policyname = 'backup') or not c.relrowsecurity as readable,
    coalesce((select json_agg(distinct p.relname) from pg_constraint k join pg_class p on p.oid = k.confrelid
      where k.conrelid = c.oid and k.contype = 'f' and p.oid <> c.oid)::text, '[]') as parents
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by c.relname collate "C"`);
  const left = new Map<string, string[]>();
  for (const row of rows) {
    const name = row['name'] as string;
    if (notCopied.has(name)) continue;
    if (row['readable'] !== true)
      throw new CopyRefused(
        `The table ${name} has no policy that lets a backup read it: this version cannot back it up.`,
      );
    left.set(name, JSON.parse(row['parents'] as string) as string[]);
  }
  const ordered: string[] = [];
  while (left.size > 0) {
    const ready = [...left].filter(([, parents]) => parents.every((parent) => !left.has(parent))).map(([name]) => name);
    if (ready.length === 0) throw new CopyRefused('The tables refer to each other in a circle.');
    for (const name of ready) left.delete(name);
    ordered.push(...ready);
  }
  return ordered;
}

export interface Writing {
  write(table: string, rows: readonly string[]): Promise<void>;
  run: Run;
}

/** Whether anything has been stored. Also true where the tables are of no version of ours. */
export function isUsed(db: Database): Promise<boolean> {
  return internalsOf(db).driver.asOwner((owner) =>
    owner.transaction(async (run) => {
      const [found] = await run(
        "select to_regclass('public.valet_migrations') is not null as ours, count(*)::int as n from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'",
      );
      if (found?.['ours'] !== true) return Number(found?.['n']) > 0;
      await run(enter('backup'));
      const [used] = await run('select exists (select from installation) or exists (select from accounts) as yes');
      return used?.['yes'] === true;
    }),
  );
}

/** Fills an empty, migrated database; all or nothing. `work` writes, parents before children. */
export function writeAll(
  db: Database,
  tables: readonly string[],
  work: (writing: Writing) => Promise<void>,
): Promise<void> {
  return internalsOf(db).driver.asOwner((owner) =>
    owner.transaction(async (run) => {
      await takeMigrationLock(run);
      const here = new Set(await copiedTables(run));
      for (const table of tables)
        if (!here.has(table)) throw new CopyRefused(`The backup has a table ${table} that this version does not know.`);
      // The owner is bound by the walls too, and triggers would refuse rows that carry another database's places. Both come back before the commit.
      for (const table of here)
        await run(`alter table ${quoted(table)} no force row level security, disable trigger user`);
      await work({
        run,
        write: async (table, rows) => {
          const name = quoted(table);
          await run(`insert into ${name} overriding system value
            select * from json_populate_recordset(null::${name}, ${literal(`[${rows.join(',')}]`)}::json)`);
        },
      });
      for (const table of here) await run(`alter table ${quoted(table)} force row level security, enable trigger user`);
      await run(countOn);
      await run(newEpoch);
      await continueTrail(run, { isCopy: true });
    }),
  );
}

/** Numbers go on after the highest that was written. */
const countOn = `do $$ declare c record; n bigint; begin
  for c in select t.relname as tab, a.attname as col, pg_get_serial_sequence(quote_ident(t.relname), a.attname) as seq
    from pg_class t join pg_attribute a on a.attrelid = t.oid and a.attidentity <> '' where t.relnamespace = 'public'::regnamespace loop
    execute format('alter table %I no force row level security', c.tab);
    execute format('select coalesce(max(%I), 0) from %I', c.col, c.tab) into n;
    execute format('alter table %I force row level security', c.tab);
    perform setval(c.seq, greatest(n, 1), n > 0);
  end loop;
  alter table calls no force row level security;
  select coalesce(max(outcome_seq), 0) into n from calls;
  alter table calls force row level security;
  perform setval('calls_outcome_seq', greatest(n, 1), n > 0);
end $$`;

/** A place that no database has: whoever asks next begins a new segment, also in the database that the backup came from. */
const newEpoch = `alter table epochs no force row level security;
  insert into epochs (epoch, place) values (replace(gen_random_uuid()::text, '-', ''), 'restored ' || now());
  alter table epochs force row level security`;

// Brings a database to this version: the request role, then each migration in a transaction of its own, under a lock that any number of starting
// replicas share. Runs with the owner's login; answers what was applied and what an operator should be warned about.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Database, internalsOf } from './client.ts';
import { continueTrail } from './continue-trail.ts';
import type { OwnerSession, Row } from './driver.ts';
import { DatabaseError, DatabaseUnavailable } from './errors.ts';

export interface MigrationReport {
  applied: string[];
  warnings: string[];
}

/** The database is not one this version can run on. The start must end. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

type Run = (script: string) => Promise<Row[]>;

/** Any constant: one number per product, so that two products in one database do not wait for each other. */
const lockKey = 7_201_925_313;

/** `through`: only as far as a backup goes that is to be loaded; its migrations must be ours. */
export async function migrate(
  db: Database,
  through?: readonly { tag: string; hash: string }[],
): Promise<MigrationReport> {
  const { driver } = internalsOf(db);
  return driver.asOwner(async (owner) => {
    const applied: string[] = [];
    await retried(() => owner.transaction((run) => ensureRole(run, owner)));
    const all = migrations();
    for (const { tag, hash } of through ?? [])
      if (!all.some((known) => known.tag === tag && known.hash === hash))
        throw new MigrationError(
          `Migration ${tag} is not of this version of the gateway. Use the one that made the backup, or a newer one.`,
        );
    for (const migration of through === undefined ? all : all.slice(0, through.length)) {
      const ran = await owner.transaction(async (run) => {
        await takeMigrationLock(run);
        return applyOnce(run, migration);
      });
      if (ran) applied.push(migration.tag);
    }
    if (through === undefined)
      await owner.transaction(async (run) => {
        await takeMigrationLock(run);
        await continueTrail(run, { isCopy: false });
      });
    return { applied, warnings: await owner.transaction((run) => findWarnings(run, db.kind, owner)) };
  });
}

/** What `migrate` would apply, and what it would warn about. Changes nothing. */
export async function inspectDatabase(
  db: Database,
): Promise<{ isEmpty: boolean; pending: string[]; warnings: string[] }> {
  return internalsOf(db).driver.asOwner((owner) =>
    owner.transaction(async (run) => {
      const [table] = await run("select to_regclass('valet_migrations') is not null as there");
      const rows = table?.there === true ? await run('select tag from valet_migrations') : [];
      const applied = new Set(rows.map((row) => row.tag));
      const pending = migrations().flatMap(({ tag }) => (applied.has(tag) ? [] : [tag]));
      return { isEmpty: applied.size === 0, pending, warnings: await findWarnings(run, db.kind, owner) };
    }),
  );
}

interface Migration {
  tag: string;
  script: string;
  hash: string;
}

function migrations(): Migration[] {
  const folder = migrationsFolder();
  const journal = JSON.parse(readFileSync(join(folder, 'meta/_journal.json'), 'utf8')) as {
    entries: { tag: string }[];
  };
  return journal.entries.map(({ tag }) => {
    const script = readFileSync(join(folder, `${tag}.sql`), 'utf8');
    return { tag, script, hash: createHash('sha256').update(script).digest('hex') };
  });
}

/** The same folder from the sources (src/db) and from the bundle (dist). */
export function migrationsFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < 4; up++) {
    const candidate = join(folder, 'migrations');
    if (existsSync(join(candidate, 'meta/_journal.json'))) return candidate;
    folder = dirname(folder);
  }
  throw new MigrationError('The migrations folder is missing from this installation.');
}

export async function takeMigrationLock(run: Run): Promise<void> {
  // Waiting for another replica's migration may take longer than any lock a migration itself should wait for.
  await run(`set local lock_timeout = '60s'; select pg_advisory_xact_lock(${lockKey}); set local lock_timeout = '2s'`);
}

async function applyOnce(run: Run, { tag, script, hash }: Migration): Promise<boolean> {
  await run(
    'create table if not exists valet_migrations (tag text primary key, hash text not null, applied_at timestamptz not null default now())',
  );
  const [row] = await run(`select hash from valet_migrations where tag = '${tag}'`);
  if (row) {
    if (row.hash !== hash)
      throw new MigrationError(
        `Migration ${tag} was applied with another content. A released migration is never edited.`,
      );
    return false;
  }
  await run(script);
  await run(`insert into valet_migrations (tag, hash) values ('${tag}', '${hash}')`);
  return true;
}

/** Roles belong to the cluster: another database may have made it, or be making it right now. */
async function ensureRole(run: Run, owner: OwnerSession): Promise<void> {
  await takeMigrationLock(run);
  const [login] = await run('select current_user as name');
  const name = String(login?.name);
  const help = `As an administrator run: create role valet_app nologin; grant valet_app to ${quoted(owner.servingLogin ?? name)};`;
  try {
    await run(`do $$ begin
      if not exists (select from pg_roles where rolname = 'valet_app') then create role valet_app nologin noinherit; end if;
    exception when duplicate_object or unique_violation then null; end $$`);
    for (const member of new Set([name, owner.servingLogin ?? name])) {
      // Since version 16 whoever made the role is a member that may grant it but not enter it.
      const [has] = await run(`select pg_has_role(${literal(member)}, 'valet_app',
        case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end) as yes`);
      if (has?.yes !== true) await run(`grant valet_app to ${quoted(member)}`);
    }
  } catch (error) {
    if (sqlState(error) === '42501')
      throw new MigrationError(`The login ${name} may not set up the role valet_app. ${help}`, { cause: error });
    throw error;
  }
  const [role] = await run(
    "select rolsuper or rolbypassrls or rolcreaterole as strong from pg_roles where rolname = 'valet_app'",
  );
  if (role?.strong !== false)
    throw new MigrationError('The role valet_app must not be a superuser, bypass row-level security or create roles.');
}

async function findWarnings(run: Run, kind: Database['kind'], owner: OwnerSession): Promise<string[]> {
  if (kind === 'pglite')
    return ['The embedded database does not survive a power loss or kernel crash. Use PostgreSQL where that matters.'];
  const login = owner.servingLogin === undefined ? 'current_user' : literal(owner.servingLogin);
  const [row] =
    await run(`select rolname as name, rolsuper as super, rolbypassrls as bypass, current_setting('server_version_num')::int as version,
    current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit from pg_roles where rolname = ${login}`);
  if (!row) throw new MigrationError('The login that serves requests does not exist on this server.');
  if (Number(row.version) < 140_000) throw new MigrationError('PostgreSQL 14 or newer is needed.');
  const warnings: string[] = [];
  if (row.super)
    warnings.push(
      `The database login ${String(row.name)} is a superuser. Use one that only owns this database: row-level security does not bind a superuser.`,
    );
  else if (row.bypass)
    warnings.push(`The database login ${String(row.name)} bypasses row-level security. Use one without BYPASSRLS.`);
  if (row.fsync !== 'on' || row.commit === 'off')
    warnings.push('fsync or synchronous_commit is off: acknowledged writes can be lost on a power failure.');
  return warnings;
}

/** Two databases of one cluster that start together can collide on the role's row ("tuple concurrently updated"). */
async function retried(work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 5 || !['XX000', '40P01', '23505'].includes(sqlState(error) ?? '')) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50 * attempt));
    }
  }
}

function sqlState(error: unknown): string | undefined {
  if (error instanceof DatabaseError || error instanceof DatabaseUnavailable) return error.code;
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

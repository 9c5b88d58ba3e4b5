// A migrated, empty database per caller, on either engine: cloned from a template, so that opening costs milliseconds and not a migration.
// PostgreSQL is reached with a login that owns its database and is no superuser: what row-level security lets through here, it lets through in production.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { internalsOf, openDatabase } from '../../packages/server/src/db/client.ts';
import { migrate, migrationsFolder } from '../../packages/server/src/db/migrate.ts';
import type { PgliteDriver } from '../../packages/server/src/db/pglite.ts';
import { adminUrl } from './cluster.ts';

export type DatabaseKind = 'pglite' | 'postgres';

export interface TestDatabase {
  kind: DatabaseKind;
  /** For openDatabase or DATABASE_URL. Migrated; no account in it. */
  url: string;
  close(): Promise<void>;
}

/** For `describe.each(testDatabases())('… on $kind', ({ open }) => …)`. */
export function testDatabases(): { kind: DatabaseKind; open: () => Promise<TestDatabase> }[] {
  return (['pglite', 'postgres'] as const).map((kind) => ({ kind, open: () => openTestDatabase(kind) }));
}

export async function openTestDatabase(kind: DatabaseKind): Promise<TestDatabase> {
  return kind === 'pglite' ? openPglite() : clonePostgres({ migrated: true });
}

/** A PostgreSQL database without any table, owned by the unprivileged login: for tests of migration and first start. */
export function openEmptyPostgres(): Promise<TestDatabase> {
  return clonePostgres({ migrated: false });
}

/** The same, reached as a superuser: only for tests of what a gateway says to that. */
export async function superuserUrl(database: TestDatabase): Promise<string> {
  return urlFor(await adminUrl(), undefined, new URL(database.url).pathname.slice(1));
}

async function openPglite(): Promise<TestDatabase> {
  const from = await pgliteTemplate();
  return { kind: 'pglite', url: `pglite:memory?from=${encodeURIComponent(from)}`, close: async () => undefined };
}

const templatePrefix = 'mcp-valet-test-';
let template: Promise<string> | undefined;
function pgliteTemplate(): Promise<string> {
  template ??= makePgliteTemplate();
  return template;
}

/** One dump per set of migrations and version of PGlite, kept between runs. Written beside and renamed: a half file is never read. */
async function makePgliteTemplate(): Promise<string> {
  const file = join(tmpdir(), `${templatePrefix}${migrationsHash()}.tar`);
  if (existsSync(file)) return file;
  for (const name of readdirSync(tmpdir())) {
    const old = join(tmpdir(), name);
    // Templates of former migrations, 40 MB each. A younger one may be in use by another working copy.
    if (name.startsWith(templatePrefix) && Date.now() - statSync(old).mtimeMs > 86_400_000)
      rmSync(old, { force: true });
  }
  const db = await openDatabase({ url: 'pglite:memory' });
  try {
    await migrate(db);
    const draft = `${file}.${randomBytes(4).toString('hex')}`;
    writeFileSync(draft, await (internalsOf(db).driver as PgliteDriver).dump(), { mode: 0o600 });
    renameSync(draft, file);
  } finally {
    await db.close();
  }
  return file;
}

function migrationsHash(): string {
  const folder = migrationsFolder();
  const hash = createHash('sha256').update('pglite 0.5.16');
  for (const name of readdirSync(folder).sort())
    if (name.endsWith('.sql')) hash.update(name).update(readFileSync(join(folder, name)));
  return hash.digest('hex').slice(0, 16);
}

const login = 'valet_test';

async function clonePostgres({ migrated }: { migrated: boolean }): Promise<TestDatabase> {
  const admin = await adminUrl();
  const name = `valet_${randomBytes(6).toString('hex')}`;
  const sql = adminClient(admin);
  try {
    await prepareCluster(sql, admin);
    await sql.unsafe(`create database ${name} owner ${login} template ${migrated ? templateName() : 'template0'}`);
  } finally {
    await sql.end();
  }
  return {
    kind: 'postgres',
    url: urlFor(admin, loginPassword(admin), name),
    close: async () => {
      const end = adminClient(admin);
      await end.unsafe(`drop database if exists ${name} with (force)`).finally(() => end.end());
    },
  };
}

/** Login and template, once per cluster, whoever comes first. A template counts only when it is marked as finished. */
async function prepareCluster(sql: postgres.Sql, admin: string): Promise<void> {
  if (await isReady(sql)) return;
  const lock = await sql.reserve();
  try {
    await lock`select pg_advisory_lock(720192531)`;
    if (await isReady(sql)) return;
    await sql.unsafe(`do $$ begin
      if not exists (select from pg_roles where rolname = '${login}') then create role ${login} login createrole nosuperuser nobypassrls; end if; end $$;
      alter role ${login} password '${loginPassword(admin)}'`);
    await sql.unsafe(`drop database if exists ${templateName()} with (force)`);
    await sql.unsafe(`create database ${templateName()} owner ${login} template template0`);
    const db = await openDatabase({ url: urlFor(admin, loginPassword(admin), templateName()) });
    await migrate(db).finally(() => db.close());
    await sql.unsafe(`alter database ${templateName()} is_template true allow_connections false`);
  } finally {
    await lock`select pg_advisory_unlock(720192531)`;
    lock.release();
  }
}

async function isReady(sql: postgres.Sql): Promise<boolean> {
  return (await sql`select from pg_database where datname = ${templateName()} and datistemplate`).length === 1;
}

function templateName(): string {
  return `valet_template_${migrationsHash()}`;
}

/** The same in every worker, without being written anywhere. */
function loginPassword(admin: string): string {
  return createHash('sha256').update(`valet test login ${admin}`).digest('hex').slice(0, 32);
}

function urlFor(admin: string, password: string | undefined, database: string): string {
  const url = new URL(admin);
  if (password !== undefined) {
    url.username = login;
    url.password = password;
  }
  url.pathname = `/${database}`;
  return url.href;
}

function adminClient(url: string): postgres.Sql {
  return postgres(url, { max: 2, onnotice: () => undefined, connect_timeout: 10 });
}

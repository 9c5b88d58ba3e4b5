// Migrations: any number of replicas may start together, each migration runs once, and a login that may not do it is told what to do.
import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import { afterEach, describe, expect, it } from 'vitest';
import { type Database, internalsOf, openDatabase } from '../../packages/server/src/db/client.ts';
import { MigrationError, migrate } from '../../packages/server/src/db/migrate.ts';
import { installationScope, scopedQuery } from '../../packages/server/src/db/scope.ts';
import { openEmptyPostgres, openTestDatabase, superuserUrl, type TestDatabase } from '../support/database.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function emptyDatabase(): Promise<TestDatabase> {
  const test = await openEmptyPostgres();
  closers.push(test.close);
  return test;
}

async function opened(url: string, migrateUrl?: string): Promise<Database> {
  const db = await openDatabase({ url, migrateUrl });
  closers.push(db.close);
  return db;
}

async function admin(test: TestDatabase): Promise<postgres.Sql> {
  const sql = postgres(await superuserUrl(test), { max: 1, onnotice: () => undefined });
  closers.push(() => sql.end());
  return sql;
}

describe('migrate on postgres', () => {
  it('runs each migration once when five replicas start on an empty database together', async () => {
    const test = await emptyDatabase();
    const replicas = await Promise.all(Array.from({ length: 5 }, () => opened(test.url)));
    const reports = await Promise.all(replicas.map((db) => migrate(db)));
    const applied = reports.flatMap((report) => report.applied);
    expect(applied.length).toBeGreaterThanOrEqual(4);
    expect(new Set(applied).size).toBe(applied.length);
    expect(await scopedQuery(replicas[0] as Database, installationScope, 'select from accounts')).toHaveLength(0);
    expect((await migrate(replicas[1] as Database)).applied).toEqual([]);
  });

  it('refuses a database whose migration was edited after it was applied', async () => {
    const test = await emptyDatabase();
    const db = await opened(test.url);
    await migrate(db);
    const sql = postgres(test.url, { max: 1 });
    await sql`update valet_migrations set hash = 'x' where tag = '0001_walls'`.finally(() => sql.end());
    await expect(migrate(db)).rejects.toThrow(MigrationError);
  });

  it('serves with another login than the one that owns the schema', async () => {
    const test = await emptyDatabase();
    const sql = await admin(test);
    const name = `serve_${randomBytes(4).toString('hex')}`;
    await sql.unsafe(`create role ${name} login password 'pw' nosuperuser`);
    closers.push(() => sql.unsafe(`drop role ${name}`));
    const serving = new URL(test.url);
    serving.username = name;
    serving.password = 'pw';
    const db = await opened(serving.href, test.url);
    await migrate(db);
    expect(await scopedQuery(db, installationScope, 'select from accounts')).toHaveLength(0);
    const login = postgres(serving.href, { max: 1 });
    closers.push(() => login.end());
    await expect(login`create table mine (id int)`).rejects.toThrow(/permission denied/);
  });

  it('warns of a superuser login, and shows even that one no row without a scope', async () => {
    const test = await openTestDatabase('postgres');
    closers.push(test.close);
    const db = await opened(await superuserUrl(test));
    expect((await migrate(db)).warnings.join()).toMatch(/superuser/);
    const sql = await admin(test);
    await sql`insert into accounts (id, name) values ('acc_x', 'x')`;
    expect(await sql`select from accounts`).toHaveLength(1);
    expect(await internalsOf(db).driver.call('select * from accounts', [])).toHaveLength(0);
    expect(await scopedQuery(db, installationScope, 'select * from accounts')).toHaveLength(1);
  });

  it('tells a login that may not enter the role what an administrator has to run', async () => {
    const test = await openTestDatabase('postgres');
    closers.push(test.close);
    const sql = await admin(test);
    const name = `weak_${randomBytes(4).toString('hex')}`;
    await sql.unsafe(`create role ${name} login password 'pw' nosuperuser`);
    closers.push(() => sql.unsafe(`drop role ${name}`));
    const url = new URL(test.url);
    url.username = name;
    url.password = 'pw';
    const db = await opened(url.href);
    await expect(migrate(db)).rejects.toThrow(new RegExp(`grant valet_app to "${name}"`));
  });
});

describe('migrate on pglite', () => {
  it('finds nothing to do in a database that is up to date, and says what the embedded engine does not promise', async () => {
    const test = await openTestDatabase('pglite');
    const db = await opened(test.url);
    const report = await migrate(db);
    expect(report.applied).toEqual([]);
    expect(report.warnings.join()).toMatch(/power loss/);
  });
});

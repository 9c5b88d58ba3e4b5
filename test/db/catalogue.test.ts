// GATE-1, the database's half: every table stands behind the wall, and schema.sql shows what the migrations really make.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '../../packages/server/src/db/client.ts';
import { type TestDatabase, testDatabases } from '../support/database.ts';
import { catalogue, dumpSchema } from './schema-dump.ts';

describe.each(testDatabases())('the catalogue on $kind', ({ open }) => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await open();
    db = await openDatabase({ url: test.url });
  });
  afterAll(async () => {
    await db?.close();
    await test?.close();
  });

  const ours = `c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'valet_migrations'`;

  it('has row-level security enabled and forced on every table', async () => {
    const all = await catalogue(db, `select c.relname as name from pg_class c where ${ours}`);
    expect(all.length).toBeGreaterThanOrEqual(13);
    const open = await catalogue(
      db,
      `select c.relname as name from pg_class c where ${ours} and not (c.relrowsecurity and c.relforcerowsecurity)`,
    );
    expect(open).toEqual([]);
  });

  it('walls every table with an account_id: not null, never empty, compared with the scope on read and on write', async () => {
    const accountTables = await catalogue(
      db,
      `select c.relname as name, a.attnotnull as filled,
         exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'c'
           and pg_get_constraintdef(k.oid) = 'CHECK ((account_id <> ''''::text))') as checked,
         exists (select from pg_policies p where p.tablename = c.relname and p.policyname = 'account_wall' and p.cmd = 'ALL'
           and p.permissive = 'PERMISSIVE' and p.roles = '{valet_app}' and p.qual = p.with_check
           and p.qual like '(account_id = %valet_scope_account()%') as walled
       from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id' where ${ours} and c.relkind = 'r'`,
    );
    expect(accountTables.length).toBeGreaterThanOrEqual(10);
    expect(accountTables.filter((t) => !(t.filled && t.checked && t.walled))).toEqual([]);
  });

  it('adds the wall of the user to every table with a user_id', async () => {
    const open = await catalogue(
      db,
      `select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
       where ${ours} and not exists (select from pg_policies p where p.tablename = c.relname and p.policyname = 'user_wall'
         and p.permissive = 'RESTRICTIVE' and p.qual like '%valet_scope_user()%')`,
    );
    expect(open).toEqual([]);
  });

  it('gives no policy to anybody but valet_app, and no grant on any table to everybody', async () => {
    expect(await catalogue(db, `select policyname from pg_policies where roles <> '{valet_app}'`)).toEqual([]);
    const grants = await catalogue(
      db,
      `select c.relname from pg_class c, aclexplode(c.relacl) a where ${ours} and a.grantee = 0`,
    );
    expect(grants).toEqual([]);
  });

  it('keeps valet_app powerless: no login, no superuser, no bypass, owner of nothing', async () => {
    const [role] = await catalogue(
      db,
      `select rolcanlogin or rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication as strong,
         (select count(*)::int from pg_class where relowner = r.oid) + (select count(*)::int from pg_proc where proowner = r.oid) as owns
       from pg_roles r where rolname = 'valet_app'`,
    );
    expect(role).toEqual({ strong: false, owns: 0 });
  });

  it('has no function that runs with its owner’s rights', async () => {
    const definers = `select proname from pg_proc where pronamespace = 'public'::regnamespace and prosecdef`;
    expect(await catalogue(db, definers)).toEqual([]);
  });

  it('equals schema.sql', async () => {
    const file = readFileSync(new URL('../../packages/server/schema.sql', import.meta.url), 'utf8');
    expect(await dumpSchema(db)).toBe(file);
  });
});

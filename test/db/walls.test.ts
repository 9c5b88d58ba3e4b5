// ISO-5: a statement without any filter sees the rows of its scope and no others, on both engines, whatever happened on the connection before.
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, internalsOf, openDatabase } from '../../packages/server/src/db/client.ts';
import { DatabaseError } from '../../packages/server/src/db/errors.ts';
import { users } from '../../packages/server/src/db/schema.ts';
import { auditEvents } from '../../packages/server/src/db/schema-trail.ts';
import {
  accountScope,
  installationScope,
  rowsOf,
  type Scope,
  scopedQuery,
  withScope,
} from '../../packages/server/src/db/scope.ts';
import { newId } from '../../packages/server/src/ids.ts';
import { type TestDatabase, testDatabases } from '../support/database.ts';
import { accountTables, addAccount, type SampleAccount } from './rows.ts';

describe.each(testDatabases())('the walls on $kind', ({ kind, open }) => {
  let test: TestDatabase;
  let db: Database;
  let a: SampleAccount;
  let b: SampleAccount;
  beforeAll(async () => {
    test = await open();
    db = await openDatabase({ url: test.url });
    a = await addAccount(db);
    b = await addAccount(db);
  });
  afterAll(async () => {
    await db?.close();
    await test?.close();
  });

  const all = (scope: Scope, table: string) => scopedQuery<{ account_id: string }>(db, scope, `select * from ${table}`);

  it('works as valet_app, which is no superuser and does not bypass row-level security', async () => {
    const text = `select current_user::text as name, rolsuper or rolbypassrls as strong from pg_roles where rolname = current_user`;
    expect([...(await scopedQuery(db, accountScope(a.account), text))]).toEqual([{ name: 'valet_app', strong: false }]);
    const inside = await withScope(db, accountScope(a.account), (tx) => tx.execute(text));
    expect(rowsOf(inside)).toEqual([{ name: 'valet_app', strong: false }]);
    // Outside of any scope as well: the session itself stays in that role.
    expect([...(await internalsOf(db).driver.call(text, []))]).toEqual([{ name: 'valet_app', strong: false }]);
  });

  it.each(accountTables.map(([table]) => table))(
    'shows of %s exactly the rows of the account, without a filter',
    async (table) => {
      for (const { account } of [a, b]) {
        const rows = await all(accountScope(account), table);
        expect(rows.length).toBeGreaterThan(0);
        expect(new Set(rows.map((row) => row.account_id))).toEqual(new Set([account]));
      }
      expect(await all(accountScope(newId('acc')), table)).toHaveLength(0);
    },
  );

  it.each(accountTables.flatMap(([table, owner]) => (owner ? [[table, owner] as const] : [])))(
    'shows of %s to a user’s scope exactly that user’s rows (%s)',
    async (table, owner) => {
      for (const user of a.users) {
        const rows = (await all({ account: a.account, user }, table)) as Record<string, unknown>[];
        expect(rows.length).toBeGreaterThan(0);
        expect(new Set(rows.map((row) => row[owner]))).toEqual(new Set([user]));
      }
      expect(await all({ account: b.account, user: a.users[0] }, table)).toHaveLength(0);
    },
  );

  it.each([...accountTables.map(([table]) => table), 'accounts', 'installation', 'keyring', 'master_keys'])(
    'shows no row of %s to a statement outside of any scope',
    async (table) => {
      expect(await internalsOf(db).driver.call(`select * from ${table}`, [])).toHaveLength(0);
    },
  );

  it.each(['users', 'servers', 'api_keys', 'connectors', 'credentials', 'data_keys', 'secrets', 'audit_events'])(
    'hides %s from the scope of the installation',
    async (table) => {
      expect(await all(installationScope, table)).toHaveLength(0);
    },
  );

  it.each(['backup', 'rotation', 'retention'])(
    'widens no account’s scope for a statement that names the task %s',
    async (task) => {
      for (const scope of [accountScope(a.account), { account: a.account, user: a.users[0] }])
        await withScope(db, scope, async (tx) => {
          await tx.execute(`select set_config('valet.task', '${task}', true)`);
          for (const [table] of accountTables) {
            const rows = rowsOf(await tx.execute(`select distinct account_id from ${table}`));
            expect([table, rows.filter(({ account_id }) => account_id !== a.account)]).toEqual([table, []]);
          }
        });
    },
  );

  it('shows the installation’s scope the keys of all accounts while it rotates, and nothing else of them', async () => {
    await withScope(db, installationScope, async (tx) => {
      await tx.execute("select set_config('valet.task', 'rotation', true)");
      for (const table of ['users', 'servers', 'api_keys', 'connectors', 'credentials', 'secrets', 'audit_events'])
        expect(rowsOf(await tx.execute(`select from ${table}`))).toHaveLength(0);
      expect(rowsOf(await tx.execute('select from data_keys')).length).toBeGreaterThan(2);
    });
  });

  it('lists accounts to the scope of the installation, and to an account itself only', async () => {
    const ids = (scope: Scope) =>
      scopedQuery<{ id: string }>(db, scope, 'select id from accounts').then((rows) =>
        rows.map((row) => row.id).sort(),
      );
    expect(await ids(installationScope)).toEqual([a.account, b.account].sort());
    expect(await ids(accountScope(a.account))).toEqual([a.account]);
  });

  it('refuses to write into another account, to move a row there, and to make one in somebody’s name', async () => {
    const foreign = { id: newId('usr'), accountId: b.account, username: 'mallory' };
    await expect(withScope(db, accountScope(a.account), (tx) => tx.insert(users).values(foreign))).rejects.toThrow(
      DatabaseError,
    );
    const move = (tx: Parameters<Parameters<typeof withScope>[2]>[0]) => tx.update(users).set({ accountId: b.account });
    await expect(withScope(db, accountScope(a.account), move)).rejects.toThrow(DatabaseError);
    const grab = scopedQuery(db, { account: a.account, user: a.users[1] }, 'update credentials set user_id = $1', [
      a.users[0],
    ]);
    await expect(grab).rejects.toThrow(DatabaseError);
    await scopedQuery(db, accountScope(a.account), "update users set description = 'touched'");
    await scopedQuery(db, accountScope(a.account), 'delete from claims');
    const untouched = await scopedQuery(db, accountScope(b.account), 'select from users where description is null');
    expect([untouched.length, (await all(accountScope(b.account), 'claims')).length]).toEqual([2, 2]);
  });

  it('lets anyone add an audit event to their account and nobody change one', async () => {
    const event = { id: newId('aud'), accountId: a.account, action: 'test.refused', outcome: 'refused' as const };
    await withScope(db, { account: a.account, user: a.users[0] }, (tx) => tx.insert(auditEvents).values(event));
    await expect(scopedQuery(db, accountScope(a.account), 'delete from audit_events')).rejects.toThrow(DatabaseError);
    await expect(scopedQuery(db, accountScope(a.account), "update audit_events set outcome = 'ok'")).rejects.toThrow(
      DatabaseError,
    );
  });

  it('refuses an empty scope before anything reaches the database', async () => {
    for (const scope of [accountScope(''), { account: a.account, user: '' }]) {
      await expect(withScope(db, scope, async () => 1)).rejects.toThrow(TypeError);
      await expect((async () => scopedQuery(db, scope, 'select 1'))()).rejects.toThrow(TypeError);
    }
  });

  it('leaves nothing behind: 5,000 mixed reads, errors and rollbacks over shared connections show no foreign row', async () => {
    const scopes: Scope[] = [a, b].flatMap((of) => [
      accountScope(of.account),
      ...of.users.map((user) => ({ account: of.account, user })),
    ]);
    let foreign = 0;
    let seen = 0;
    const judge = (scope: Scope, rows: { account_id: string; user_id: string }[]) => {
      seen += rows.length;
      for (const row of rows)
        if (row.account_id !== scope.account || (scope.user !== '*' && row.user_id !== scope.user)) foreign++;
    };
    const text = 'select account_id, user_id from credentials';
    const step = async (i: number) => {
      const scope = scopes[i % scopes.length] as Scope;
      const how = (i * 7) % 5;
      if (how === 0) judge(scope, await scopedQuery(db, scope, text));
      else if (how === 1) judge(scope, await withScope(db, scope, async (tx) => rowsOf(await tx.execute(text))));
      else if (how === 2) await expect(scopedQuery(db, scope, 'select 1/0')).rejects.toThrow(DatabaseError);
      else if (how === 3) {
        const broken = withScope(db, scope, async (tx) => {
          judge(scope, rowsOf(await tx.execute(text)));
          throw new RangeError('rolled back');
        });
        await expect(broken).rejects.toThrow(RangeError);
      } else if ((await internalsOf(db).driver.call(text, [])).length > 0) foreign++;
    };
    let next = 0;
    const worker = async () => {
      while (next < 5_000) await step(next++);
    };
    await Promise.all(Array.from({ length: 20 }, worker));
    expect(foreign).toBe(0);
    expect(seen).toBeGreaterThan(3_000);
  }, 120_000);

  if (kind === 'postgres') {
    it('gives the login itself nothing: without the role’s scope it reads no row although it owns the tables', async () => {
      const login = postgres(test.url, { max: 1 });
      try {
        const [who] =
          await login`select current_user::text as name, rolsuper as super, rolbypassrls as bypass from pg_roles where rolname = current_user`;
        expect(who).toEqual({ name: 'valet_test', super: false, bypass: false });
        for (const [table] of accountTables) expect(await login.unsafe(`select * from ${table}`)).toHaveLength(0);
        expect(await login`select * from keyring`).toHaveLength(0);
      } finally {
        await login.end();
      }
    });
  }
});

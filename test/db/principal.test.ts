// Sign-in: from a hash to the caller in one statement, which shows that one row and nothing beside it.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, internalsOf, openDatabase } from '../../packages/server/src/db/client.ts';
import { findPrincipal } from '../../packages/server/src/db/hot-path.ts';
import { apiKeys } from '../../packages/server/src/db/schema.ts';
import { accountScope, scopedQuery, withScope } from '../../packages/server/src/db/scope.ts';
import { newId } from '../../packages/server/src/ids.ts';
import { type TestDatabase, testDatabases } from '../support/database.ts';
import { addAccount, type SampleAccount } from './rows.ts';

describe.each(testDatabases())('findPrincipal on $kind', ({ open }) => {
  let test: TestDatabase;
  let db: Database;
  let a: SampleAccount;
  beforeAll(async () => {
    test = await open();
    db = await openDatabase({ url: test.url });
    a = await addAccount(db);
    await addAccount(db);
  });
  afterAll(async () => {
    await db?.close();
    await test?.close();
  });

  const addKey = async (more: Partial<typeof apiKeys.$inferInsert>) => {
    const hash = randomBytes(32);
    const row = {
      id: newId('key'),
      accountId: a.account,
      kind: 'std',
      name: 'laptop',
      hash,
      pepperVersion: 1,
      prefix: 'mcpv',
      ...more,
    } as const;
    await withScope(db, accountScope(a.account), (tx) => tx.insert(apiKeys).values(row));
    return { id: row.id, hash };
  };

  it('finds an enterprise key without a user', async () => {
    expect(await findPrincipal(db, a.key.hash)).toEqual({
      keyId: a.key.id,
      kind: 'ent',
      accountId: a.account,
      keyName: 'k',
      user: undefined,
      server: undefined,
      remainingMs: undefined,
      revoked: false,
      accountEnabled: true,
      scopes: null,
      allowedUsers: null,
      delegation: null,
    });
  });

  it('gives a standard key its user and a server key its server and owner', async () => {
    const own = await addKey({ userId: a.users[1] });
    expect(await findPrincipal(db, own.hash)).toMatchObject({
      kind: 'std',
      user: { id: a.users[1], username: 'alice', enabled: true },
    });
    const url = await addKey({ kind: 'url', serverId: a.server });
    expect(await findPrincipal(db, url.hash)).toMatchObject({
      kind: 'url',
      user: undefined,
      server: { id: a.server, actsForUsers: true, owner: { id: a.users[0], username: 'default', enabled: true } },
    });
  });

  it('tells the remaining time by the database clock, revocation, and a disabled user', async () => {
    const live = await addKey({ userId: a.users[1], expiresAt: new Date(Date.now() + 60_000) });
    const remaining = (await findPrincipal(db, live.hash))?.remainingMs ?? 0;
    expect(remaining).toBeGreaterThan(30_000);
    expect(remaining).toBeLessThan(90_000);
    const over = await addKey({ userId: a.users[1], expiresAt: new Date(Date.now() - 60_000) });
    expect((await findPrincipal(db, over.hash))?.remainingMs).toBeLessThan(0);
    const revoked = await addKey({ userId: a.users[1], revokedAt: new Date() });
    expect(await findPrincipal(db, revoked.hash)).toMatchObject({ revoked: true });
    await scopedQuery(db, accountScope(a.account), 'update users set enabled = false where id = $1', [a.users[1]]);
    expect((await findPrincipal(db, live.hash))?.user?.enabled).toBe(false);
  });

  it('finds nothing for a hash that no key has', async () => {
    for (const hash of [randomBytes(32), Buffer.alloc(32), Buffer.alloc(0)])
      expect(await findPrincipal(db, hash)).toBeUndefined();
  });

  it('leaves no scope behind on the connection', async () => {
    for (let i = 0; i < 30; i++) {
      await findPrincipal(db, a.key.hash);
      expect(await internalsOf(db).driver.call('select * from api_keys', [])).toHaveLength(0);
    }
  });

  it('shows one key to whoever presents its hash, and never two', async () => {
    const text = `select set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
      set_config('valet.key_hash', '${a.key.hash.toString('hex')}', true)`;
    const rows = await internalsOf(db).driver.transaction({ account: 'x', user: 'x' }, async (tx) => {
      await tx.execute(text);
      return tx.select({ id: apiKeys.id }).from(apiKeys);
    });
    expect(rows).toEqual([{ id: a.key.id }]);
  });
});

// Accounts with rows in every table, for tests of the walls. Goes through the scope like everything else.
import { randomBytes } from 'node:crypto';
import type { Database } from '../../packages/server/src/db/client.ts';
import * as schema from '../../packages/server/src/db/schema.ts';
import { masterKeys } from '../../packages/server/src/db/schema-master-keys.ts';
import { auditEvents, calls, claims } from '../../packages/server/src/db/schema-trail.ts';
import { accountScope, installationScope, withScope } from '../../packages/server/src/db/scope.ts';
import { newId, newServerId } from '../../packages/server/src/ids.ts';

export interface SampleAccount {
  account: string;
  users: [string, string];
  server: string;
  key: { id: string; hash: Buffer };
}

/** One account, two users (`default`, `alice`), and for each user a credential, a secret, a data key and an open call. */
export async function addAccount(db: Database): Promise<SampleAccount> {
  const account = newId('acc');
  const users: [string, string] = [newId('usr'), newId('usr')];
  const server = newServerId('main');
  const key = { id: newId('key'), hash: randomBytes(32) };
  // What is wrapped names a version of the master key that is in use.
  const check = { version: 1, keyId: '0'.repeat(32), state: 'current', keyCheck: randomBytes(64), live: 1 } as const;
  await withScope(db, installationScope, (tx) => tx.insert(masterKeys).values(check).onConflictDoNothing());
  await withScope(db, accountScope(account), async (tx) => {
    await tx.insert(schema.accounts).values({ id: account, name: account });
    await tx
      .insert(schema.users)
      .values(users.map((id, i) => ({ id, accountId: account, username: ['default', 'alice'][i] as string })));
    await tx.insert(schema.servers).values({
      id: server,
      accountId: account,
      name: 'main',
      mode: 'connectivity',
      prefix: 'connector',
      sessions: 'auto',
      onUnknownUser: 'reject',
      actsForUsers: true,
      ownerUserId: users[0],
    });
    await tx
      .insert(schema.connectors)
      .values({ accountId: account, id: 'slack', name: 'Slack', kind: 'mcp-http', config: { url: 'https://x' } });
    const bearer = { accountId: account, name: 'k', pepperVersion: 1, prefix: 'mcpv' };
    await tx.insert(schema.apiKeys).values({ ...bearer, id: key.id, kind: 'ent', hash: key.hash });
    for (const userId of users) {
      await tx
        .insert(schema.apiKeys)
        .values({ ...bearer, id: newId('key'), kind: 'std', hash: randomBytes(32), userId });
      const credentialId = newId('cred');
      await tx.insert(schema.credentials).values({
        accountId: account,
        id: credentialId,
        userId,
        connectorId: 'slack',
        type: 'secrets',
        status: 'valid',
      });
      const sealed = { version: 1, sealed: randomBytes(40), fingerprint: '00000000' };
      await tx.insert(schema.secrets).values({ accountId: account, userId, credentialId, name: 'TOKEN', ...sealed });
      await tx.insert(schema.dataKeys).values({
        id: randomBytes(16).toString('hex'),
        accountId: account,
        userId,
        kekVersion: 1,
        wrapped: randomBytes(40),
      });
      const soon = new Date(Date.now() + 60_000);
      await tx.insert(calls).values({
        id: newId('call'),
        accountId: account,
        leaseUntil: soon,
        userId,
        tool: 't',
        lane: 'direct',
        requestId: newId('req'),
      });
      await tx.insert(claims).values({
        accountId: account,
        userId,
        scope: server,
        key: 'k',
        fingerprint: randomBytes(32),
        state: 'running',
        leaseUntil: soon,
        expiresAt: soon,
      });
      await tx
        .insert(auditEvents)
        .values({ id: newId('aud'), accountId: account, action: 'test.row', outcome: 'ok', userId });
    }
  });
  return { account, users, server, key };
}

/** Every table that belongs to an account, with the column that names the owner where rows belong to users. */
export const accountTables = [
  ['users', 'id'],
  ['servers', undefined],
  ['api_keys', 'user_id'],
  ['connectors', undefined],
  ['credentials', 'user_id'],
  ['data_keys', 'user_id'],
  ['secrets', 'user_id'],
  ['calls', 'user_id'],
  ['claims', 'user_id'],
  ['audit_events', 'user_id'],
] as const;

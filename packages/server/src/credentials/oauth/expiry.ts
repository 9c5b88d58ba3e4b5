// Finds credentials that come to their end without anything happening: access tokens that nothing can renew. Only accounts with a webhook are
// looked through, for their webhooks; everybody else reads the same from `status`.
import { oauthSecrets } from '@mcp-valet/shared';
import { and, eq, inArray, sql } from 'drizzle-orm';
import type { Parts } from '../../context.ts';
import { credentials, secrets } from '../../db/schema.ts';
import { accountScope, type Db, installationScope, withScope } from '../../db/scope.ts';
import { accountsWithWebhook, addStatusChange } from '../../webhooks/store.ts';
import { currentStatus, expiringMs, words } from './status.ts';

const atATime = 200;

export async function sweepExpiring({ db }: Pick<Parts, 'db'>): Promise<void> {
  for (const accountId of await withScope(db, installationScope, accountsWithWebhook)) {
    let found: number;
    do {
      found = await withScope(db, accountScope(accountId), (tx) => sweepAccount(tx, db, accountId));
    } while (found === atATime);
  }
}

async function sweepAccount(tx: Db, db: Parts['db'], accountId: string): Promise<number> {
  const ours = and(eq(secrets.accountId, credentials.accountId), eq(secrets.credentialId, credentials.id));
  const rows = await tx
    .select()
    .from(credentials)
    .where(
      and(
        eq(credentials.accountId, accountId),
        eq(credentials.type, 'oauth2'),
        inArray(credentials.status, ['valid', 'expiring', 'unreachable']),
        sql`${credentials.tokenExpiresAt} <= now() + case when ${credentials.status} = 'expiring' then 0 else ${expiringMs} end
          * interval '1 millisecond'`,
        sql`not exists (select from ${secrets} where ${ours} and ${secrets.name} = ${oauthSecrets.refresh})`,
      ),
    )
    .limit(atATime)
    // Another replica that sweeps, or a sign-in, has the row: it is looked at again in a minute.
    .for('update', { skipLocked: true });
  for (const row of rows) {
    const status = currentStatus(row, []);
    if (status === row.status) continue;
    await tx
      .update(credentials)
      .set({ status, updatedAt: sql`now()`, ...(status === 'reauth_required' && { lastError: words.expired }) })
      .where(and(eq(credentials.accountId, accountId), eq(credentials.id, row.id)));
    const { userId, connectorId, id: credentialId } = row;
    await addStatusChange(tx, { accountId, userId, connectorId, credentialId, status, previousStatus: row.status });
    await db.changes.publish(tx, `user:${userId}`);
  }
  return rows.length;
}

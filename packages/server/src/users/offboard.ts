// Ends a user's access everywhere with one request.
//
// Order: first one transaction that ends everything here, with its event, the receipt; every replica hears of it with the commit. Then the
// grants at their providers, a few seconds for all of them: a provider that is slow or away must not keep anything here alive. What came
// of them stands in the reply and in a second event that names the receipt.
import type { Contract } from '@mcp-valet/shared';
import type { Handler } from '../context.ts';
import { offboardUser } from './offboard-store.ts';
import { getUser, refuseDefault } from './store.ts';

const providersWithinMs = 5_000;

export const offboard: Handler<Contract['users']['offboard']> = async ({ params }, ctx) => {
  ctx.note({ target: params.username });
  const { row, ended, eventId } = await ctx.scoped(async (tx) => {
    const row = await getUser(tx, ctx.principal.accountId, params.username);
    ctx.note({ target: row.username, userId: row.id });
    refuseDefault(row, 'off-boarded');
    const ended = await offboardUser(tx, row.accountId, row.id);
    for (const id of [...ended.keyIds, ...ended.tokenIds]) ctx.changed(`key:${id}`);
    ctx.changed(`user:${row.id}`);
    if (ended.wasShared) ctx.changed(`connectors:${row.accountId}`);
    ctx.note({
      details: {
        keys: ended.keyIds.length,
        tokens: ended.tokenIds.length,
        links: ended.links,
        credentials: ended.credentials,
        secrets: ended.secrets,
        data_keys: ended.dataKeys,
        grants: ended.grants.length,
      },
    });
    return { row, ended, eventId: await ctx.record(tx) };
  });
  const outcomes = await ctx.parts.grants.endGrants(ended.grants, providersWithinMs);
  const grants = ended.grants.map((grant, at) => ({
    credentialId: grant.id,
    connectorId: grant.connectorId,
    outcome: outcomes[at] ?? ('failed' as const),
  }));
  if (grants.length > 0) {
    ctx.note({
      target: eventId,
      details: { grants: grants.map(({ credentialId, outcome }) => ({ credential: credentialId, outcome })) },
    });
    await ctx.scoped((tx) => ctx.record(tx, 'user.offboard_grants'));
  }
  return {
    status: 'offboarded',
    userId: row.id,
    username: row.username,
    offboardedAt: ended.offboardedAt.toISOString(),
    keysRevoked: ended.keyIds.length,
    tokensRevoked: ended.tokenIds.length,
    linksEnded: ended.links,
    credentialsDeleted: ended.credentials,
    dataKeysDestroyed: ended.dataKeys,
    grants,
    eventId,
  };
};

// How people read the journal of calls: an account's, or with a standard key one's own.
import type { CallRecord, Contract } from '@mcp-valet/shared';
import type { Handler } from '../context.ts';
import { closePage, openPage } from '../page.ts';
import { getNamedUser } from '../users/store.ts';
import { type CallRow, listCalls } from './store.ts';

type Routes = Contract['calls'];

const shown = (row: CallRow & { username: string | null }): CallRecord => ({
  callId: row.id,
  at: row.at.toISOString(),
  userId: row.userId,
  username: row.username,
  attemptedUser: row.attemptedUser,
  actorKeyId: row.actorKeyId,
  serverId: row.serverId,
  connectorId: row.connectorId,
  tool: row.tool,
  credentialId: row.credentialId,
  outcome: row.outcome,
  reason: row.reason,
  upstreamStatus: row.upstreamStatus,
  latencyMs: row.latencyMs,
  lane: row.lane,
  requestId: row.requestId,
  idempotencyKey: row.idempotencyKey,
});

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const page = openPage('calls', ['sequence'], query);
  const all = query.userId === undefined && ctx.principal.mayActForUsers;
  const user = all ? undefined : await getNamedUser(ctx, ctx.db, query.userId);
  const filter = {
    userId: user?.id,
    serverId: query.serverId,
    connectorId: query.connectorId,
    tool: query.tool,
    outcome: query.outcome,
    idempotencyKey: query.idempotencyKey,
    from: query.from === undefined ? undefined : new Date(query.from),
    to: query.to === undefined ? undefined : new Date(query.to),
  };
  const { rows: read, total } = await listCalls(ctx.db, ctx.principal.accountId, filter, page);
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.seq)]);
  return { calls: rows.map(shown), ...facts };
};

export const callHandlers = { list } satisfies { [M in keyof Routes]: Handler<Routes[M]> };

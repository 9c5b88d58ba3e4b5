// Reads the journal of calls. Writing is the journal's alone; arguments and results were never in it.
import type { CallRecord } from '@mcp-valet/shared';
import { and, desc, eq, getTableColumns, gte, lt, lte, type SQL, sql } from 'drizzle-orm';
import { countUpTo } from '../db/count.ts';
import { apiKeys, users } from '../db/schema.ts';
import { calls } from '../db/schema-trail.ts';
import type { Db } from '../db/scope.ts';
import type { Page } from '../page.ts';
import { maxTotal, rowsToRead } from '../page.ts';

/** The name of a user who was deleted since is gone with it, and so is who minted a token that was deleted. */
export type CallRow = typeof calls.$inferSelect & { username: string | null; mintedBy: string | null };

export interface CallFilter {
  userId?: string | undefined;
  serverId?: string | undefined;
  connectorId?: string | undefined;
  tool?: string | undefined;
  outcome?: NonNullable<CallRow['outcome']> | undefined;
  actorKeyId?: string | undefined;
  reason?: string | undefined;
  requestId?: string | undefined;
  idempotencyKey?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

const is = (column: Parameters<typeof eq>[0], value: string | undefined): SQL | undefined =>
  value === undefined ? undefined : eq(column, value);

const matches = (accountId: string, filter: CallFilter): SQL | undefined =>
  and(
    eq(calls.accountId, accountId),
    is(calls.userId, filter.userId),
    is(calls.serverId, filter.serverId),
    is(calls.connectorId, filter.connectorId),
    is(calls.tool, filter.tool),
    is(calls.outcome, filter.outcome),
    is(calls.actorKeyId, filter.actorKeyId),
    is(calls.reason, filter.reason),
    is(calls.requestId, filter.requestId),
    is(calls.idempotencyKey, filter.idempotencyKey),
    filter.from === undefined ? undefined : gte(calls.at, filter.from),
    filter.to === undefined ? undefined : lte(calls.at, filter.to),
  );

/** Newest first, from before a place in the journal. Indexes: calls_account_seq, calls_account_user, calls_request. */
export async function readCalls(
  tx: Db,
  accountId: string,
  filter: CallFilter,
  where: { before: number | undefined; limit: number; offset: number },
): Promise<CallRow[]> {
  const before = where.before === undefined ? undefined : lt(calls.seq, where.before);
  return tx
    .select({
      ...getTableColumns(calls),
      username: users.username,
      mintedBy: sql<string | null>`${apiKeys.delegation}->>'mintedBy'`,
    })
    .from(calls)
    .leftJoin(users, and(eq(users.accountId, calls.accountId), eq(users.id, calls.userId)))
    .leftJoin(apiKeys, and(eq(apiKeys.accountId, calls.accountId), eq(apiKeys.id, calls.actorKeyId)))
    .where(and(matches(accountId, filter), before))
    .orderBy(desc(calls.seq))
    .limit(where.limit)
    .offset(where.offset);
}

/** Up to `maxTotal`. */
export const countCalls = (tx: Db, accountId: string, filter: CallFilter): Promise<number> =>
  countUpTo(tx, calls, matches(accountId, filter), maxTotal);

export async function listCalls(
  tx: Db,
  accountId: string,
  filter: CallFilter,
  page: Page,
): Promise<{ rows: CallRow[]; total: number }> {
  const before = page.after === undefined ? undefined : Number(page.after[0]);
  const offset = page.after === undefined ? page.offset : 0;
  const rows = await readCalls(tx, accountId, filter, { before, limit: rowsToRead(page), offset });
  return { rows, total: page.isCounted ? await countCalls(tx, accountId, filter) : 0 };
}

/** A row as people see it. */
export const shownCall = (row: CallRow): CallRecord => ({
  callId: row.id,
  at: row.at.toISOString(),
  userId: row.userId,
  username: row.username,
  attemptedUser: row.attemptedUser,
  actorKeyId: row.actorKeyId,
  actorKind: row.actorKind,
  mintedBy: row.mintedBy,
  decision: row.outcome === 'refused' ? 'refused' : 'allowed',
  serverId: row.serverId,
  connectorId: row.connectorId,
  tool: row.tool,
  credentialId: row.credentialId,
  argsDigest: row.argsDigest === null ? null : Buffer.from(row.argsDigest).toString('hex'),
  outcome: row.outcome,
  reason: row.reason,
  upstreamStatus: row.upstreamStatus,
  latencyMs: row.latencyMs,
  lane: row.lane,
  requestId: row.requestId,
  idempotencyKey: row.idempotencyKey,
});

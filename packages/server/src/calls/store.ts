// Reads the journal of calls. Writing is the journal's alone; arguments and results were never in it.
import { and, count, desc, eq, getTableColumns, gte, lt, lte } from 'drizzle-orm';
import { calls, users } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';

export type CallRow = typeof calls.$inferSelect;

export interface CallFilter {
  userId?: string | undefined;
  serverId?: string | undefined;
  connectorId?: string | undefined;
  tool?: string | undefined;
  outcome?: NonNullable<CallRow['outcome']> | undefined;
  idempotencyKey?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** Newest first; the name of a user who was deleted since is gone with it. Indexes: calls_account_seq, calls_account_user. */
export async function listCalls(
  tx: Db,
  accountId: string,
  filter: CallFilter,
  page: Page,
): Promise<{ rows: (CallRow & { username: string | null })[]; total: number }> {
  const wanted = and(
    eq(calls.accountId, accountId),
    filter.userId === undefined ? undefined : eq(calls.userId, filter.userId),
    filter.serverId === undefined ? undefined : eq(calls.serverId, filter.serverId),
    filter.connectorId === undefined ? undefined : eq(calls.connectorId, filter.connectorId),
    filter.tool === undefined ? undefined : eq(calls.tool, filter.tool),
    filter.outcome === undefined ? undefined : eq(calls.outcome, filter.outcome),
    filter.idempotencyKey === undefined ? undefined : eq(calls.idempotencyKey, filter.idempotencyKey),
    filter.from === undefined ? undefined : gte(calls.at, filter.from),
    filter.to === undefined ? undefined : lte(calls.at, filter.to),
  );
  const after = page.after === undefined ? undefined : lt(calls.seq, Number(page.after[0]));
  const rows = await tx
    .select({ ...getTableColumns(calls), username: users.username })
    .from(calls)
    .leftJoin(users, and(eq(users.accountId, calls.accountId), eq(users.id, calls.userId)))
    .where(and(wanted, after))
    .orderBy(desc(calls.seq))
    .limit(rowsToRead(page))
    .offset(page.after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(calls).where(wanted);
  return { rows, total: counted?.total ?? 0 };
}

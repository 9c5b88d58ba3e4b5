// Reads the audit trail. Writing is `audit/record`'s alone; the database refuses to change or delete an event.
import { and, desc, eq, gte, ilike, lt, lte, or, type SQL } from 'drizzle-orm';
import { countUpTo } from '../db/count.ts';
import { auditEvents } from '../db/schema-trail.ts';
import type { Db } from '../db/scope.ts';
import type { Page } from '../page.ts';
import { maxTotal, rowsToRead } from '../page.ts';

export type AuditRow = typeof auditEvents.$inferSelect;

export interface AuditFilter {
  action?: string | undefined;
  userId?: string | undefined;
  attemptedUser?: string | undefined;
  actorKeyId?: string | undefined;
  actorUserId?: string | undefined;
  target?: string | undefined;
  reason?: string | undefined;
  outcome?: 'ok' | 'refused' | 'failed' | undefined;
  requestId?: string | undefined;
  /** Anywhere in action, target, reason or attempted user. */
  search?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

const is = (column: Parameters<typeof eq>[0], value: string | undefined): SQL | undefined =>
  value === undefined ? undefined : eq(column, value);

function contains(text: string | undefined): SQL | undefined {
  if (text === undefined) return undefined;
  const pattern = `%${text.replace(/[\\%_]/g, '\\$&')}%`;
  const { action, target, reason, attemptedUser } = auditEvents;
  return or(...[action, target, reason, attemptedUser].map((column) => ilike(column, pattern)));
}

const matches = (accountId: string, filter: AuditFilter): SQL | undefined =>
  and(
    eq(auditEvents.accountId, accountId),
    is(auditEvents.action, filter.action),
    is(auditEvents.userId, filter.userId),
    is(auditEvents.attemptedUser, filter.attemptedUser),
    is(auditEvents.actorKeyId, filter.actorKeyId),
    is(auditEvents.actorUserId, filter.actorUserId),
    is(auditEvents.target, filter.target),
    is(auditEvents.reason, filter.reason),
    is(auditEvents.outcome, filter.outcome),
    is(auditEvents.requestId, filter.requestId),
    contains(filter.search),
    filter.from === undefined ? undefined : gte(auditEvents.at, filter.from),
    filter.to === undefined ? undefined : lte(auditEvents.at, filter.to),
  );

/** Newest first, from before a place in the trail. Indexes: audit_account_seq, _user, _actor, _key, _action, audit_request. */
export async function readEvents(
  tx: Db,
  accountId: string,
  filter: AuditFilter,
  where: { before: number | undefined; limit: number; offset: number },
): Promise<AuditRow[]> {
  return tx
    .select()
    .from(auditEvents)
    .where(and(matches(accountId, filter), where.before === undefined ? undefined : lt(auditEvents.seq, where.before)))
    .orderBy(desc(auditEvents.seq))
    .limit(where.limit)
    .offset(where.offset);
}

const countWhere = (tx: Db, wanted: SQL | undefined): Promise<number> => countUpTo(tx, auditEvents, wanted, maxTotal);

export async function listEvents(
  tx: Db,
  accountId: string,
  filter: AuditFilter,
  page: Page,
): Promise<{ rows: AuditRow[]; total: number }> {
  const before = page.after === undefined ? undefined : Number(page.after[0]);
  const offset = page.after === undefined ? page.offset : 0;
  const rows = await readEvents(tx, accountId, filter, { before, limit: rowsToRead(page), offset });
  return { rows, total: page.isCounted ? await countWhere(tx, matches(accountId, filter)) : 0 };
}

export interface Span {
  from?: Date | undefined;
  to?: Date | undefined;
}

/** What was done to a user and what it did itself, newest first: two reads, each along its index. */
export async function readEventsOf(
  tx: Db,
  accountId: string,
  userId: string,
  span: Span,
  where: { before: number | undefined; limit: number },
): Promise<AuditRow[]> {
  const at = { ...where, offset: 0 };
  const affected = await readEvents(tx, accountId, { ...span, userId }, at);
  const acted = await readEvents(tx, accountId, { ...span, actorUserId: userId }, at);
  const all = new Map([...affected, ...acted].map((row) => [row.seq, row]));
  return [...all.values()].sort((a, b) => b.seq - a.seq).slice(0, where.limit);
}

export async function countEventsOf(tx: Db, accountId: string, userId: string, span: Span): Promise<number> {
  const theirs = or(eq(auditEvents.userId, userId), eq(auditEvents.actorUserId, userId));
  return countWhere(tx, and(matches(accountId, span), theirs));
}

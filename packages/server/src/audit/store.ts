// Reads the audit trail. Writing is `audit/record`'s alone; the database refuses to change or delete an event.
import { and, count, desc, eq, gte, lt, lte } from 'drizzle-orm';
import { auditEvents } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';

export type AuditRow = typeof auditEvents.$inferSelect;

export interface AuditFilter {
  action?: string | undefined;
  userId?: string | undefined;
  outcome?: 'ok' | 'refused' | 'failed' | undefined;
  requestId?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** The account's events, newest first. Index: audit_account_seq. */
export async function listEvents(
  tx: Db,
  accountId: string,
  filter: AuditFilter,
  page: Page,
): Promise<{ rows: AuditRow[]; total: number }> {
  const wanted = and(
    eq(auditEvents.accountId, accountId),
    filter.action === undefined ? undefined : eq(auditEvents.action, filter.action),
    filter.userId === undefined ? undefined : eq(auditEvents.userId, filter.userId),
    filter.outcome === undefined ? undefined : eq(auditEvents.outcome, filter.outcome),
    filter.requestId === undefined ? undefined : eq(auditEvents.requestId, filter.requestId),
    filter.from === undefined ? undefined : gte(auditEvents.at, filter.from),
    filter.to === undefined ? undefined : lte(auditEvents.at, filter.to),
  );
  const after = page.after === undefined ? undefined : lt(auditEvents.seq, Number(page.after[0]));
  const rows = await tx
    .select()
    .from(auditEvents)
    .where(and(wanted, after))
    .orderBy(desc(auditEvents.seq))
    .limit(rowsToRead(page))
    .offset(page.after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(auditEvents).where(wanted);
  return { rows, total: counted?.total ?? 0 };
}

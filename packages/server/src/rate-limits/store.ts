// Where an account's own limits live. What they mean is in `rules`; what was counted is elsewhere.
import { and, asc, count, eq, gt, or, sql } from 'drizzle-orm';
import { accounts } from '../db/schema.ts';
import { groups, limitRules } from '../db/schema-identity.ts';
import type { Db } from '../db/scope.ts';
import { newId } from '../ids.ts';
import { type Page, rowsToRead } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';

export type LimitRow = typeof limitRules.$inferSelect;
export type NewLimit = Omit<LimitRow, 'id' | 'createdAt' | 'updatedAt'>;
export type LimitChanges = Partial<Pick<LimitRow, 'max' | 'windowSeconds' | 'shared'>>;

/** Every call of the account looks at all of them. */
const maxPerAccount = 1_000;

const one = (accountId: string, id: string) => and(eq(limitRules.accountId, accountId), eq(limitRules.id, id));
const missing = () => notFound('Limit');

/** `id`: one that a configuration file keeps. */
export async function insertLimit(tx: Db, limit: NewLimit, id: string = newId('lim')): Promise<LimitRow> {
  // Held, so that two requests do not both find the last place free.
  await tx.select({ id: accounts.id }).from(accounts).where(eq(accounts.id, limit.accountId)).for('no key update');
  const [counted] = await tx
    .select({ total: count() })
    .from(limitRules)
    .where(eq(limitRules.accountId, limit.accountId));
  if ((counted?.total ?? 0) >= maxPerAccount)
    throw new Refusal('CONFLICT', `An account may have ${maxPerAccount} limits`, { reason: 'too_many_limits' });
  const [row] = await tx
    .insert(limitRules)
    .values({ ...limit, id })
    .returning();
  return row as LimitRow;
}

/** Oldest first. Index: limit_rules_account. */
export async function listLimits(
  tx: Db,
  accountId: string,
  filter: { userId?: string | undefined; groupId?: string | undefined },
  page: Page,
): Promise<{ rows: LimitRow[]; total: number }> {
  const wanted = and(
    eq(limitRules.accountId, accountId),
    filter.userId === undefined ? undefined : eq(limitRules.userId, filter.userId),
    filter.groupId === undefined ? undefined : eq(limitRules.groupId, filter.groupId),
  );
  const [time, id] = page.after ?? [];
  const at = new Date(Number(time));
  const after =
    id === undefined
      ? undefined
      : or(gt(limitRules.createdAt, at), and(eq(limitRules.createdAt, at), gt(limitRules.id, id)));
  const rows = await tx
    .select()
    .from(limitRules)
    .where(and(wanted, after))
    .orderBy(asc(limitRules.createdAt), asc(limitRules.id))
    .limit(rowsToRead(page))
    .offset(page.after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(limitRules).where(wanted);
  return { rows, total: counted?.total ?? 0 };
}

export async function updateLimit(tx: Db, accountId: string, id: string, changes: LimitChanges): Promise<LimitRow> {
  const [row] = await tx
    .update(limitRules)
    .set({ ...changes, updatedAt: sql`now()` })
    .where(one(accountId, id))
    .returning();
  if (row === undefined) throw missing();
  return row;
}

/** Deletes the limit; what was counted goes with it by foreign key. */
export async function deleteLimit(tx: Db, accountId: string, id: string): Promise<void> {
  const gone = await tx.delete(limitRules).where(one(accountId, id)).returning({ id: limitRules.id });
  if (gone.length === 0) throw missing();
}

/** The group, or NOT_FOUND. */
export async function assertGroup(tx: Db, accountId: string, id: string): Promise<void> {
  const [row] = await tx
    .select({ id: groups.id })
    .from(groups)
    .where(and(eq(groups.accountId, accountId), eq(groups.id, id)));
  if (row === undefined) throw notFound('Group');
}

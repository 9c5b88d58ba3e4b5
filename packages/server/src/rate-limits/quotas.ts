// Quotas of a day, counted in the database: exact on any number of replicas, and still there after a restart. A day begins at midnight UTC
// by the database clock. What is used up stays so until then, so a caller who keeps asking costs no statement.
import { and, eq, inArray, lt, sql } from 'drizzle-orm';
import type { Database } from '../db/client.ts';
import { DatabaseError } from '../db/errors.ts';
import { quotaCounters } from '../db/schema-identity.ts';
import { accountScope, type Db, withScope } from '../db/scope.ts';
import { type QuotaPlace, type QuotaState, takeQuotas } from '../db/take-quotas.ts';

export const daySeconds = 86_400;

export interface Quota extends QuotaPlace {
  max: number;
}

export interface Quotas {
  /** Takes one of each or none of any: then the last row says `refused`. */
  take(accountId: string, quotas: readonly Quota[]): Promise<QuotaState[]>;
  /** Milliseconds until midnight where this process knows that the quota is used up; undefined: it does not know. */
  usedUpFor(quota: Quota): number | undefined;
  /** What was used today, without taking anything. */
  used(accountId: string, quotas: readonly Quota[]): Promise<number[]>;
}

const brokenReference = '23503';
const maxRemembered = 100_000;

export function createQuotas(db: Database, now: () => number): Quotas {
  /** Until when a quota of this size is used up. Losing this costs statements, never a call too many. */
  const usedUp = new Map<string, number>();
  const keyOf = ({ limitId, subject, max }: Quota): string => `${limitId} ${subject} ${max}`;

  const remember = (quota: Quota, resetMs: number): void => {
    if (usedUp.size >= maxRemembered) usedUp.clear();
    usedUp.set(keyOf(quota), now() + resetMs);
  };

  return {
    async take(accountId, quotas) {
      let states: QuotaState[];
      try {
        states = await takeQuotas(db, accountId, quotas);
      } catch (error) {
        // The limit was deleted between the look at it and the count: the second look does not find it.
        if (!(error instanceof DatabaseError) || error.code !== brokenReference) throw error;
        states = await takeQuotas(db, accountId, quotas);
      }
      const last = states.at(-1);
      const refused = last?.refused ? quotas.find(({ limitId }) => limitId === last.limitId) : undefined;
      if (refused && last) remember({ ...refused, max: last.max }, last.resetMs);
      return states;
    },
    usedUpFor(quota) {
      const key = keyOf(quota);
      const until = usedUp.get(key);
      if (until === undefined) return undefined;
      const left = until - now();
      if (left > 0) return left;
      usedUp.delete(key);
      return undefined;
    },
    used: (accountId, quotas) => withScope(db, accountScope(accountId), (tx) => readUsed(tx, accountId, quotas)),
  };
}

const today = sql`(clock_timestamp() at time zone 'utc')::date`;

async function readUsed(tx: Db, accountId: string, quotas: readonly Quota[]): Promise<number[]> {
  const ids = quotas.map(({ limitId }) => limitId);
  const rows = await tx
    .select({ limitId: quotaCounters.limitId, subject: quotaCounters.subject, used: quotaCounters.used })
    .from(quotaCounters)
    .where(
      and(
        eq(quotaCounters.accountId, accountId),
        inArray(quotaCounters.limitId, ids),
        sql`${quotaCounters.day} = ${today}`,
      ),
    );
  const found = new Map(rows.map((row) => [`${row.limitId} ${row.subject}`, row.used]));
  return quotas.map(({ limitId, subject }) => found.get(`${limitId} ${subject}`) ?? 0);
}

/** Removes the counts of past days, in the scope of the installation. */
export async function sweepQuotas(tx: Db): Promise<void> {
  await tx.delete(quotaCounters).where(lt(quotaCounters.day, sql`current_date - 1`));
}

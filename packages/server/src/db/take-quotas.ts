// Daily quotas as one statement of the hot path (migration 0011). Scope set inside. Only encodes and decodes.
import { type Database, internalsOf } from './client.ts';

export interface QuotaPlace {
  limitId: string;
  /** A user's id, or `*` where all users together have the quota. */
  subject: string;
}

export interface QuotaState {
  limitId: string;
  used: number;
  /** As it stands in the table now. */
  max: number;
  /** True: this one is used up, and nothing was taken of any. */
  refused: boolean;
  /** Until midnight UTC, by the database clock. */
  resetMs: number;
}

/** Takes one of each quota, or none of any. A quota that does not exist any more has no row in the answer. */
export async function takeQuotas(
  db: Database,
  accountId: string,
  places: readonly QuotaPlace[],
): Promise<QuotaState[]> {
  const quotas = places.map(({ limitId, subject }) => ({ id: limitId, subject }));
  const rows = await internalsOf(db).driver.call('select * from valet_take_quotas($1)', [
    JSON.stringify({ account: accountId, quotas }),
  ]);
  return rows.map((row) => ({
    limitId: row.limit_id as string,
    used: Number(row.used),
    max: Number(row.most),
    refused: row.refused === true,
    resetMs: Number(row.reset_ms),
  }));
}

// Counts rows as far as a list tells: an exact count of millions would cost more than any page.
import { count, type SQL, sql } from 'drizzle-orm';
import type { PgTable } from 'drizzle-orm/pg-core';
import type { Db } from './scope.ts';

/** Rows of `table` that fit, at most `most`. */
export async function countUpTo(tx: Db, table: PgTable, wanted: SQL | undefined, most: number): Promise<number> {
  const some = tx.select({ one: sql`1` }).from(table).where(wanted).limit(most).as('some');
  const [counted] = await tx.select({ total: count() }).from(some);
  return counted?.total ?? 0;
}

// The only door to the tables: every statement runs in a transaction that names its account and its user, in a role that row-level security binds.
// The wall catches a forgotten filter; it does not replace the filter. Never hold a scope open across a network call.
import { type Database, internalsOf } from './client.ts';
import { assertScope, type Db, type Row, type Scope } from './driver.ts';
import { asDatabaseError } from './errors.ts';

export type { Db, Scope } from './driver.ts';

/** The whole installation: the list of accounts, the keyring, the sweeper. Sees nothing that belongs to one account's users. */
export const installationScope: Scope = Object.freeze({ account: '*', user: '*' });

/** One account, all of its users: management. */
export function accountScope(account: string): Scope {
  return { account, user: '*' };
}

/**
 * Runs `fn` in one transaction under `scope`; commits when it resolves, rolls back when it throws, and then tells what was published.
 * Throws DatabaseUnavailable when the database does not answer in time and DatabaseError when it refuses; errors of `fn` pass unchanged.
 */
export async function withScope<T>(db: Database, scope: Scope, fn: (tx: Db) => Promise<T>): Promise<T> {
  assertScope(scope);
  const { driver, link, pending } = internalsOf(db);
  const topics: string[] = [];
  let result: T;
  try {
    result = await driver.transaction(scope, async (tx) => {
      pending.set(tx, topics);
      try {
        return await fn(tx);
      } finally {
        pending.delete(tx);
      }
    });
  } catch (error) {
    throw asDatabaseError(error);
  }
  if (topics.length > 0) link.emit(topics);
  return result;
}

/** One parameterised statement under `scope`, without the query builder: for hot reads. Columns come as the database names them. */
export async function scopedQuery<T extends object = Row>(
  db: Database,
  scope: Scope,
  text: string,
  params: readonly unknown[] = [],
): Promise<T[]> {
  return (await internalsOf(db).driver.read(scope, text, params)) as T[];
}

/** The rows of a raw `tx.execute(sql…)`, which the two engines return in different shapes. */
export function rowsOf<T extends object = Row>(result: unknown): T[] {
  return (Array.isArray(result) ? [...result] : (result as { rows: T[] }).rows) as T[];
}

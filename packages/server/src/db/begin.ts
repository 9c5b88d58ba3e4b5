// Transactions of postgres.js whose connection may go.
//
// postgres.js ends each transaction by a statement, also where the connection is gone by then, and that write to nothing ends the process
// (porsager/postgres#1208). Guarantee: on a connection that is gone no statement follows. Its transaction never settles; whoever waits has been
// told by `begin` itself.
import type { Sql, TransactionSql } from 'postgres';
import { DatabaseUnavailable } from './errors.ts';

/** `stillThere`, before each statement: throws when the connection is gone. */
export function begin<T>(sql: Sql, fn: (on: TransactionSql, stillThere: () => void) => Promise<T>): Promise<T> {
  let isGone = false;
  const stillThere = (): void => {
    if (isGone) throw new DatabaseUnavailable('CONNECTION_CLOSED');
  };
  const work = sql.begin(async (on) => {
    try {
      return await fn(on, stillThere);
    } catch (error) {
      // A connection that breaks fails its statement first and is known to be gone a turn later.
      await new Promise(setImmediate);
      throw error;
    } finally {
      if (isGone) await new Promise<never>(() => undefined);
    }
  }) as Promise<T>;
  work.catch(() => {
    isGone = true;
  });
  return work;
}

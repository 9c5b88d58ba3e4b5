// Where wrapped data keys live: one current key per user. Knows rows only; wrapping and unwrapping is the vault's.
import { and, eq } from 'drizzle-orm';
import type { DataKeyRow } from '../crypto/keyring.ts';
import { dataKeys } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';

const dataKeyColumns = {
  id: dataKeys.id,
  accountId: dataKeys.accountId,
  userId: dataKeys.userId,
  kekVersion: dataKeys.kekVersion,
  wrapped: dataKeys.wrapped,
};

/** The data key that seals for this user now. Index: data_keys_current. */
export async function findCurrentDataKey(tx: Db, account: string, user: string): Promise<DataKeyRow | undefined> {
  const [row] = await tx
    .select(dataKeyColumns)
    .from(dataKeys)
    .where(and(eq(dataKeys.accountId, account), eq(dataKeys.userId, user), eq(dataKeys.isCurrent, true)));
  return row;
}

/** Makes it the user's current data key unless there is one by now; answers the one that is current. */
export async function insertDataKey(tx: Db, row: DataKeyRow): Promise<DataKeyRow> {
  // Two first secrets at a time: the second insert waits for the first transaction, then does nothing, and the key of the first is read.
  await tx.insert(dataKeys).values(row).onConflictDoNothing();
  const current = await findCurrentDataKey(tx, row.accountId, row.userId);
  if (current === undefined) throw new Error('a data key was made and is not there');
  return current;
}

// One wrapped data key by id, for opening a stored answer. Scoped to its user; a deleted user's is gone.
import type { DataKeyRow } from '../crypto/keyring.ts';
import type { Database } from '../db/client.ts';
import { scopedQuery } from '../db/scope.ts';

const byId = `select id, account_id as "accountId", user_id as "userId", kek_version as "kekVersion", wrapped
  from data_keys where account_id = $1 and user_id = $2 and id = $3`;

export async function findDataKey(
  db: Database,
  account: string,
  user: string,
  id: string,
): Promise<DataKeyRow | undefined> {
  const [row] = await scopedQuery<DataKeyRow>(db, { account, user }, byId, [account, user, id]);
  return row;
}

// Whose sign-in a link or a provider's answer belongs to, before anybody is known: one look-up by keyed hash, scope set inside (migration 0005).
// Only encodes and decodes; everything else about the request is read under the scope that this answers.
import { type Database, internalsOf } from './client.ts';

export interface FoundConnect {
  accountId: string;
  userId: string;
  /** Of the link, also when it was found by its state. */
  hash: Uint8Array;
}

/** By the hash of a link's id or of a running authorization's state. */
export async function findConnect(db: Database, hash: Uint8Array): Promise<FoundConnect | undefined> {
  const [row] = await internalsOf(db).driver.call('select * from valet_find_connect($1)', [hash]);
  if (!row) return undefined;
  return { accountId: row.account_id as string, userId: row.user_id as string, hash: row.hash as Uint8Array };
}

// Of those who are connected, who may stay no longer: one statement for all of them (migration 0012). Only encodes and decodes.
import { type Database, internalsOf } from './client.ts';

/** What let somebody in, and to what. */
export interface Admission {
  accountId: string;
  userId: string;
  /** Of what was presented; null: kept for the user, whoever asked. For a user token alone the id of its issuer. */
  keyId: string | null;
  kind: string;
  serverId: string | null;
  /** Of the user token, alone or beside a key. */
  issuerId: string | null;
  tokenId: string | null;
  /** When it was let in, in milliseconds since 1970. */
  since: number;
}

/** Positions of those whose admission has ended. */
export async function findEnded(db: Database, admissions: readonly Admission[]): Promise<number[]> {
  const connected = admissions.map((one, n) => ({
    n,
    account: one.accountId,
    key: one.keyId,
    kind: one.kind,
    user: one.userId,
    server: one.serverId,
    issuer: one.issuerId,
    token: one.tokenId,
    since: one.since,
  }));
  const rows = await internalsOf(db).driver.call('select n from valet_find_ended($1)', [JSON.stringify(connected)]);
  return rows.map((row) => Number(row.n));
}

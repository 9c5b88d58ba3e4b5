// Keys of people who sign in to the dashboard at an issuer: one for each, found by who it is, without a text that anybody could present.

import { and, desc, eq, isNull, sql } from 'drizzle-orm';
import type { Keyring } from '../crypto/keyring.ts';
import { mintToken } from '../crypto/token.ts';
import { apiKeys } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import { type ApiKeyRow, insertKey, type NewKey } from './store.ts';

/** Shown where others show how their text begins: whoever signs in to the dashboard at an issuer has a key without a text. */
const personPrefix = 'oidc:';
export const isPersonKey = ({ prefix }: Pick<ApiKeyRow, 'prefix'>): boolean => prefix.startsWith(personPrefix);

/** The newest key of this person, and whether its time is over; revoked or not. Nobody chooses a prefix, so nobody else's key has it. */
export async function findPersonKey(
  tx: Db,
  accountId: string,
  person: string,
): Promise<{ row: ApiKeyRow; isPast: boolean } | undefined> {
  const [found] = await tx
    .select({ row: apiKeys, isPast: sql<boolean>`coalesce(${apiKeys.expiresAt} <= now(), false)` })
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), isNull(apiKeys.userId), eq(apiKeys.prefix, personPrefix + person)))
    .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
    .limit(1);
  return found;
}

/** A key whose text nobody ever has: sessions stand for it, revoking it ends them. */
export function storePersonKey(tx: Db, keyring: Keyring, key: NewKey, person: string): Promise<ApiKeyRow> {
  return insertKey(tx, keyring, key, mintToken(key.kind).token, personPrefix + person);
}

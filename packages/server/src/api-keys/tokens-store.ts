// Where delegated tokens live: among the keys, of a kind of their own. A token is no better than the key that minted it: what ends the key
// ends its tokens in the same transaction, and sign-in looks again (`valet_find_principal`).
import { and, count, desc, eq, lt, or } from 'drizzle-orm';
import { apiKeys, users } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import { type ApiKeyRow, isActive } from './store.ts';

export type TokenRow = ApiKeyRow & { username: string };

const maxLiveTokensPerUser = 1_000;
const isToken = (accountId: string) => and(eq(apiKeys.accountId, accountId), eq(apiKeys.kind, 'usr'));
const withUser = and(eq(users.accountId, apiKeys.accountId), eq(users.id, apiKeys.userId));

/** Throws CONFLICT when the user has as many live tokens as allowed. Call it with the user's row locked. */
export async function assertRoomForToken(tx: Db, accountId: string, userId: string): Promise<void> {
  const [counted] = await tx
    .select({ live: count() })
    .from(apiKeys)
    .where(and(isToken(accountId), eq(apiKeys.userId, userId), isActive));
  if ((counted?.live ?? 0) >= maxLiveTokensPerUser) {
    throw new Refusal('CONFLICT', `A user has at most ${maxLiveTokensPerUser} live tokens; revoke some or wait`);
  }
}

export async function getToken(tx: Db, accountId: string, id: string): Promise<TokenRow> {
  const [found] = await tx
    .select({ row: apiKeys, username: users.username })
    .from(apiKeys)
    .innerJoin(users, withUser)
    .where(and(isToken(accountId), eq(apiKeys.id, id)));
  if (found === undefined) throw notFound('Token');
  return { ...found.row, username: found.username };
}

/** Newest first. */
export async function listTokens(
  tx: Db,
  accountId: string,
  userId: string | undefined,
  page: Page,
): Promise<{ rows: TokenRow[]; total: number }> {
  const wanted = and(isToken(accountId), userId === undefined ? undefined : eq(apiKeys.userId, userId));
  const [time, id] = page.after ?? [];
  const at = new Date(Number(time));
  const after =
    id === undefined ? undefined : or(lt(apiKeys.createdAt, at), and(eq(apiKeys.createdAt, at), lt(apiKeys.id, id)));
  const rows = await tx
    .select({ row: apiKeys, username: users.username })
    .from(apiKeys)
    .innerJoin(users, withUser)
    .where(and(wanted, after))
    .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
    .limit(rowsToRead(page))
    .offset(page.after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(apiKeys).where(wanted);
  return { rows: rows.map(({ row, username }) => ({ ...row, username })), total: counted?.total ?? 0 };
}

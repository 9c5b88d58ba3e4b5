// The keys of an account as people see them: newest first, by page.
import { and, count, desc, eq, lt, ne, or } from 'drizzle-orm';
import { apiKeys, users } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import { type Page, rowsToRead } from '../page.ts';
import type { ApiKeyRow } from './store.ts';

interface KeyFilter {
  userId?: string | undefined;
  serverId?: string | undefined;
}

/** The account's keys, newest first. */
export async function listApiKeys(
  tx: Db,
  accountId: string,
  filter: KeyFilter,
  page: Page,
): Promise<{ rows: (ApiKeyRow & { username: string | null })[]; total: number }> {
  const wanted = and(
    eq(apiKeys.accountId, accountId),
    // Delegated tokens have a list of their own.
    ne(apiKeys.kind, 'usr'),
    filter.userId === undefined ? undefined : eq(apiKeys.userId, filter.userId),
    filter.serverId === undefined ? undefined : eq(apiKeys.serverId, filter.serverId),
  );
  const [time, id] = page.after ?? [];
  const at = new Date(Number(time));
  const after =
    id === undefined ? undefined : or(lt(apiKeys.createdAt, at), and(eq(apiKeys.createdAt, at), lt(apiKeys.id, id)));
  const rows = await tx
    .select({ key: apiKeys, username: users.username })
    .from(apiKeys)
    .leftJoin(users, and(eq(users.accountId, apiKeys.accountId), eq(users.id, apiKeys.userId)))
    .where(and(wanted, after))
    .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
    .limit(rowsToRead(page))
    .offset(page.after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(apiKeys).where(wanted);
  return { rows: rows.map(({ key, username }) => ({ ...key, username })), total: counted?.total ?? 0 };
}

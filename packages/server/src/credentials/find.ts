// Looks up credentials and the names of their secrets. Reads names only: sealed values are the call plane's.
import { and, count, desc, eq, inArray, lt, or, sql } from 'drizzle-orm';
import { credentials, secrets, users } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';
import { notFound } from '../refusal.ts';

export type CredentialRow = typeof credentials.$inferSelect;

/** NOT_FOUND for one that is not there and for one of somebody else alike. */
export async function getCredential(
  tx: Db,
  accountId: string,
  id: string,
): Promise<CredentialRow & { username: string }> {
  const [row] = await tx
    .select({ credential: credentials, username: users.username })
    .from(credentials)
    .innerJoin(users, and(eq(users.accountId, credentials.accountId), eq(users.id, credentials.userId)))
    .where(and(eq(credentials.accountId, accountId), eq(credentials.id, id)));
  if (row === undefined) throw notFound('Credential');
  return { ...row.credential, username: row.username };
}

export interface CredentialFilter {
  userId?: string | undefined;
  connectorId?: string | undefined;
}

/** Newest first. */
export async function listCredentials(
  tx: Db,
  accountId: string,
  filter: CredentialFilter,
  page: Page,
): Promise<{ rows: (CredentialRow & { username: string })[]; total: number }> {
  const wanted = and(
    eq(credentials.accountId, accountId),
    filter.userId === undefined ? undefined : eq(credentials.userId, filter.userId),
    filter.connectorId === undefined ? undefined : eq(credentials.connectorId, filter.connectorId),
  );
  const [time, id] = page.after ?? [];
  const at = new Date(Number(time));
  const after =
    id === undefined
      ? undefined
      : or(lt(credentials.createdAt, at), and(eq(credentials.createdAt, at), lt(credentials.id, id)));
  const rows = await tx
    .select({ credential: credentials, username: users.username })
    .from(credentials)
    .innerJoin(users, and(eq(users.accountId, credentials.accountId), eq(users.id, credentials.userId)))
    .where(and(wanted, after))
    .orderBy(desc(credentials.createdAt), desc(credentials.id))
    .limit(rowsToRead(page))
    .offset(page.after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(credentials).where(wanted);
  return { rows: rows.map(({ credential, username }) => ({ ...credential, username })), total: counted?.total ?? 0 };
}

/** Names of the secrets of each credential, sorted. */
export async function secretNamesOf(
  tx: Db,
  accountId: string,
  credentialIds: readonly string[],
): Promise<Map<string, string[]>> {
  const names = new Map<string, string[]>(credentialIds.map((id) => [id, []]));
  if (credentialIds.length === 0) return names;
  const rows = await tx
    .select({ credentialId: secrets.credentialId, name: secrets.name })
    .from(secrets)
    .where(and(eq(secrets.accountId, accountId), inArray(secrets.credentialId, [...credentialIds])))
    .orderBy(secrets.credentialId, sql`${secrets.name} collate "C"`);
  for (const row of rows) names.get(row.credentialId)?.push(row.name);
  return names;
}

// Where bearer tokens live, those of server URLs included. Only keyed hashes are stored; the text exists once, in what `mintApiKey` returns.
import type { KeyKind } from '@mcp-valet/shared';
import { and, count, desc, eq, gt, inArray, isNull, ne, notInArray, or, type SQL, sql } from 'drizzle-orm';
import type { Keyring } from '../crypto/keyring.ts';
import { mintToken, shownPrefix } from '../crypto/token.ts';
import { apiKeys, type Delegation } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import { newId } from '../ids.ts';
import { notFound, Refusal } from '../refusal.ts';

export type ApiKeyRow = typeof apiKeys.$inferSelect;

export interface NewKey {
  accountId: string;
  kind: KeyKind;
  name: string;
  userId: string | null;
  /** On url keys only: the server that the token opens. */
  serverId?: string | undefined;
  /** Absent: never expires. */
  expiresInDays?: number | undefined;
  /** Instead of days: the moment, as a statement of the database's clock. */
  expiresAt?: Ending | undefined;
  scopes?: readonly string[] | null | undefined;
  /** Ids. */
  allowedUsers?: readonly string[] | null | undefined;
  rotatedFrom?: string | undefined;
  /** On delegated tokens only. */
  delegation?: Delegation | undefined;
}
export type Ending = SQL | Date | null;

/** A key and, this once, its text. */
export interface MintedKey {
  row: ApiKeyRow;
  token: string;
}

const maxActiveKeysPerUser = 20;
/** Usable now, by the database clock. */
export const isActive = and(
  isNull(apiKeys.revokedAt),
  or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, sql`now()`)),
);
export const inMs = (ms: number) => sql`now() + ${ms}::float8 * interval '1 millisecond'`;
const inDays = (days: number | undefined) =>
  days === undefined ? null : sql`now() + make_interval(days => ${days}::int)`;

export async function mintApiKey(tx: Db, keyring: Keyring, key: NewKey): Promise<MintedKey> {
  const { token, prefix } = mintToken(key.kind);
  return { token, row: await insertKey(tx, keyring, key, token, prefix) };
}

/** Stores a key whose text the operator chose: the static admin key. */
export async function storeApiKey(tx: Db, keyring: Keyring, key: NewKey, text: string): Promise<ApiKeyRow> {
  return insertKey(tx, keyring, key, text, shownPrefix(text));
}

/** Stores a key under a text and a prefix that were chosen elsewhere. */
export async function insertKey(
  tx: Db,
  keyring: Keyring,
  key: NewKey,
  token: string,
  prefix: string,
): Promise<ApiKeyRow> {
  const { accountId, kind, name, userId, serverId, expiresInDays, expiresAt, scopes, allowedUsers } = key;
  const [row] = await tx
    .insert(apiKeys)
    .values({
      id: newId('key'),
      accountId,
      kind,
      name,
      hash: keyring.hashToken(token),
      pepperVersion: keyring.pepperVersion,
      prefix,
      userId,
      serverId: serverId ?? null,
      expiresAt: expiresAt === undefined ? inDays(expiresInDays) : expiresAt,
      scopes: scopes == null ? null : [...scopes],
      allowedUsers: allowedUsers == null ? null : [...allowedUsers],
      rotatedFrom: key.rotatedFrom ?? null,
      delegation: key.delegation ?? null,
    })
    .returning();
  return row as ApiKeyRow;
}

/** Throws CONFLICT when the user has as many usable keys as allowed. Call it with the user's row locked. */
export async function assertRoomForKey(tx: Db, accountId: string, userId: string): Promise<void> {
  const [counted] = await tx
    .select({ active: count() })
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.userId, userId), ne(apiKeys.kind, 'usr'), isActive));
  if ((counted?.active ?? 0) >= maxActiveKeysPerUser) {
    throw new Refusal('CONFLICT', `A user has at most ${maxActiveKeysPerUser} active keys; revoke one first`);
  }
}

export async function findApiKey(tx: Db, accountId: string, id: string): Promise<ApiKeyRow | undefined> {
  const [row] = await tx
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.id, id)));
  return row;
}

/** The key, held until the transaction ends, and whether it can still be used. */
export async function lockApiKey(
  tx: Db,
  accountId: string,
  id: string,
): Promise<{ row: ApiKeyRow; isActive: boolean } | undefined> {
  const [found] = await tx
    .select({ row: apiKeys, isActive: sql<boolean>`${isActive}` })
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.id, id)))
    .for('update');
  return found;
}

/** Whether a key that can be used stands in place of this one already. */
export async function hasSuccessor(tx: Db, accountId: string, id: string): Promise<boolean> {
  const [row] = await tx
    .select({ id: apiKeys.id })
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.rotatedFrom, id), isActive))
    .limit(1);
  return row !== undefined;
}

export type KeyChanges = Partial<Pick<ApiKeyRow, 'name' | 'scopes' | 'allowedUsers' | 'expiresAt'>>;
type StoredChanges = Omit<KeyChanges, 'expiresAt'> & { expiresAt?: Ending };

export async function updateApiKey(tx: Db, accountId: string, id: string, changes: StoredChanges): Promise<ApiKeyRow> {
  const [row] = await tx
    .update(apiKeys)
    .set(changes)
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.id, id)))
    .returning();
  if (row === undefined) throw notFound('Key');
  return row;
}

/** Lets a key end after some seconds, unless it ends sooner by itself; 0: now. Answers when that is. */
export async function endApiKeyIn(tx: Db, accountId: string, id: string, seconds: number): Promise<Date> {
  const end = sql`now() + make_interval(secs => ${seconds}::int)`;
  const [row] = await tx
    .update(apiKeys)
    .set(seconds === 0 ? { revokedAt: sql`now()` } : { expiresAt: sql`least(${apiKeys.expiresAt}, ${end})` })
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.id, id)))
    .returning({ revokedAt: apiKeys.revokedAt, expiresAt: apiKeys.expiresAt });
  const at = row?.revokedAt ?? row?.expiresAt;
  if (at == null) throw notFound('Key');
  return at;
}

/** Index: api_keys_hash. */
export async function findApiKeyByText(
  tx: Db,
  keyring: Keyring,
  accountId: string,
  text: string,
): Promise<ApiKeyRow | undefined> {
  const [row] = await tx
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.hash, keyring.hashToken(text))));
  return row;
}

/** Ends a key now. A key that has ended already keeps the time of its end. */
export async function revokeApiKey(tx: Db, accountId: string, id: string): Promise<void> {
  await tx
    .update(apiKeys)
    .set({ revokedAt: sql`now()` })
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.id, id), isNull(apiKeys.revokedAt)));
}

/** Ends every active key of this kind and name. Answers the ids. */
export async function revokeApiKeysNamed(tx: Db, accountId: string, kind: KeyKind, name: string): Promise<string[]> {
  const ended = await tx
    .update(apiKeys)
    .set({ revokedAt: sql`now()` })
    .where(
      and(eq(apiKeys.accountId, accountId), eq(apiKeys.kind, kind), eq(apiKeys.name, name), isNull(apiKeys.revokedAt)),
    )
    .returning({ id: apiKeys.id });
  return ended.map((key) => key.id);
}

/** The user's keys, newest first, ended ones too. Index: api_keys_user. */
export async function listKeysOfUser(tx: Db, accountId: string, userId: string): Promise<ApiKeyRow[]> {
  return tx
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.userId, userId), notInArray(apiKeys.kind, ['url', 'usr'])))
    .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
    .limit(1000);
}

/** The newest token of each server, ended ones left out. Index: api_keys_server. */
export async function findServerTokens(
  tx: Db,
  accountId: string,
  serverIds: readonly string[],
): Promise<Map<string, ApiKeyRow>> {
  if (serverIds.length === 0) return new Map();
  const rows = await tx
    .selectDistinctOn([apiKeys.serverId])
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), inArray(apiKeys.serverId, [...serverIds]), isNull(apiKeys.revokedAt)))
    .orderBy(apiKeys.serverId, desc(apiKeys.createdAt), sql`${apiKeys.expiresAt} desc nulls first`);
  return new Map(rows.map((row) => [row.serverId as string, row]));
}

/** Ends the server's tokens now, or after `overlapSeconds` where they would live longer. Answers the ids it touched. */
export async function endServerTokens(
  tx: Db,
  accountId: string,
  serverId: string,
  overlapSeconds: number,
): Promise<string[]> {
  const end = sql`now() + make_interval(secs => ${overlapSeconds}::int)`;
  const touched = await tx
    .update(apiKeys)
    .set(overlapSeconds === 0 ? { revokedAt: sql`now()` } : { expiresAt: sql`least(${apiKeys.expiresAt}, ${end})` })
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.serverId, serverId), isNull(apiKeys.revokedAt)))
    .returning({ id: apiKeys.id });
  return touched.map((key) => key.id);
}

const mintedBy = (keyIds: readonly string[]) => inArray(sql`${apiKeys.delegation}->>'mintedBy'`, [...keyIds]);

/** Revokes what these keys minted. Answers the ids. */
export async function revokeTokensOf(tx: Db, accountId: string, keyIds: readonly string[]): Promise<string[]> {
  if (keyIds.length === 0) return [];
  const ended = await tx
    .update(apiKeys)
    .set({ revokedAt: sql`now()` })
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.kind, 'usr'), mintedBy(keyIds), isNull(apiKeys.revokedAt)))
    .returning({ id: apiKeys.id });
  return ended.map(({ id }) => id);
}

/** What the key minted ends with it, at the latest then. Answers the ids. */
export async function endTokensOf(tx: Db, accountId: string, keyId: string, at: Date): Promise<string[]> {
  const touched = await tx
    .update(apiKeys)
    .set({ expiresAt: sql`least(${apiKeys.expiresAt}, ${at.toISOString()}::timestamptz)` })
    .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.kind, 'usr'), mintedBy([keyId]), isNull(apiKeys.revokedAt)))
    .returning({ id: apiKeys.id });
  return touched.map(({ id }) => id);
}

/** Ends all that signs in as this user or was minted by its keys. Answers the ids. */
export async function revokeKeysOfUser(
  tx: Db,
  accountId: string,
  userId: string,
): Promise<{ keyIds: string[]; tokenIds: string[] }> {
  const own = and(eq(apiKeys.accountId, accountId), eq(apiKeys.userId, userId), isNull(apiKeys.revokedAt));
  const ended = await tx
    .update(apiKeys)
    .set({ revokedAt: sql`now()` })
    .where(own)
    .returning({ id: apiKeys.id, kind: apiKeys.kind });
  const keyIds = ended.filter(({ kind }) => kind !== 'usr').map(({ id }) => id);
  const tokenIds = ended.filter(({ kind }) => kind === 'usr').map(({ id }) => id);
  return { keyIds, tokenIds: [...tokenIds, ...(await revokeTokensOf(tx, accountId, keyIds))] };
}

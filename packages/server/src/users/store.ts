// Where users live. Every query names the account; the scope's wall is behind it, so a standard key finds nobody but its own user.
import { and, asc, count, eq, getTableColumns, gt, inArray, or, sql } from 'drizzle-orm';
import type { Ctx } from '../context.ts';
import { apiKeys, credentials, dataKeys, secrets, users } from '../db/schema.ts';
import { claims } from '../db/schema-trail.ts';
import type { Db } from '../db/scope.ts';
import type { Principal } from '../identity/principal.ts';
import { newId } from '../ids.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';
import { Refusal, userNotFound } from '../refusal.ts';

export type UserRow = typeof users.$inferSelect;

/** The user that everything unnamed runs as. Exists in every account from the start and stays. */
export const defaultUsername = 'default';

/** The user `default` is where requests without a user run: without it, or with it disabled, single-user clients stop. */
export function refuseDefault(row: UserRow, verb: string): void {
  if (row.username === defaultUsername)
    throw new Refusal('CONFLICT', `The user "${defaultUsername}" cannot be ${verb}`);
}

/** By `usr_` id or by username; the two cannot be confused, no username starts with `usr_`. */
export async function findUser(tx: Db, accountId: string, ref: string): Promise<UserRow | undefined> {
  const named = ref.startsWith('usr_') ? eq(users.id, ref) : eq(users.username, ref);
  const [row] = await tx
    .select()
    .from(users)
    .where(and(eq(users.accountId, accountId), named));
  return row;
}

/** The ids of all the users named, by username or id, without doubles. Throws USER_NOT_FOUND when one of them is not there. */
export async function getUserIds(tx: Db, accountId: string, refs: readonly string[]): Promise<string[]> {
  const ids = refs.filter((ref) => ref.startsWith('usr_'));
  const names = refs.filter((ref) => !ref.startsWith('usr_'));
  const rows = await tx
    .select({ id: users.id, username: users.username })
    .from(users)
    .where(and(eq(users.accountId, accountId), or(inArray(users.id, ids), inArray(users.username, names))));
  const known = new Set(rows.flatMap(({ id, username }) => [id, username]));
  if (!refs.every((ref) => known.has(ref))) throw userNotFound();
  return rows.map(({ id }) => id).sort();
}

/** As `findUser`, but throws USER_NOT_FOUND. */
export async function getUser(tx: Db, accountId: string, ref: string): Promise<UserRow> {
  const row = await findUser(tx, accountId, ref);
  if (row === undefined) throw userNotFound();
  return row;
}

/**
 * The user for whom a request speaks when it names none: whom its user token proves, else `default` for keys that may act for users, or the
 * key's own. Undefined where the key is kept to other users than that.
 */
export async function findOwnUser(tx: Db, principal: Principal): Promise<UserRow | undefined> {
  const { proof, mayActForUsers, userId } = principal;
  if (proof !== null && !mayActForUsers && proof.userId !== userId) throw ofOtherUser();
  const ref = proof?.userId ?? (mayActForUsers || userId === null ? defaultUsername : userId);
  const own = await findUser(tx, principal.accountId, ref);
  if (own === undefined && principal.allowedUsers === null) throw userNotFound();
  return own;
}

/** As `findOwnUser`, but throws where there is none. */
export async function getOwnUser(tx: Db, principal: Principal): Promise<UserRow> {
  const own = await findOwnUser(tx, principal);
  if (own !== undefined) return own;
  throw new Refusal('FORBIDDEN', 'This key is kept to some users: name one of them', { reason: 'users_narrowed' });
}

/**
 * The user that a request names in its body or query: an assertion which the credential must allow. A key that manages one user may name
 * that one only; whoever else it names, existing or not, is the same FORBIDDEN and leaves a `user.override` event.
 */
export async function getNamedUser(ctx: Ctx, tx: Db, ref: string | undefined): Promise<UserRow> {
  const { principal } = ctx;
  if (ref === undefined) return getOwnUser(tx, principal);
  if (principal.mayActForUsers && principal.proof === null) return getUser(tx, principal.accountId, ref);
  const own = await getOwnUser(tx, principal);
  if (ref === own.id || ref === own.username) return own;
  ctx.note({ details: { attemptedUser: ref } });
  throw ofOtherUser();
}

/** Reason of a refused attempt to act for another user. */
export const otherUser = 'other_user';
const ofOtherUser = (): Refusal =>
  new Refusal('FORBIDDEN', 'This credential may act for its own user only', { reason: otherUser });

/** Holds the user's row until the transaction ends, so that what is counted or chosen per user is decided by one request at a time. */
export async function lockUser(tx: Db, accountId: string, id: string): Promise<void> {
  const [row] = await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.accountId, accountId), eq(users.id, id)))
    .for('no key update');
  if (row === undefined) throw userNotFound();
}

export async function insertUser(
  tx: Db,
  accountId: string,
  fields: Pick<UserRow, 'username'> & Partial<Pick<UserRow, 'email' | 'description' | 'metadata'>>,
): Promise<UserRow> {
  const [row] = await tx
    .insert(users)
    .values({ ...fields, id: newId('usr'), accountId })
    .returning();
  return row as UserRow;
}

/** By username. Index: users_username. */
export async function listUsers(tx: Db, accountId: string, page: Page): Promise<{ rows: UserRow[]; total: number }> {
  const ours = eq(users.accountId, accountId);
  const after = page.after?.[0];
  const rows = await tx
    .select()
    .from(users)
    .where(after === undefined ? ours : and(ours, gt(users.username, after)))
    .orderBy(asc(users.username))
    .limit(rowsToRead(page))
    .offset(after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(users).where(ours);
  return { rows, total: counted?.total ?? 0 };
}

export async function updateUser(
  tx: Db,
  accountId: string,
  id: string,
  changes: Partial<Pick<UserRow, 'enabled' | 'mcpAllowed' | 'mcpBlocked' | 'permissions'>>,
): Promise<UserRow> {
  const [row] = await tx
    .update(users)
    .set({ ...changes, updatedAt: sql`now()` })
    .where(and(eq(users.accountId, accountId), eq(users.id, id)))
    .returning();
  if (row === undefined) throw userNotFound();
  return row;
}

/** What went with a deleted user. */
export interface DeletedUser {
  keyIds: string[];
  credentials: number;
  secrets: number;
  dataKeys: number;
}

/**
 * Deletes the user and everything sealed for it. Foreign keys would cascade most of it; said row by row it is counted, and the stored
 * answers, which no foreign key reaches, go too. Journal and audit events stay: they are the account's, not the user's.
 */
export async function deleteUser(tx: Db, accountId: string, id: string): Promise<DeletedUser> {
  await lockUser(tx, accountId, id);
  const of = <T extends typeof apiKeys | typeof credentials | typeof dataKeys | typeof secrets | typeof claims>(
    table: T,
  ) => {
    const columns = getTableColumns(table);
    return and(eq(columns.accountId, accountId), eq(columns.userId, id));
  };
  const keys = await tx.delete(apiKeys).where(of(apiKeys)).returning({ id: apiKeys.id });
  const sealed = await tx.delete(secrets).where(of(secrets)).returning({ name: secrets.name });
  const held = await tx.delete(credentials).where(of(credentials)).returning({ id: credentials.id });
  const wrapped = await tx.delete(dataKeys).where(of(dataKeys)).returning({ id: dataKeys.id });
  await tx.delete(claims).where(of(claims));
  await tx.delete(users).where(and(eq(users.accountId, accountId), eq(users.id, id)));
  return {
    keyIds: keys.map((key) => key.id),
    credentials: held.length,
    secrets: sealed.length,
    dataKeys: wrapped.length,
  };
}

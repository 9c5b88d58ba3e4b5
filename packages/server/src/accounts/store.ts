// Where accounts live, and what every account begins with. The one store that leaves the caller's account, for the length of a statement:
// the wall lets nobody see or make an account from inside another one.
import { asc, count, eq, gt, sql } from 'drizzle-orm';
import { type ApiKeyRow, mintApiKey, storeApiKey } from '../api-keys/store.ts';
import type { Keyring } from '../crypto/keyring.ts';
import { isUniqueViolation } from '../db/errors.ts';
import { accounts } from '../db/schema.ts';
import { claims } from '../db/schema-trail.ts';
import type { Db } from '../db/scope.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import { defaultUsername, insertUser } from '../users/store.ts';

export type AccountRow = typeof accounts.$inferSelect;

/** The account that exists from the start; its admin keys manage accounts. */
export const defaultAccountName = 'default';
/** The name under which the key from VALET_API_KEY is listed. */
export const staticKeyName = 'VALET_API_KEY';

/** Throws FORBIDDEN unless the account is the operator's own. `what` completes "may …". */
export async function assertOperator(tx: Db, accountId: string, what: string): Promise<void> {
  const own = await findAccount(tx, accountId);
  if (own?.name === defaultAccountName) return;
  throw new Refusal('FORBIDDEN', `Only an admin key of the account "${defaultAccountName}" may ${what}`, {
    reason: 'not_operator',
  });
}

export async function findAccount(tx: Db, id: string): Promise<AccountRow | undefined> {
  const [row] = await tx.select().from(accounts).where(eq(accounts.id, id));
  return row;
}

/** In the installation's scope only: inside an account the others cannot be seen. */
export async function findAccountByName(tx: Db, name: string): Promise<AccountRow | undefined> {
  const [row] = await tx.select().from(accounts).where(eq(accounts.name, name));
  return row;
}

export interface NewAccount {
  account: AccountRow;
  key: ApiKeyRow;
  /** The text of the first admin key, unless the operator chose it. */
  token: string | undefined;
}

/**
 * Makes the account with its user `default` and its first admin key, which never expires. The transaction's scope must be the new account.
 * Throws CONFLICT when the name is taken.
 */
export async function createAccount(
  tx: Db,
  keyring: Keyring,
  wanted: { id: string; name: string; callsPerMinute?: number | null | undefined; apiKey?: string | undefined },
): Promise<NewAccount> {
  const account = await insertAccount(tx, wanted);
  await insertUser(tx, account.id, { username: defaultUsername, description: 'Runs what names no user' });
  if (wanted.apiKey !== undefined) {
    return { account, key: await storeStaticKey(tx, keyring, account.id, wanted.apiKey), token: undefined };
  }
  const { row: key, token } = await mintApiKey(tx, keyring, {
    accountId: account.id,
    kind: 'adm',
    name: 'admin',
    userId: null,
  });
  return { account, key, token };
}

/** Stores the admin key whose text the operator configured. */
export function storeStaticKey(tx: Db, keyring: Keyring, accountId: string, text: string): Promise<ApiKeyRow> {
  return storeApiKey(tx, keyring, { accountId, kind: 'adm', name: staticKeyName, userId: null }, text);
}

/** Holds the account's row until the transaction ends: what several replicas do at their start, they do one after another. */
export async function lockAccount(tx: Db, id: string): Promise<void> {
  await tx.select({ id: accounts.id }).from(accounts).where(eq(accounts.id, id)).for('update');
}

async function insertAccount(
  tx: Db,
  { id, name, callsPerMinute }: { id: string; name: string; callsPerMinute?: number | null | undefined },
): Promise<AccountRow> {
  const [row] = await nameFree(() =>
    tx
      .insert(accounts)
      .values({ id, name, callsPerMinute: callsPerMinute ?? null })
      .returning(),
  );
  return row as AccountRow;
}

async function nameFree<T>(fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (error) {
    if (isUniqueViolation(error, 'accounts_name_unique'))
      throw new Refusal('CONFLICT', 'An account with this name exists');
    throw error;
  }
}

export type AccountChanges = Partial<Pick<AccountRow, 'name' | 'enabled' | 'callsPerMinute'>>;

/** In the scope of the account itself. */
export async function updateAccount(tx: Db, id: string, changes: AccountChanges): Promise<AccountRow> {
  const [row] = await nameFree(() => tx.update(accounts).set(changes).where(eq(accounts.id, id)).returning());
  if (row === undefined) throw notFound('Account');
  return row;
}

/** With everything that belongs to it, in the scope of the account itself. Journal and trail stay: they refuse to be deleted. */
export async function deleteAccount(tx: Db, id: string): Promise<void> {
  await tx.delete(claims).where(eq(claims.accountId, id));
  await tx.delete(accounts).where(eq(accounts.id, id));
}

/** Runs `fn` with the transaction's scope in another account and brings it back; a failure ends the transaction and its scope with it. */
export async function withinAccount<T>(tx: Db, accountId: string, back: string, fn: () => Promise<T>): Promise<T> {
  await tx.execute(sql`select set_config('valet.account_id', ${accountId}, true)`);
  const result = await fn();
  await tx.execute(sql`select set_config('valet.account_id', ${back}, true)`);
  return result;
}

/** All accounts, by name. In the installation's scope. */
export async function listAccounts(tx: Db, page: Page): Promise<{ rows: AccountRow[]; total: number }> {
  const after = page.after?.[0];
  const rows = await tx
    .select()
    .from(accounts)
    .where(after === undefined ? undefined : gt(accounts.name, after))
    .orderBy(asc(accounts.name))
    .limit(rowsToRead(page))
    .offset(after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(accounts);
  return { rows, total: counted?.total ?? 0 };
}

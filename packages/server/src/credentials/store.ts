// Where credentials and their sealed secrets live. Values come in, are sealed here and never read back: no function returns one.
// Changes of one user's credentials happen one after another: each begins by holding the user's row.
import { isOAuthSecret, oauthSecrets } from '@mcp-valet/shared';
import { and, count, eq, inArray, ne, sql } from 'drizzle-orm';
import { getConnector } from '../connectors/store.ts';
import { isUniqueViolation } from '../db/errors.ts';
import { credentials, secrets } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import { newId } from '../ids.ts';
import { notFound, Refusal } from '../refusal.ts';
import { lockUser } from '../users/store.ts';
import { addStatusChange } from '../webhooks/store.ts';
import { type CredentialRow, secretNamesOf } from './find.ts';
import { storeSecrets } from './secrets-store.ts';
import type { Vault } from './vault.ts';

export type SecretRow = Pick<typeof secrets.$inferSelect, 'name' | 'version' | 'updatedAt' | 'fingerprint'>;

export interface NewCredential {
  accountId: string;
  userId: string;
  connectorId: string;
  authenticationType: CredentialRow['type'];
  /** Chosen by the caller; unique in the account. */
  credentialId?: string | undefined;
  fields: Readonly<Record<string, string>>;
  label?: string | null | undefined;
  isDefault?: boolean | undefined;
  shared?: boolean | undefined;
  /** Shared with members of these only; null: with the whole account. They exist. */
  groupIds?: readonly string[] | null | undefined;
}

/** As many as one request may set, and as many as a connector may name: each is opened on every call. */
const maxSecretsPerCredential = 100;

const one = (accountId: string, id: string) => and(eq(credentials.accountId, accountId), eq(credentials.id, id));
const ofConnector = (accountId: string, userId: string, connectorId: string) =>
  and(eq(credentials.accountId, accountId), eq(credentials.userId, userId), eq(credentials.connectorId, connectorId));

/** Stores a credential and seals its fields. The user's first one for the connector is its default unless told otherwise. */
export async function createCredential(tx: Db, vault: Vault, wanted: NewCredential): Promise<CredentialRow> {
  const { accountId, userId, connectorId } = wanted;
  refuseReserved(wanted.fields);
  await getConnector(tx, accountId, connectorId);
  await lockUser(tx, accountId, userId);
  const [counted] = await tx
    .select({ held: count() })
    .from(credentials)
    .where(ofConnector(accountId, userId, connectorId));
  const isDefault = wanted.isDefault ?? counted?.held === 0;
  const id = wanted.credentialId ?? newId('cred');
  if (isDefault) await clearOtherDefault(tx, { accountId, userId, connectorId }, id);
  const row = await insertCredential(tx, {
    accountId,
    id,
    userId,
    connectorId,
    type: wanted.authenticationType,
    label: wanted.label ?? null,
    status: 'pending',
    isDefault,
    shared: wanted.shared ?? false,
    groupIds: groupsOf(wanted.groupIds),
  });
  await sealFields(tx, vault, row, wanted.fields);
  return settle(tx, row, { isChange: false, isRenewed: true });
}

const groupsOf = (ids: readonly string[] | null | undefined): string[] | null => (ids ? [...new Set(ids)] : null);

/** Tokens get in by a sign-in or as `tokens`, never as a field: their status, scopes and end would be somebody else's. */
export function refuseReserved(fields: Readonly<Record<string, unknown>>): void {
  const name = Object.keys(fields).find(isOAuthSecret);
  if (name === undefined) return;
  throw new Refusal('INVALID_REQUEST', `The secret name ${name} is reserved for the gateway`, {
    reason: 'reserved_secret_name',
  });
}

async function insertCredential(tx: Db, values: typeof credentials.$inferInsert): Promise<CredentialRow> {
  try {
    const [row] = await tx.insert(credentials).values(values).returning();
    return row as CredentialRow;
  } catch (error) {
    if (isUniqueViolation(error)) throw new Refusal('CONFLICT', 'This credential id is taken');
    throw error;
  }
}

async function clearOtherDefault(tx: Db, owner: SecretOwner, id: string): Promise<void> {
  await tx
    .update(credentials)
    .set({ isDefault: false, version: sql`${credentials.version} + 1`, updatedAt: sql`now()` })
    .where(
      and(
        ofConnector(owner.accountId, owner.userId, owner.connectorId),
        eq(credentials.isDefault, true),
        ne(credentials.id, id),
      ),
    );
}

/** Seals each value as the next version of its name. */
async function sealFields(
  tx: Db,
  vault: Vault,
  row: CredentialRow,
  fields: Readonly<Record<string, string>>,
): Promise<void> {
  const names = Object.keys(fields);
  if (names.length === 0) return;
  const held = await tx
    .select({ name: secrets.name, version: secrets.version })
    .from(secrets)
    .where(and(eq(secrets.accountId, row.accountId), eq(secrets.credentialId, row.id)));
  const versions = new Map(held.map((secret) => [secret.name, secret.version]));
  if (new Set([...versions.keys(), ...names]).size > maxSecretsPerCredential) {
    throw new Refusal('CONFLICT', `A credential holds at most ${maxSecretsPerCredential} secrets`);
  }
  const place = { account: row.accountId, user: row.userId, connector: row.connectorId, credential: row.id };
  const values = Object.entries(fields).map(([name, value]) => ({
    name,
    version: (versions.get(name) ?? 0) + 1,
    value,
  }));
  await storeSecrets(tx, vault, place, values);
}

/**
 * Brings status and version in line with the secrets: `pending` while one that is needed is missing. A grant that ended
 * (`reauth_required`) becomes valid by new values only, which is what was asked of the user.
 */
async function settle(
  tx: Db,
  row: CredentialRow,
  { isChange, isRenewed }: { isChange: boolean; isRenewed: boolean },
): Promise<CredentialRow> {
  const connector = await getConnector(tx, row.accountId, row.connectorId);
  const names = new Set((await secretNamesOf(tx, row.accountId, [row.id])).get(row.id));
  const needed = row.type === 'oauth2' ? [oauthSecrets.access, ...connector.secretNames] : connector.secretNames;
  const isComplete = needed.every((name) => names.has(name));
  const keeps = !isRenewed && row.status !== 'pending';
  const status = !isComplete ? ('pending' as const) : keeps ? row.status : ('valid' as const);
  const changes = isChange ? { status, version: sql`${credentials.version} + 1`, updatedAt: sql`now()` } : { status };
  const [settled] = await tx.update(credentials).set(changes).where(one(row.accountId, row.id)).returning();
  if (settled === undefined) throw notFound('Credential');
  if (isChange) {
    const { accountId, userId, connectorId, id: credentialId } = row;
    await addStatusChange(tx, { accountId, userId, connectorId, credentialId, status, previousStatus: row.status });
  }
  return settled;
}

/** What a provider granted, or a backend deposited. */
export interface NewGrant {
  accessToken: string;
  refreshToken?: string | undefined;
  idToken?: string | undefined;
  /** Seconds that the access token lives. */
  expiresIn?: number | undefined;
  scopes?: readonly string[] | undefined;
  /** Who it belongs to at the provider; null: it did not say. */
  subject: string | null;
  /** The same person as before came without a new refresh token: some providers give one at the first sign-in only, and it lives on. */
  keepsRefresh?: boolean | undefined;
}

/** Stores a grant in place of what the credential held. What the new one has not got is gone too: it belonged to the old one. */
export async function storeGrant(tx: Db, vault: Vault, row: CredentialRow, grant: NewGrant): Promise<CredentialRow> {
  await lockUser(tx, row.accountId, row.userId);
  const tokens = {
    [oauthSecrets.access]: grant.accessToken,
    ...(grant.refreshToken !== undefined && { [oauthSecrets.refresh]: grant.refreshToken }),
    ...(grant.idToken !== undefined && { [oauthSecrets.id]: grant.idToken }),
  };
  const stale = Object.values(oauthSecrets).filter(
    (name) => !(name in tokens) && !(name === oauthSecrets.refresh && grant.keepsRefresh === true),
  );
  const ours = and(eq(secrets.accountId, row.accountId), eq(secrets.credentialId, row.id));
  if (stale.length > 0) await tx.delete(secrets).where(and(ours, inArray(secrets.name, stale)));
  await sealFields(tx, vault, row, tokens);
  const { expiresIn, scopes, subject } = grant;
  await tx
    .update(credentials)
    .set({
      scopes: scopes === undefined ? null : [...scopes],
      subject,
      tokenExpiresAt: expiresIn === undefined ? null : sql`clock_timestamp() + ${expiresIn} * interval '1 second'`,
      refreshLeaseUntil: null,
      lastError: null,
    })
    .where(one(row.accountId, row.id));
  return settle(tx, row, { isChange: true, isRenewed: true });
}

export interface CredentialChanges {
  label?: string | null | undefined;
  isDefault?: boolean | undefined;
  fields?: Readonly<Record<string, string>> | undefined;
  shared?: boolean | undefined;
  groupIds?: readonly string[] | null | undefined;
}

/** Sets the named secrets and keeps the others. */
export async function updateCredential(
  tx: Db,
  vault: Vault,
  row: CredentialRow,
  changes: CredentialChanges,
): Promise<CredentialRow> {
  const { accountId } = row;
  const fields = changes.fields ?? {};
  refuseReserved(fields);
  await lockUser(tx, accountId, row.userId);
  if (changes.isDefault === true) await clearOtherDefault(tx, row, row.id);
  await sealFields(tx, vault, row, fields);
  const set = {
    ...(changes.label !== undefined && { label: changes.label }),
    ...(changes.isDefault !== undefined && { isDefault: changes.isDefault }),
    ...(changes.shared !== undefined && { shared: changes.shared }),
    ...(changes.groupIds !== undefined && { groupIds: groupsOf(changes.groupIds) }),
  };
  if (Object.keys(set).length > 0) await tx.update(credentials).set(set).where(one(accountId, row.id));
  // A field beside an oauth2 grant does not bring the grant back.
  return settle(tx, row, { isChange: true, isRenewed: row.type !== 'oauth2' && Object.keys(fields).length > 0 });
}

/** Deletes the credential with its secrets. Nothing else becomes the default: a call must not move to another account by itself. */
export async function deleteCredential(tx: Db, row: CredentialRow): Promise<number> {
  await lockUser(tx, row.accountId, row.userId);
  const gone = await tx
    .delete(secrets)
    .where(and(eq(secrets.accountId, row.accountId), eq(secrets.credentialId, row.id)))
    .returning({ name: secrets.name });
  await tx.delete(credentials).where(one(row.accountId, row.id));
  return gone.length;
}

/** Whose secret of which connector: the seed system knows no credentials, its secrets live on the user's default one. */
export interface SecretOwner {
  accountId: string;
  userId: string;
  connectorId: string;
}

async function findDefault(
  tx: Db,
  { accountId, userId, connectorId }: SecretOwner,
): Promise<CredentialRow | undefined> {
  const [row] = await tx
    .select()
    .from(credentials)
    .where(and(ofConnector(accountId, userId, connectorId), eq(credentials.isDefault, true)));
  return row;
}

/** Sets the secret on the user's default credential of the connector, which is made when there is none. */
export async function setSecret(
  tx: Db,
  vault: Vault,
  owner: SecretOwner,
  name: string,
  value: string,
): Promise<{ secret: SecretRow; credentialId: string }> {
  await lockUser(tx, owner.accountId, owner.userId);
  const found = await findDefault(tx, owner);
  const fields = Object.fromEntries([[name, value]]);
  const row =
    found === undefined
      ? await createCredential(tx, vault, { ...owner, authenticationType: 'secrets', fields, isDefault: true })
      : await updateCredential(tx, vault, found, { fields });
  const [secret] = await tx
    .select({
      name: secrets.name,
      version: secrets.version,
      updatedAt: secrets.updatedAt,
      fingerprint: secrets.fingerprint,
    })
    .from(secrets)
    .where(and(eq(secrets.accountId, owner.accountId), eq(secrets.credentialId, row.id), eq(secrets.name, name)));
  if (secret === undefined) throw new Error('a secret was set and is not there');
  return { secret, credentialId: row.id };
}

/** Deletes the secret; false when there was none. The credential stays: its id may be named elsewhere. */
export async function deleteSecret(tx: Db, owner: SecretOwner, name: string): Promise<boolean> {
  await lockUser(tx, owner.accountId, owner.userId);
  const row = await findDefault(tx, owner);
  if (row === undefined) return false;
  const gone = await tx
    .delete(secrets)
    .where(and(eq(secrets.accountId, owner.accountId), eq(secrets.credentialId, row.id), eq(secrets.name, name)))
    .returning({ name: secrets.name });
  if (gone.length === 0) return false;
  await settle(tx, row, { isChange: true, isRenewed: false });
  return true;
}

/** Names, versions and fingerprints of the default credential's secrets, by name. */
export async function listSecrets(tx: Db, owner: SecretOwner): Promise<SecretRow[]> {
  const row = await findDefault(tx, owner);
  if (row === undefined) return [];
  return tx
    .select({
      name: secrets.name,
      version: secrets.version,
      updatedAt: secrets.updatedAt,
      fingerprint: secrets.fingerprint,
    })
    .from(secrets)
    .where(and(eq(secrets.accountId, owner.accountId), eq(secrets.credentialId, row.id)))
    .orderBy(sql`${secrets.name} collate "C"`);
}

/** The user's credentials for one connector, oldest first. */
export async function listOwnCredentials(tx: Db, owner: SecretOwner): Promise<CredentialRow[]> {
  return tx
    .select()
    .from(credentials)
    .where(ofConnector(owner.accountId, owner.userId, owner.connectorId))
    .orderBy(credentials.createdAt, credentials.id);
}

// Where a grant lives between two renewals: its row, its sealed tokens, and the lease of whoever renews it. No function here talks to a provider
// and none opens a token. Each first holds the user's row, as every change of that user's credentials does.
import { oauthSecrets } from '@mcp-valet/shared';
import { and, eq, sql } from 'drizzle-orm';
import { sealedBy } from '../../crypto/envelope.ts';
import { credentials, dataKeys, secrets } from '../../db/schema.ts';
import type { Db } from '../../db/scope.ts';
import type { CredentialRecord } from '../../identity/records.ts';
import { lockUser } from '../../users/store.ts';
import { addStatusChange } from '../../webhooks/store.ts';
import { storeSecrets } from '../secrets-store.ts';
import type { SealedSecret, Vault } from '../vault.ts';

export interface GrantPlace {
  accountId: string;
  userId: string;
  id: string;
}

export interface Grant {
  record: CredentialRecord;
  /** Who the provider said it belongs to. */
  subject: string | null;
  /** Whether somebody is renewing it now. */
  isLeased: boolean;
}

const one = ({ accountId, id }: GrantPlace) => and(eq(credentials.accountId, accountId), eq(credentials.id, id));

export const secretOf = (record: CredentialRecord, name: string): SealedSecret | undefined =>
  record.secrets.find((secret) => secret.name === name);

/** Each sealing has a nonce of its own: equal bytes are the same stored value, which a version number alone would not say. */
export const isSameSecret = (a: SealedSecret | undefined, b: SealedSecret | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && Buffer.compare(a.sealed, b.sealed) === 0);

/** The grant as it is stored now, past every cache; undefined when it is gone. */
export async function readGrant(tx: Db, place: GrantPlace, lock = false): Promise<Grant | undefined> {
  const query = tx
    .select({
      row: credentials,
      isLeased: sql<boolean>`coalesce(${credentials.refreshLeaseUntil} > clock_timestamp(), false)`,
    })
    .from(credentials)
    .where(one(place));
  const [found] = lock ? await query.for('update') : await query;
  if (found === undefined) return undefined;
  const { row } = found;
  const sealed = await tx
    .select({
      name: secrets.name,
      version: secrets.version,
      sealed: secrets.sealed,
      wrappedDataKey: dataKeys.wrapped,
      kekVersion: dataKeys.kekVersion,
    })
    .from(secrets)
    .innerJoin(
      dataKeys,
      and(
        eq(dataKeys.accountId, secrets.accountId),
        eq(dataKeys.userId, secrets.userId),
        sql`${dataKeys.id} = encode(substring(${secrets.sealed} from 2 for 16), 'hex')`,
      ),
    )
    .where(and(eq(secrets.accountId, place.accountId), eq(secrets.credentialId, place.id)))
    .orderBy(sql`${secrets.name} collate "C"`);
  const { subject, refreshLeaseUntil: _lease, ...facts } = row;
  const record: CredentialRecord = {
    ...facts,
    secrets: sealed.map((secret) => ({ ...secret, dataKeyId: sealedBy(secret.sealed).toString('hex') })),
  };
  return { record, subject, isLeased: found.isLeased };
}

/** All grants of a user as they are stored now. Call it with the user's row held. */
export async function readGrantsOf(tx: Db, accountId: string, userId: string): Promise<CredentialRecord[]> {
  const held = await tx
    .select({ id: credentials.id })
    .from(credentials)
    .where(and(eq(credentials.accountId, accountId), eq(credentials.userId, userId), eq(credentials.type, 'oauth2')));
  const records: CredentialRecord[] = [];
  for (const { id } of held) {
    const grant = await readGrant(tx, { accountId, userId, id });
    if (grant !== undefined) records.push(grant.record);
  }
  return records;
}

/**
 * Takes the lease for `leaseMs`, by the database's clock, when the access token is still the one that the caller saw and nobody else holds it.
 * Undefined when the grant is gone; `isTaken` says whether the caller is the one who renews.
 */
export async function leaseGrant(
  tx: Db,
  place: GrantPlace,
  seen: SealedSecret | undefined,
  leaseMs: number,
): Promise<{ grant: Grant; isTaken: boolean } | undefined> {
  await lockUser(tx, place.accountId, place.userId);
  const grant = await readGrant(tx, place, true);
  if (grant === undefined) return undefined;
  const { record } = grant;
  const isCurrent = isSameSecret(secretOf(record, oauthSecrets.access), seen);
  if (!isCurrent || grant.isLeased || record.status === 'reauth_required') return { grant, isTaken: false };
  await tx
    .update(credentials)
    .set({ refreshLeaseUntil: sql`clock_timestamp() + ${leaseMs} * interval '1 millisecond'` })
    .where(one(place));
  return { grant, isTaken: true };
}

export interface RenewedTokens {
  accessToken: string;
  refreshToken?: string | undefined;
  idToken?: string | undefined;
  /** Seconds. */
  expiresIn?: number | undefined;
  scopes?: string[] | undefined;
  subject?: string | undefined;
}

export interface GrantEnd {
  status: 'reauth_required' | 'unreachable';
  lastError: string;
}

/** What is stored now, and whether this changed its status. */
export interface Saved {
  grant: Grant;
  statusChanged: boolean;
}

/**
 * Writes what came of a renewal, if the refresh token is still the one that it was made with: a sign-in that happened meanwhile wins.
 * Undefined when the grant was replaced or is gone. The lease ends in the same transaction.
 */
export async function saveRenewal(
  tx: Db,
  vault: Vault,
  before: Grant,
  made: RenewedTokens | GrantEnd,
): Promise<Saved | undefined> {
  const place = before.record;
  await lockUser(tx, place.accountId, place.userId);
  const current = await readGrant(tx, place, true);
  const refreshOf = (grant: Grant) => secretOf(grant.record, oauthSecrets.refresh);
  if (current === undefined || !isSameSecret(refreshOf(current), refreshOf(before))) return undefined;
  const status = 'status' in made ? made.status : ('valid' as const);
  if ('status' in made) {
    await tx
      .update(credentials)
      .set({ status, lastError: made.lastError, refreshLeaseUntil: null, updatedAt: sql`now()` })
      .where(one(place));
  } else {
    await storeTokens(tx, vault, current.record, made);
    await tx
      .update(credentials)
      .set({
        status,
        lastError: null,
        refreshLeaseUntil: null,
        version: sql`${credentials.version} + 1`,
        tokenExpiresAt:
          made.expiresIn === undefined ? null : sql`clock_timestamp() + ${made.expiresIn} * interval '1 second'`,
        ...(made.scopes !== undefined && { scopes: made.scopes }),
        ...(made.subject !== undefined && { subject: made.subject }),
        updatedAt: sql`now()`,
      })
      .where(one(place));
  }
  const previousStatus = current.record.status;
  await addStatusChange(tx, { ...statusPlace(place), status, previousStatus });
  const grant = await readGrant(tx, place);
  return grant && { grant, statusChanged: status !== previousStatus };
}

const statusPlace = ({ accountId, userId, id, connectorId }: CredentialRecord) => ({
  accountId,
  userId,
  connectorId,
  credentialId: id,
});

async function storeTokens(tx: Db, vault: Vault, record: CredentialRecord, made: RenewedTokens): Promise<void> {
  const { accountId, userId, connectorId, id: credential } = record;
  const place = { account: accountId, user: userId, connector: connectorId, credential };
  // A provider that sends no new refresh token goes on with the old one.
  const values = [
    [oauthSecrets.access, made.accessToken],
    [oauthSecrets.refresh, made.refreshToken],
    [oauthSecrets.id, made.idToken],
  ] as const;
  const given = values.flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, version: (secretOf(record, name)?.version ?? 0) + 1, value }],
  );
  await storeSecrets(tx, vault, place, given);
}

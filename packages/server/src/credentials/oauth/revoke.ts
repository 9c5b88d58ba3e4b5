// Ends a grant at its provider before its credential is deleted (RFC 7009). Best effort within some seconds: a provider that is away, refuses or
// knows no revocation never keeps a credential from being deleted.
import { oauthSecrets } from '@mcp-valet/shared';
import type { Parts } from '../../context.ts';
import { type Scope, withScope } from '../../db/scope.ts';
import type { CredentialRecord } from '../../identity/records.ts';
import { type Grant, leaseGrant, readGrant, secretOf } from './grant-store.ts';
import type { GrantEnder, GrantOutcome } from './ports.ts';
import { tokenClientFor } from './provider.ts';
import type { RefreshParts } from './refresh.ts';
import { requestRevocation } from './token-request.ts';
import { sleep, withSignal } from './waiting.ts';

export type RevokeParts = RefreshParts & Pick<Parts, 'directory'>;

const withinMs = 5_000;
const leaseMs = 30_000;
/** For a renewal that is under way. */
const renewingMs = 3_000;
const lookEveryMs = 200;

/**
 * Whether the provider confirmed the end of the grant: null where it offers no revocation or nothing was granted, undefined for a credential that
 * is none of the scope's or no oauth2 one. Not inside a transaction.
 */
export async function revokeGrant(
  parts: RevokeParts,
  scope: Scope,
  credentialId: string,
): Promise<boolean | null | undefined> {
  const grant = await holdGrant(parts, scope, credentialId);
  return grant === undefined ? undefined : endGrant(parts, grant.record, AbortSignal.timeout(withinMs));
}

/** As `revokeGrant`, for a grant that was read before: nothing of it need be stored any more. */
async function endGrant(parts: RevokeParts, record: CredentialRecord, signal: AbortSignal): Promise<boolean | null> {
  const sealed = [oauthSecrets.refresh, oauthSecrets.access].flatMap((name) => secretOf(record, name) ?? []);
  try {
    const connector = (await parts.directory.connectors(record.accountId)).get(record.connectorId);
    if (sealed.length === 0 || connector === undefined || connector.oauth === null) return null;
    const client = await withSignal(tokenClientFor(parts, { ...connector, oauth: connector.oauth }), signal);
    if (client.as.revocation_endpoint === undefined) return null;
    const place = {
      account: record.accountId,
      user: record.userId,
      connector: record.connectorId,
      credential: record.id,
    };
    const tokens = await parts.vault.open(place, sealed);
    const end = (name: string, hint: 'refresh_token' | 'access_token') => {
      const token = tokens.get(name);
      return token === undefined ? undefined : requestRevocation(client, token, hint, signal);
    };
    // The refresh token is the grant; where there is one, the access token's end is a courtesy.
    const [refresh, access] = await Promise.all([
      end(oauthSecrets.refresh, 'refresh_token'),
      end(oauthSecrets.access, 'access_token'),
    ]);
    return refresh ?? access ?? null;
  } catch (error) {
    const name = error instanceof Error ? error.name : typeof error;
    parts.log.warn({ name, credentialId: record.id }, 'revocation_failed');
    return false;
  }
}

export function createGrantEnder(parts: RevokeParts): GrantEnder {
  return {
    endGrants: (records, within) => {
      const signal = AbortSignal.timeout(within);
      return Promise.all(
        records.map(async (record): Promise<GrantOutcome> => {
          const answer = await withSignal(endGrant(parts, record, signal), signal).catch(() => false as const);
          return answer === null ? 'not_offered' : answer ? 'revoked' : 'failed';
        }),
      );
    },
  };
}

/** The oauth2 grant with nobody renewing it from now on: tokens that come after the revocation would outlive the credential. */
async function holdGrant({ db }: RevokeParts, scope: Scope, id: string): Promise<Grant | undefined> {
  const until = performance.now() + renewingMs;
  for (;;) {
    const held = await withScope(db, scope, async (tx) => {
      const found = await readGrant(tx, { accountId: scope.account, userId: scope.user, id });
      if (found?.record.type !== 'oauth2') return undefined;
      return leaseGrant(tx, found.record, secretOf(found.record, oauthSecrets.access), leaseMs);
    });
    if (held === undefined || held.isTaken || !held.grant.isLeased || performance.now() > until) return held?.grant;
    await sleep(lookEveryMs);
  }
}

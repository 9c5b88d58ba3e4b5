// Pure: what the status of a credential is right now. The stored status knows what happened; an access token that nothing can renew
// comes to its end without anything happening.
import { oauthSecrets } from '@mcp-valet/shared';

type Status = 'valid' | 'pending' | 'expiring' | 'reauth_required' | 'unreachable';

/** A grant that cannot be renewed is told about a day ahead. */
export const expiringMs = 24 * 3_600_000;

export interface StatusFacts {
  type: 'api_key' | 'secrets' | 'oauth2';
  status: Status;
  tokenExpiresAt: Date | null;
}

/** The status to show. `secretNames` are the names of the credential's secrets. */
export function currentStatus(of: StatusFacts, secretNames: readonly string[], now: number = Date.now()): Status {
  if (of.type !== 'oauth2' || of.tokenExpiresAt === null || secretNames.includes(oauthSecrets.refresh))
    return of.status;
  if (of.status === 'pending' || of.status === 'reauth_required') return of.status;
  const leftMs = of.tokenExpiresAt.getTime() - now;
  if (leftMs <= 0) return 'reauth_required';
  return leftMs < expiringMs ? 'expiring' : of.status;
}

/** Sentences of ours for `lastError`. */
export const words = {
  ended: 'The sign-in provider ended this grant; sign in again.',
  foreign: 'The sign-in provider renewed the grant for somebody else; it was not used. Sign in again.',
  expired: 'The access has ended and the sign-in provider gave nothing to renew it with; sign in again.',
  rejected: 'The connector does not accept the access, and there is nothing to renew it with; sign in again.',
  refused: 'The sign-in provider refused the renewal for a reason that is not the user’s; the grant is kept.',
  answered: (status: number): string => `The sign-in provider answered with HTTP ${status}; the grant is kept.`,
  nonsense: 'The sign-in provider answered something that is no token; the grant is kept.',
  unusable: 'The sign-in settings of the connector do not work any more; the grant is kept.',
  silent: 'The sign-in provider did not answer in time; the grant is kept.',
  away: 'The sign-in provider could not be reached; the grant is kept.',
} as const;

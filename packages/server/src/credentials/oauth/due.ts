// Pure: when an access token wants to be renewed.
import type { CredentialRecord } from '../../identity/records.ts';

const aheadMs = 60_000;

/** Whether the access token is at its end or will be within a minute; of one that lives shorter, within half of its life. */
export function isDue(credential: CredentialRecord, now: number): boolean {
  if (credential.type !== 'oauth2' || credential.tokenExpiresAt === null) return false;
  const ends = credential.tokenExpiresAt.getTime();
  const lifeMs = ends - credential.updatedAt.getTime();
  return ends - now <= Math.max(0, Math.min(aheadMs, lifeMs / 2));
}

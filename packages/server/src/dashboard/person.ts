// A person who signs in at an issuer: which lines of the operator's list let it in, and the key that its sessions stand for. There is one such key for
// each person, without a text that anybody could present: it is in the list of keys, in the trail, and can be narrowed and revoked like any.
import { createHash } from 'node:crypto';
import { lockAccount } from '../accounts/store.ts';
import { findPersonKey, storePersonKey } from '../api-keys/person-store.ts';
import { type ApiKeyRow, inMs, updateApiKey } from '../api-keys/store.ts';
import type { Keyring } from '../crypto/keyring.ts';
import type { Db } from '../db/scope.ts';
import { sessionHours } from './session-store.ts';

/** What an issuer says of somebody, checked. */
export interface Person {
  issuer: string;
  subject: string;
  /** Only where the issuer has checked it; in lower case. */
  email: string | undefined;
  groups: readonly string[];
}

/** The lines of the list that fit: a checked address in any case of letters, the exact subject, or the exact name of a group. */
export function fittingLines(person: Person, allow: readonly string[]): string[] {
  return allow.filter((rule) => {
    const at = rule.indexOf(':');
    const value = rule.slice(at + 1);
    switch (rule.slice(0, at)) {
      case 'email':
        return person.email === value.toLowerCase();
      case 'sub':
        return person.subject === value;
      case 'group':
        return person.groups.includes(value);
      default:
        return false;
    }
  });
}

export const shownPerson = ({ issuer, subject, email }: Person) => ({ issuer, subject, ...(email && { email }) });

/** An address can be given to somebody else one day; issuer and subject stay. */
const idOf = ({ issuer, subject }: Person): string =>
  createHash('sha256')
    .update(JSON.stringify([issuer, subject]))
    .digest('base64url')
    .slice(0, 22);

/**
 * The person's key, good for as long as a new session; undefined where it was revoked: that counts for as long as the key would have lived,
 * so that whoever was thrown out is not back with one click.
 */
export async function openPersonKey(
  tx: Db,
  keyring: Keyring,
  accountId: string,
  person: Person,
): Promise<ApiKeyRow | undefined> {
  // Two browsers of one person at once must not make two keys.
  await lockAccount(tx, accountId);
  const known = await findPersonKey(tx, accountId, idOf(person));
  const isRevoked = known !== undefined && known.row.revokedAt !== null;
  if (isRevoked && !known.isPast) return undefined;
  const name = `dashboard: ${person.email ?? person.subject}`.slice(0, 128);
  const expiresAt = inMs(sessionHours * 3_600_000);
  if (known !== undefined && !isRevoked) return updateApiKey(tx, accountId, known.row.id, { name, expiresAt });
  // Rights that somebody took away do not come back with a new key.
  const { scopes = null, allowedUsers = null } = known?.row ?? {};
  const key = { accountId, kind: 'adm' as const, name, userId: null, expiresAt, scopes, allowedUsers };
  return storePersonKey(tx, keyring, key, idOf(person));
}

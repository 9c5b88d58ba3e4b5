// Whose identity a call runs with. The user comes from the credential, a user token first; a header or body may only assert a user whom the
// credential already allows. An unknown or malformed user is refused, or, where the server says `fallback`, runs in the account's default context
// and says so. A disabled user is always refused; a user of another account looks exactly like an unknown one.
import { type UserFallback, usernamePattern } from '@mcp-valet/shared';
import { redactTokens } from '../redact-tokens.ts';
import { Refusal, userNotFound } from '../refusal.ts';
import type { Directory } from './directory.ts';
import type { Principal } from './principal.ts';
import type { UserRecord } from './records.ts';

export interface UserSources {
  /** `x-alloy-userid` as sent. */
  header?: string | undefined;
  /** `username` of the body of the direct tool call. */
  body?: string | undefined;
}
export interface UserPolicy {
  onUnknownUser: 'reject' | 'fallback';
  /** `x-valet-strict-user: true`: never fall back. */
  strict: boolean;
}
export interface EffectiveUser {
  record: UserRecord;
  /** What the caller named, cut and escaped for the trail; null when nobody was named. */
  attempted: string | null;
  fallback: UserFallback | null;
}

export const defaultUsername = 'default';

/** Cut at 128 characters; control characters, those that turn the direction of text and halves of characters escaped: fit for a trail. */
export const attemptedText = (text: string): string =>
  redactTokens(text)
    .slice(0, 128)
    .replace(
      /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\p{Surrogate}]/gu,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );

const disabled = (): Refusal =>
  new Refusal('USER_DISABLED', 'The user is disabled', { reason: 'user_disabled', word: 'user_disabled' });
const foreign = (): Refusal =>
  new Refusal('FORBIDDEN', 'This credential may not act for another user', {
    reason: notAllowed,
    word: 'access_denied',
  });

/** A narrowed key names only the users on its list. Asked last: it must not tell apart who is there and who is not. */
export function onList(record: UserRecord, { mayActForUsers, allowedUsers }: Principal): UserRecord {
  if (!mayActForUsers || allowedUsers === null || allowedUsers.includes(record.id)) return record;
  throw new Refusal('FORBIDDEN', 'This key may not act for this user', { reason: notOnList, word: 'access_denied' });
}

/** Reason of a refused attempt to act for a user who is not on the key's list. */
export const notOnList = 'user_not_on_key';
/** Reason of a refused attempt to act for another user. */
export const notAllowed = 'override_not_allowed';

/** The user of a credential that nobody is named beside. */
async function ownUser(principal: Principal, directory: Directory): Promise<UserRecord> {
  const { proof, mayActForUsers, userId } = principal;
  // A user token beside another user's own key is an attempt like any other.
  if (proof !== null && !mayActForUsers && proof.userId !== userId) throw foreign();
  // Keys that act for users run as `default` when nobody is named, even when a user minted them.
  const ref = proof?.userId ?? (mayActForUsers || userId === null ? defaultUsername : userId);
  const record = await directory.user(principal.accountId, ref);
  if (record === undefined) throw userNotFound();
  if (!record.enabled) throw disabled();
  return onList(record, principal);
}

async function find(name: string, principal: Principal, directory: Directory): Promise<UserRecord | undefined> {
  return usernamePattern.test(name) ? directory.user(principal.accountId, name) : undefined;
}

/** The one name that all sources agree on; undefined when none names anybody. */
async function agreedName(
  sources: UserSources,
  principal: Principal,
  directory: Directory,
): Promise<string | undefined> {
  const { header, body } = sources;
  if (header === undefined || body === undefined || header === body) return header ?? body;
  const [a, b] = await Promise.all([find(header, principal, directory), find(body, principal, directory)]);
  if (a !== undefined && a.id === b?.id) return header;
  throw new Refusal('INVALID_REQUEST', 'The x-alloy-userid header and username name different users', {
    reason: 'two_users',
  });
}

export async function effectiveUser(
  principal: Principal,
  sources: UserSources,
  policy: UserPolicy,
  directory: Directory,
): Promise<EffectiveUser> {
  const name = await agreedName(sources, principal, directory);
  if (name === undefined) return { record: await ownUser(principal, directory), attempted: null, fallback: null };
  const attempted = attemptedText(name);
  const record = await find(name, principal, directory);
  // Who is proven is who it is: a name beside the proof can only agree.
  if (!principal.mayActForUsers || principal.proof !== null) {
    const own = await ownUser(principal, directory);
    if (record?.id !== own.id) throw foreign();
    return { record: own, attempted, fallback: null };
  }
  if (record !== undefined) {
    if (!record.enabled) throw disabled();
    return { record: onList(record, principal), attempted, fallback: null };
  }
  if (policy.onUnknownUser !== 'fallback' || policy.strict) throw userNotFound();
  const own = await ownUser(principal, directory);
  const fallback: UserFallback = { warning: 'Invalid x-alloy-userid header', attempted, fallback: own.username };
  return { record: own, attempted, fallback };
}

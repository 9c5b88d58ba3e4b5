// One row of the table of who may do what on which REST route, and what it is about. Holds no rule.
import type { RouteId } from '@mcp-valet/shared';

/** What a request is about. Ids that exist, or well-formed ones that do not (`account: null`). */
export interface Subject {
  account: 'a' | 'b' | null;
  /** The owner, for what belongs to a user. */
  user: string | null;
  userId: string;
  credentialId: string;
  keyId: string;
  tokenId: string;
  /** Two further accounts, one of them disabled. Everybody's subjects name the same ones. */
  spareAccounts: { kept: string; disabled: string };
  limitId: string;
  groupId: string;
  issuerId: string;
  serverId: string;
  connectorId: string;
  secretName: string;
  /** A sign-in link of the user, or one that nobody was given. */
  connectUrl: string;
  /** Different for every cell. */
  unique: string;
}

/** `operator`: the admin key of the first account. `self`: also a standard key, for its own user. */
export type Who = 'public' | 'operator' | 'admin' | 'account' | 'self';

export interface Rule {
  route: RouteId;
  /** Tells two rules of one route apart. */
  note?: string;
  who: Who;
  ok: 200 | 201;
  changes: boolean;
  /** Whether it is about one user or object; without, every caller asks about its own account or itself. */
  about: 'user-by-name' | 'object' | null;
  method: string;
  path(subject: Subject): string;
  body?(subject: Subject): unknown;
}

export const q = encodeURIComponent;
export const get = (
  route: RouteId,
  who: Who,
  path: Rule['path'],
  about: Rule['about'] = null,
  note?: string,
): Rule => ({
  route,
  who,
  ok: 200,
  changes: false,
  about,
  method: 'GET',
  path,
  ...(note && { note }),
});
export const change = (
  route: RouteId,
  who: Who,
  ok: 200 | 201,
  about: Rule['about'],
  method: string,
  path: Rule['path'],
  body?: Rule['body'],
  note?: string,
): Rule => ({
  route,
  who,
  ok,
  changes: true,
  about,
  method,
  path,
  ...(body && { body }),
  ...(note && { note }),
});

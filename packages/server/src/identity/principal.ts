// Who the caller is, proven by exactly one credential, and beside a key perhaps which user a token proves. Pure types and predicates: no I/O.
import type { KeyKind, RouteDefinition } from '@mcp-valet/shared';
import type { Delegation } from '../db/schema.ts';

/** `jwt`: a user token alone, of an identity provider or a session verifier. */
export type PrincipalKind = KeyKind | 'jwt';

/** What a verified user token says. */
export interface UserProof {
  issuerId: string;
  subject: string;
  /** Its `jti`, if it has one. */
  tokenId: string | null;
  /** The user of the account that the subject is. */
  userId: string;
  /** The verified claims, for templates and predicates. */
  claims: Readonly<Record<string, unknown>>;
  scopes: readonly string[];
  expiresAt: Date | null;
}

export interface Principal {
  kind: PrincipalKind;
  accountId: string;
  /** The id of what was presented, in logs and audit rows: of a key or delegated token, or for a user token alone of its issuer. Never the token. */
  keyId: string;
  /** The credential's own user; always set for `std`, `usr` and `jwt`. For `url` the user who owns the server, if any. */
  userId: string | null;
  /** The one server that a `url` token opens. */
  serverId: string | null;
  /** Whether calls with this credential may name another user of the account. */
  mayActForUsers: boolean;
  expiresAt: Date | null;
  /** What a narrowed key may do, and the tools' scopes that a token holds. Null: a key that nobody narrowed; it holds no tool's scope. */
  scopes: readonly string[] | null;
  /** Ids of the users whom a narrowed key may name; null: all that its kind may. */
  allowedUsers: readonly string[] | null;
  /** Of a delegated token: where it may call and how often. */
  delegation: Delegation | null;
  /** The user token that came alone or beside the key. */
  proof: UserProof | null;
  /** The dashboard's session that stands for the key; absent where the key itself was presented. */
  sessionId?: string;
}

/** Whose rows this principal may manage, as a scope says it: every user of its account, some of them, or its own only. */
export function managedUser(principal: Principal): string {
  switch (principal.kind) {
    case 'adm':
    case 'ent':
      // A list that became empty is nobody, never everybody.
      return principal.allowedUsers === null ? '*' : principal.allowedUsers.join(' ') || 'nobody';
    case 'std':
    case 'url':
    case 'usr':
    case 'jwt':
      if (principal.userId === null) throw new Error('a credential of this kind always has a user');
      return principal.userId;
    default:
      throw new Error(`unknown key kind ${String(principal.kind satisfies never)}`);
  }
}

/** Whether a route is open to this kind of caller. A user token stands where its user's own key does; a delegated token does so for calls only. */
export function mayUse({ access, plane }: Pick<RouteDefinition, 'access' | 'plane'>, kind: PrincipalKind): boolean {
  const standsFor = kind === 'jwt' || (kind === 'usr' && plane === 'call') ? 'std' : kind;
  return access.some((allowed) => allowed === standsFor);
}

/** Order of strength: a key mints only weaker kinds than its own. A user token mints nothing. */
const strength: Record<PrincipalKind, number> = { adm: 5, ent: 4, std: 3, url: 2, usr: 1, jwt: 1 };
export const mayMint = (own: PrincipalKind, wanted: KeyKind): boolean => strength[own] > strength[wanted];

/** Whether what is held covers a scope: by name, by `orders:*`, or by `*`. */
export const holdsScope = (held: readonly string[] | null, wanted: string): boolean =>
  held?.some((one) => one === wanted || (one.endsWith('*') && wanted.startsWith(one.slice(0, -1)))) ?? false;

/** Scopes for tools: of the user token where there is one, else what was given to the key by name. */
export const toolScopes = (principal: Principal): readonly string[] =>
  principal.proof?.scopes ?? principal.scopes ?? [];

/** A claim by its whole name, which may have dots of its own (`https://acme.example/tenant`), else by the path that the dots make. */
export function readClaim(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

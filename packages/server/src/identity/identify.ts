// From a request to its principal: exactly one credential, or a refusal. Runs before a body is read. The answer to every bad credential
// is the same; the trail and the log hear the reason. A key alone proves an account, never a user other than its own; a user token proves a
// user, alone or beside a key. A session of the dashboard stands for a key, on management routes only.
import type { IncomingHttpHeaders } from 'node:http';
import { headers as names } from '@mcp-valet/shared';
import type { AdminOidc } from '../config.ts';
import { parseToken } from '../crypto/token.ts';
import type { FoundPrincipal } from '../db/hot-path.ts';
import { Refusal, type RefusedKey } from '../refusal.ts';
import type { Directory } from './directory.ts';
import type { Principal, UserProof } from './principal.ts';
import { isStillAdmitted, sessionOf } from './session.ts';

/** What identity reads of a request; `rawHeaders` is Node's flat list, in which doubled headers are still two. */
export interface IdentityRequest {
  headers: IncomingHttpHeaders;
  rawHeaders: readonly string[];
}
export interface IdentityParts {
  directory: Directory;
  keyring: { hashToken(token: string): Buffer };
  /** Hears which keys are in use. */
  keyUse: { note(key: { accountId: string; keyId: string }): void };
  userTokens: UserTokens;
  config: { readonly publicUrl: string; readonly adminOidc: AdminOidc | undefined };
}

/** A user token that was found good: the account that trusts its issuer, and what it proves. */
export interface ProvenUser {
  accountId: string;
  proof: UserProof;
}
/** Verifies user tokens; `identity/user-token` does. */
export interface UserTokens {
  /** Whether the text is a JWT that names an issuer which somebody trusts. Proves nothing. */
  knows(token: string): Promise<boolean>;
  /** Throws UNAUTHORIZED, or what else there is to say about its user, scopes or verifier. `accountId`: of the key beside it. */
  prove(token: string, place: { accountId: string | undefined; serverId: string | undefined }): Promise<ProvenUser>;
}
/** Where a request came in. */
export interface Presented {
  /** The token of `/mcp/{serverId}/{accessToken}`: beside it, an Authorization header would be a second identity. */
  pathToken?: string | undefined;
  /** The server that path or header name: whose account a user token alone is for. */
  serverId?: string | undefined;
  /** Whether the dashboard's cookie is good here. Never where tools are called: a page that is tricked must not reach one. */
  takesSession?: boolean;
}

/** Headers that say who somebody is: doubled, they are two identities. */
const singular = new Set<string>([
  'authorization',
  names.user,
  names.userToken,
  names.credential,
  names.server,
  names.strictUser,
  names.idempotencyKey,
]);

export const unauthorized = (reason: string, by?: RefusedKey): Refusal =>
  new Refusal('UNAUTHORIZED', 'Missing or invalid credential', { reason, by });

function refuseDoubles(rawHeaders: readonly string[]): void {
  const seen = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? '';
    if (!singular.has(name)) continue;
    if (seen.has(name)) {
      throw new Refusal('INVALID_REQUEST', `The header ${name} may be sent once`, { reason: 'doubled_header' });
    }
    seen.add(name);
  }
}

/** Our own tokens are short; those of identity providers are not. */
const maxKeyLength = 512;
const userTokenText = /^[\x21-\x7e]{1,8192}$/;

/** The bearer token of the request; undefined when there is no Authorization header. */
function bearerToken(headers: IncomingHttpHeaders): string | undefined {
  const { authorization } = headers;
  if (authorization === undefined) return undefined;
  const match = /^Bearer +([\x21-\x7e]{1,8192})$/i.exec(authorization);
  if (match?.[1] !== undefined) return match[1];
  if (/^Bearer( |$)/i.test(authorization)) throw unauthorized('malformed_token');
  throw new Refusal('INVALID_REQUEST', 'The Authorization header must be: Bearer <API key or user token>', {
    reason: 'other_scheme',
  });
}

function userTokenHeader(headers: IncomingHttpHeaders): string | undefined {
  const sent = headers[names.userToken];
  if (sent === undefined) return undefined;
  if (typeof sent === 'string' && userTokenText.test(sent)) return sent;
  throw unauthorized('malformed_token');
}

function toPrincipal(found: FoundPrincipal): Principal {
  const owner = found.server?.owner;
  const user = found.kind === 'url' ? owner : found.user;
  return {
    kind: found.kind,
    accountId: found.accountId,
    keyId: found.keyId,
    userId: user?.id ?? null,
    serverId: found.server?.id ?? null,
    mayActForUsers: found.kind === 'adm' || found.kind === 'ent' || found.server?.actsForUsers === true,
    expiresAt: found.remainingMs === undefined ? null : new Date(Date.now() + found.remainingMs),
    scopes: found.scopes,
    allowedUsers: found.allowedUsers,
    delegation: found.delegation,
    proof: null,
  };
}

const ofUserToken = ({ accountId, proof }: ProvenUser): Principal => ({
  kind: 'jwt',
  accountId,
  keyId: proof.issuerId,
  userId: proof.userId,
  serverId: null,
  mayActForUsers: false,
  expiresAt: proof.expiresAt,
  scopes: null,
  allowedUsers: null,
  delegation: null,
  proof,
});

async function findKey(token: string, parts: IdentityParts): Promise<Principal | undefined> {
  if (token.length > maxKeyLength) return undefined;
  const found = await parts.directory.principal(parts.keyring.hashToken(token));
  if (found === undefined) return undefined;
  const principal = principalOf(found);
  parts.keyUse.note(found);
  return principal;
}

/** The principal of a key that was found. Throws UNAUTHORIZED when it is over, USER_DISABLED for a disabled user's own key. */
export function principalOf(found: FoundPrincipal): Principal {
  const by = { accountId: found.accountId, keyId: found.keyId, kind: found.kind };
  if (found.revoked) throw unauthorized('revoked_token', by);
  if (found.remainingMs !== undefined && found.remainingMs <= 0) throw unauthorized('expired_token', by);
  if (!found.accountEnabled) throw unauthorized('account_disabled', by);
  // A key dies with its user, of whatever kind it is; only keys that nobody owns have none.
  if (found.user ? !found.user.enabled : found.kind === 'std' || found.kind === 'usr') {
    const reason = 'user_disabled';
    throw new Refusal('USER_DISABLED', 'The user is disabled', { reason, word: reason, by });
  }
  return toPrincipal(found);
}

/** The principal of the key that the session stands for. Throws UNAUTHORIZED when either is over, or what let the person in. */
export async function identifySession(text: string, parts: IdentityParts): Promise<Principal> {
  const found = await parts.directory.session(parts.keyring.hashToken(text));
  if (found === undefined) throw unauthorized('unknown_session');
  const { accountId, keyId, kind } = found.key;
  const by = { accountId, keyId, kind };
  if (found.remainingMs <= 0) throw unauthorized('expired_session', by);
  // The operator's list is looked at each time: whoever was taken off it is out with the restart.
  if (found.admittedBy !== null && !isStillAdmitted(found.admittedBy, parts.config.adminOidc))
    throw unauthorized('admission_ended', by);
  const principal = principalOf(found.key);
  parts.keyUse.note(found.key);
  const end = new Date(Date.now() + found.remainingMs);
  return { ...principal, sessionId: found.id, expiresAt: earlier(principal.expiresAt, end) };
}

const isOwn = (token: string): boolean => token.startsWith('mcpv_');

/** Whose key this is. Throws UNAUTHORIZED for unknown, revoked and expired ones alike, USER_DISABLED for a disabled user's own key. */
export async function identifyToken(token: string, parts: IdentityParts): Promise<Principal> {
  // The checksum saves a look-up on mistyped and made-up tokens; keys of another shape may be the configured one.
  if (isOwn(token) && parseToken(token) === undefined) throw unauthorized('malformed_token');
  const principal = await findKey(token, parts);
  if (principal === undefined) throw unauthorized('unknown_token');
  return principal;
}

/** A key, or a user token alone. */
async function identifyBearer(token: string, parts: IdentityParts, serverId: string | undefined): Promise<Principal> {
  if (isOwn(token)) return identifyToken(token, parts);
  // Tokens of a trusted issuer are no keys: no look-up on what most requests of such users bring.
  const key = (await parts.userTokens.knows(token)) ? undefined : await findKey(token, parts);
  return key ?? ofUserToken(await parts.userTokens.prove(token, { accountId: undefined, serverId }));
}

const earlier = (a: Date | null, b: Date | null): Date | null => (a === null || b === null ? (a ?? b) : a < b ? a : b);

/**
 * The principal of a request: of one key or server token, of a user token alone, or of a key with the user token that came beside it. Whether
 * the key may act for that user is decided where the effective user is.
 */
export async function identifyRequest(
  request: IdentityRequest,
  parts: IdentityParts,
  { pathToken, serverId, takesSession = false }: Presented = {},
): Promise<Principal> {
  refuseDoubles(request.rawHeaders);
  const bearer = bearerToken(request.headers);
  const session = takesSession && bearer === undefined ? sessionOf(request.headers, parts.config.publicUrl) : undefined;
  if (session !== undefined) return identifySession(session, parts);
  if (pathToken !== undefined && bearer !== undefined) {
    throw new Refusal('INVALID_REQUEST', 'Send either the token in the path or an Authorization header, not both', {
      reason: 'two_identities',
    });
  }
  const userToken = userTokenHeader(request.headers);
  const base = pathToken ?? bearer;
  if (base === undefined) {
    if (userToken === undefined) throw unauthorized('no_credential');
    return ofUserToken(await parts.userTokens.prove(userToken, { accountId: undefined, serverId }));
  }
  const principal =
    pathToken === undefined ? await identifyBearer(base, parts, serverId) : await identifyToken(pathToken, parts);
  // An API key in a path would end up in logs of whoever stands between: only a server's own token is good there.
  if (pathToken !== undefined && principal.kind !== 'url') throw unauthorized('token_in_wrong_place');
  if (userToken === undefined) return principal;
  if (principal.kind === 'jwt') {
    throw new Refusal('INVALID_REQUEST', 'Send one user token: as bearer token, or as x-alloy-user-token', {
      reason: 'two_identities',
    });
  }
  const { accountId } = principal;
  const { proof } = await parts.userTokens.prove(userToken, { accountId, serverId: undefined });
  return { ...principal, proof, expiresAt: earlier(principal.expiresAt, proof.expiresAt) };
}

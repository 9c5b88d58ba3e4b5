// From a request to its principal: exactly one credential, or a refusal. Runs before a body is read. The answer to every bad credential
// is the same; the trail and the log hear the reason. A key alone proves an account, never a user other than its own.
import type { IncomingHttpHeaders } from 'node:http';
import { headers as names } from '@mcp-valet/shared';
import { parseToken } from '../crypto/token.ts';
import type { FoundPrincipal } from '../db/hot-path.ts';
import { Refusal } from '../refusal.ts';
import type { Directory } from './directory.ts';
import type { Principal } from './principal.ts';

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

export const unauthorized = (reason: string): Refusal =>
  new Refusal('UNAUTHORIZED', 'Missing or invalid credential', { reason });

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

/** The bearer token of the request; undefined when there is no Authorization header. */
function bearerToken(headers: IncomingHttpHeaders): string | undefined {
  const { authorization } = headers;
  if (authorization === undefined) return undefined;
  const match = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(authorization);
  if (match?.[1] !== undefined) return match[1];
  if (/^Bearer( |$)/i.test(authorization)) throw unauthorized('malformed_token');
  throw new Refusal('INVALID_REQUEST', 'The Authorization header must be: Bearer <API key>', {
    reason: 'other_scheme',
  });
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
  };
}

/** Whose token this is. Throws UNAUTHORIZED for unknown, revoked and expired ones alike, USER_DISABLED for a disabled user's own key. */
export async function identifyToken(token: string, parts: IdentityParts): Promise<Principal> {
  // The checksum saves a look-up on mistyped and made-up tokens; keys of another shape may be the configured one.
  if (token.startsWith('mcpv_') && parseToken(token) === undefined) throw unauthorized('malformed_token');
  const found = await parts.directory.principal(parts.keyring.hashToken(token));
  if (found === undefined) throw unauthorized('unknown_token');
  if (found.revoked) throw unauthorized('revoked_token');
  if (found.remainingMs !== undefined && found.remainingMs <= 0) throw unauthorized('expired_token');
  // A key dies with its user, of whatever kind it is; only keys that nobody owns have none.
  if (found.user ? !found.user.enabled : found.kind === 'std') {
    throw new Refusal('USER_DISABLED', 'The user is disabled', { reason: 'user_disabled', word: 'user_disabled' });
  }
  parts.keyUse.note(found);
  return toPrincipal(found);
}

/**
 * The principal of a request. `pathToken` is the token of `/mcp/{serverId}/{accessToken}`: beside it, an Authorization header would be a
 * second identity.
 */
export async function identifyRequest(
  request: IdentityRequest,
  parts: IdentityParts,
  pathToken?: string,
): Promise<Principal> {
  refuseDoubles(request.rawHeaders);
  const bearer = bearerToken(request.headers);
  if (pathToken !== undefined && bearer !== undefined) {
    throw new Refusal('INVALID_REQUEST', 'Send either the token in the path or an Authorization header, not both', {
      reason: 'two_identities',
    });
  }
  // No issuer can be configured yet, so no user token can be verified: it must not be ignored either.
  if (request.headers[names.userToken] !== undefined) throw unauthorized('user_token_unverifiable');
  const token = pathToken ?? bearer;
  if (token === undefined) throw unauthorized('no_credential');
  const principal = await identifyToken(token, parts);
  // An API key in a path would end up in logs of whoever stands between: only a server's own token is good there.
  if (pathToken !== undefined && principal.kind !== 'url') throw unauthorized('token_in_wrong_place');
  return principal;
}

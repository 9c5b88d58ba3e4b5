// What a client without a good token is told about where to get one (RFC 9728, RFC 6750): the metadata of an MCP endpoint as a protected
// resource, and the challenge of a 401 or 403. An account without an identity provider has neither, so that no client begins a sign-in
// that cannot end. Reads caches only; says nothing about a server but where its users sign in.
import type { Parts } from '../context.ts';
import type { IssuerConfig } from '../issuers/store.ts';
import type { Refusal } from '../refusal.ts';

export interface ResourceMetadata {
  resource: string;
  authorization_servers: string[];
  scopes_supported?: string[];
  bearer_methods_supported: ['header'];
}

type ChallengeParts = Pick<Parts, 'config' | 'directory'>;

const pathOf = (serverId: string | undefined): string => (serverId === undefined ? '/mcp' : `/mcp/${serverId}`);
export const metadataPath = '/.well-known/oauth-protected-resource';

/** Whose users sign in here: of the aggregate endpoint only where there is one account. */
async function accountOf({ directory }: ChallengeParts, serverId: string | undefined): Promise<string | undefined> {
  if (serverId === undefined) return directory.onlyAccount();
  if (!/^[\x21-\x7e]{1,128}$/.test(serverId)) return undefined;
  const found = await directory.accountOfServer(serverId);
  return found?.accountEnabled === true ? found.accountId : undefined;
}

interface SignIn {
  accountId: string;
  servers: string[];
  /** Without these nobody gets in. */
  required: string[];
}

/** Identity providers with a sign-in of their own: neither a shared secret nor a session verifier has one. */
async function signInOf(parts: ChallengeParts, serverId: string | undefined): Promise<SignIn | undefined> {
  const accountId = await accountOf(parts, serverId);
  if (accountId === undefined) return undefined;
  const all = await parts.directory.issuersOf(accountId);
  const providers = all.filter(({ type, secret }) => type === 'jwt' && secret === null);
  if (providers.length === 0) return undefined;
  const required = providers.flatMap(({ config }) => (config as unknown as IssuerConfig).requiredScopes);
  return {
    accountId,
    servers: [...new Set(providers.flatMap(({ issuer }) => issuer ?? []))],
    required: [...new Set(required)],
  };
}

/** The document of RFC 9728; undefined where there is nothing to sign in with. */
export async function resourceMetadata(
  parts: ChallengeParts,
  serverId: string | undefined,
): Promise<ResourceMetadata | undefined> {
  const found = await signInOf(parts, serverId);
  if (found === undefined) return undefined;
  const { directory, config } = parts;
  const server = serverId === undefined ? undefined : await directory.server(found.accountId, serverId);
  const connectors = [...(await directory.connectors(found.accountId)).values()].filter(
    ({ id, enabled }) => enabled && (server?.connectors?.includes(id) ?? true),
  );
  const demanded = [server, ...connectors].flatMap((one) => one?.requires ?? []).flatMap(({ scopes }) => scopes ?? []);
  const scopes = [...new Set([...found.required, ...demanded])].filter((scope) => scope !== 'offline_access').sort();
  return {
    resource: `${config.publicUrl}${pathOf(serverId)}`,
    authorization_servers: found.servers,
    ...(scopes.length > 0 && { scopes_supported: scopes }),
    bearer_methods_supported: ['header'],
  };
}

/** All scopes that a refused operation demands. */
export function requiredScopes({ details }: Refusal): string[] {
  const scopes = details?.['requiredScopes'];
  return Array.isArray(scopes) ? scopes.filter((scope): scope is string => typeof scope === 'string') : [];
}

/** `WWW-Authenticate` of a refusal. Scopes are of a grammar without quotes. */
export async function challenge(
  parts: ChallengeParts,
  serverId: string | undefined,
  why: { error?: 'invalid_token' | 'insufficient_scope' | undefined; scopes?: readonly string[] },
): Promise<string> {
  const found = await signInOf(parts, serverId);
  const scopes = why.scopes ?? found?.required ?? [];
  const parameters = [
    ...(why.error === undefined ? [] : [`error="${why.error}"`]),
    ...(found !== undefined && scopes.length > 0 ? [`scope="${scopes.join(' ')}"`] : []),
    ...(found === undefined ? [] : [`resource_metadata="${parts.config.publicUrl}${metadataPath}${pathOf(serverId)}"`]),
  ];
  return ['Bearer', parameters.join(', ')].join(' ').trim();
}

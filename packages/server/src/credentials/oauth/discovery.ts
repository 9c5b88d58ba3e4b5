// Finds out where users of a connector sign in: as configured, by the issuer's metadata (RFC 8414, OpenID Connect Discovery), or for an MCP
// upstream by what its own 401 says (RFC 9728). Every request leaves through the guarded egress. Knows no client and no user.
import type { ConnectorKind, OAuthSettings } from '@mcp-valet/shared';
import * as oauth from 'oauth4webapi';
import type { Parts } from '../../context.ts';
import { ProviderError } from './provider-error.ts';

/** The guarded door, in the shape that the protocol library wants. */
export type GuardedFetch = ReturnType<Parts['egress']['fetchFor']>;

/** What sign-in needs to know of a connector; a `ConnectorRecord` has it. */
export interface OAuthConnector {
  accountId: string;
  id: string;
  kind: ConnectorKind;
  /** Of `mcp-http`: the upstream. */
  url: string;
  oauth: Omit<OAuthSettings, 'clientSecret'>;
  version: number;
}

export interface Discovered {
  server: oauth.AuthorizationServer;
  /** RFC 8707: what the tokens are for. Of MCP upstreams. */
  resource: string | undefined;
  scopes: readonly string[];
}

/** Metadata documents are some kilobytes; whoever sends more means no good. */
export const metadataBytes = 256 * 1024;
/** One read of metadata. Somebody waits in front of a page. */
const deadlineMs = 5_000;

export async function discover(fetch: GuardedFetch, connector: OAuthConnector): Promise<Discovered> {
  const { oauth: settings, kind, url } = connector;
  const isMcp = kind === 'mcp-http';
  const { authorizationUrl, tokenUrl, issuer, scopes = [] } = settings;
  if (authorizationUrl !== undefined && tokenUrl !== undefined) {
    const server: oauth.AuthorizationServer = {
      // Without a configured issuer the origin is the only name that the answer's `iss` may have.
      issuer: issuer ?? new URL(authorizationUrl).origin,
      authorization_endpoint: authorizationUrl,
      token_endpoint: tokenUrl,
      ...(settings.revocationUrl !== undefined && { revocation_endpoint: settings.revocationUrl }),
    };
    return { server, resource: isMcp ? canonical(url) : undefined, scopes };
  }
  if (issuer !== undefined) {
    const server = withConfigured(await readServer(fetch, issuer), settings);
    return { server, resource: isMcp ? canonical(url) : undefined, scopes };
  }
  if (!isMcp) throw new ProviderError('bad_metadata', 'no_issuer_configured');
  const found = await discoverMcp(fetch, url);
  const server = withConfigured(await readServer(fetch, found.issuer), settings);
  return { server, resource: found.resource, scopes: scopes.length > 0 ? scopes : withOffline(found.scopes, server) };
}

/** The token for later needs this scope at servers that know it; nobody configured scopes who could have said so. */
function withOffline(scopes: readonly string[], server: oauth.AuthorizationServer): readonly string[] {
  const knows = server.scopes_supported?.includes('offline_access') === true;
  return knows && scopes.length > 0 && !scopes.includes('offline_access') ? [...scopes, 'offline_access'] : scopes;
}

function withConfigured(
  server: oauth.AuthorizationServer,
  { authorizationUrl, tokenUrl, revocationUrl }: OAuthConnector['oauth'],
): oauth.AuthorizationServer {
  return {
    ...server,
    ...(authorizationUrl !== undefined && { authorization_endpoint: authorizationUrl }),
    ...(tokenUrl !== undefined && { token_endpoint: tokenUrl }),
    ...(revocationUrl !== undefined && { revocation_endpoint: revocationUrl }),
  };
}

/** The documents that may describe an issuer, in the order that MCP authorization prescribes. */
function wellKnown(issuer: URL): string[] {
  const path = issuer.pathname.replace(/\/+$/, '');
  const at = (pathname: string) => new URL(pathname, issuer.origin).href;
  const inserted = [
    at(`/.well-known/oauth-authorization-server${path}`),
    at(`/.well-known/openid-configuration${path}`),
  ];
  return path === '' ? inserted : [...inserted, at(`${path}/.well-known/openid-configuration`)];
}

/** The issuer's metadata. What it says of itself must be the issuer that was asked for. */
async function readServer(fetch: GuardedFetch, issuer: string): Promise<oauth.AuthorizationServer> {
  const url = parsed(issuer, 'issuer');
  for (const address of wellKnown(url)) {
    const response = await find(fetch, address);
    if (response === undefined) continue;
    const server = await orBadMetadata('issuer_metadata', () => oauth.processDiscoveryResponse(url, response));
    if (typeof server.authorization_endpoint !== 'string' || typeof server.token_endpoint !== 'string')
      throw new ProviderError('bad_metadata', 'no_endpoints');
    const methods = server.code_challenge_methods_supported;
    if (Array.isArray(methods) && !methods.includes('S256')) throw new ProviderError('bad_metadata', 'no_pkce');
    return server;
  }
  throw new ProviderError('bad_metadata', 'no_metadata');
}

interface FoundResource {
  issuer: string;
  resource: string;
  scopes: readonly string[];
}

async function discoverMcp(fetch: GuardedFetch, url: string): Promise<FoundResource> {
  const challenge = await readChallenge(fetch, url);
  const target = new URL(url);
  const path = target.pathname.replace(/\/+$/, '');
  const root = new URL('/.well-known/oauth-protected-resource', target.origin).href;
  const places =
    challenge.metadata !== undefined
      ? [challenge.metadata]
      : [...(path === '' ? [] : [new URL(`/.well-known/oauth-protected-resource${path}`, target.origin).href]), root];
  for (const place of places) {
    const response = await find(fetch, place);
    if (response === undefined) continue;
    const document = await orBadMetadata('resource_metadata', () => response.json() as Promise<oauth.ResourceServer>);
    return ofDocument(document, target, challenge.scopes);
  }
  // The revision of March 2025 had no such document: the server's own origin was its authorization server.
  if (challenge.metadata !== undefined) throw new ProviderError('bad_metadata', 'no_resource_metadata');
  return { issuer: target.origin, resource: canonical(url), scopes: challenge.scopes ?? [] };
}

function ofDocument(document: oauth.ResourceServer, target: URL, asked: readonly string[] | undefined): FoundResource {
  const { resource, authorization_servers: servers, scopes_supported: supported } = document ?? {};
  // A document that speaks for another resource would have us fetch a token for somebody else's server.
  if (typeof resource !== 'string' || !covers(resource, target)) {
    throw new ProviderError('bad_metadata', 'another_resource');
  }
  const issuer = Array.isArray(servers) ? servers[0] : undefined;
  if (typeof issuer !== 'string') throw new ProviderError('bad_metadata', 'no_authorization_server');
  const scopes = asked ?? (Array.isArray(supported) ? supported.filter((scope) => typeof scope === 'string') : []);
  return { issuer, resource, scopes };
}

/** Whether the resource is the upstream, or a part of its origin that the upstream is in. */
function covers(resource: string, target: URL): boolean {
  if (!URL.canParse(resource)) return false;
  const { origin, pathname } = new URL(resource);
  const under = (path: string) => (path.endsWith('/') ? path : `${path}/`);
  return origin === target.origin && under(target.pathname).startsWith(under(pathname));
}

interface Challenge {
  metadata: string | undefined;
  scopes: readonly string[] | undefined;
}

/** What the upstream answers to somebody without a token. */
async function readChallenge(fetch: GuardedFetch, url: string): Promise<Challenge> {
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'MCP Valet', version: '0' },
  };
  const response = await orUnreachable(
    fetch(url, {
      method: 'POST',
      headers: { accept: 'application/json, text/event-stream', 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params }),
      signal: AbortSignal.timeout(deadlineMs),
    }),
  );
  await response.body?.cancel();
  const header = response.status === 401 ? (response.headers.get('www-authenticate') ?? '') : '';
  const bearer = /(?:^|,\s*)Bearer\s+(.*)$/is.exec(header)?.[1] ?? '';
  const parameter = (name: string) => new RegExp(`(?:^|[\\s,])${name}="([^"]*)"`, 'i').exec(bearer)?.[1];
  return {
    metadata: parameter('resource_metadata'),
    scopes: parameter('scope')
      ?.split(' ')
      .filter((scope) => scope !== ''),
  };
}

/** The document at this address, or undefined where there is none: many servers lead unknown paths to their front page. */
async function find(fetch: GuardedFetch, url: string): Promise<Response | undefined> {
  const init = { headers: { accept: 'application/json' }, signal: AbortSignal.timeout(deadlineMs) };
  try {
    const response = await orUnreachable(fetch(parsed(url, 'address').href, init));
    if (response.status === 200) return response;
    await response.body?.cancel();
    if (response.status >= 500) throw new ProviderError('unreachable', `status_${response.status}`);
    return undefined;
  } catch (error) {
    if (error instanceof ProviderError && error.reason === 'unreachable:REDIRECT') return undefined;
    throw error;
  }
}

async function orUnreachable(answer: Promise<Response>): Promise<Response> {
  try {
    return await answer;
  } catch (error) {
    const { code, name } = error as { code?: unknown; name?: string };
    throw new ProviderError('unreachable', typeof code === 'string' ? code : (name ?? 'failed'));
  }
}

async function orBadMetadata<T>(what: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if ((error as { name?: string }).name === 'EgressError') throw new ProviderError('unreachable', what);
    throw new ProviderError('bad_metadata', what);
  }
}

function parsed(text: string, what: string): URL {
  if (!URL.canParse(text)) throw new ProviderError('bad_metadata', `${what}_is_no_url`);
  return new URL(text);
}

/** The resource identifier of an upstream: its address without fragment, and without the slash of an empty path. */
function canonical(url: string): string {
  const { origin, pathname, search } = new URL(url);
  return `${origin}${pathname === '/' ? '' : pathname}${search}`;
}

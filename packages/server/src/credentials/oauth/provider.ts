// The authorization server of a connector, ready to be talked to: its endpoints, our client there and how it signs in. A client is the
// configured one, our published metadata document where the server reads such, or one that we register (RFC 7591) and keep.
// Everything sent goes through the guarded egress; nothing here knows a user.
import * as oauth from 'oauth4webapi';
import type { Parts } from '../../context.ts';
import { accountScope, withScope } from '../../db/scope.ts';
import { findOAuthClient, saveOAuthClient } from './client-store.ts';
import { type Discovered, discover, type GuardedFetch, metadataBytes, type OAuthConnector } from './discovery.ts';
import { ProviderError } from './provider-error.ts';

export type ProviderParts = Pick<Parts, 'config' | 'db' | 'egress' | 'keyring'>;

export type TokenAuth = 'client_secret_basic' | 'client_secret_post' | 'none';

export interface OAuthProvider extends Discovered {
  clientId: string;
  clientSecret: string | undefined;
  tokenAuth: TokenAuth;
}

/** Where providers send the browser back to. */
export const callbackUrl = (parts: Pick<Parts, 'config'>): string => `${parts.config.publicUrl}/oauth/callback`;
/** Our client id metadata document. */
export const clientDocumentUrl = (parts: Pick<Parts, 'config'>): string =>
  `${parts.config.publicUrl}/oauth/client.json`;

/** What we say about ourselves, to be read at `clientDocumentUrl` or sent in a registration. */
export function clientMetadata(parts: Pick<Parts, 'config'>, tokenAuth: TokenAuth = 'none') {
  return {
    client_name: 'MCP Valet',
    client_uri: parts.config.publicUrl,
    redirect_uris: [callbackUrl(parts)],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: tokenAuth,
  };
}

const tokenDeadlineMs = 10_000;

/** For every request of the protocol library to this connector's server. http is the egress guard's decision, and only where listed. */
export function protocolOptions(parts: Pick<Parts, 'egress'>, place: { accountId: string; id: string }) {
  return {
    [oauth.customFetch]: guardedFetch(parts, place) as (url: string, options: object) => Promise<Response>,
    [oauth.allowInsecureRequests]: true,
    signal: () => AbortSignal.timeout(tokenDeadlineMs),
  };
}

const guardedFetch = (
  parts: Pick<Parts, 'egress'>,
  { accountId, id }: { accountId: string; id: string },
): GuardedFetch => parts.egress.fetchFor(JSON.stringify(['oauth', accountId, id]), { maxBytes: metadataBytes });

export const clientOf = ({ clientId }: Pick<OAuthProvider, 'clientId'>): oauth.Client => ({ client_id: clientId });

/** How our client signs in at the token and revocation endpoints. */
export function clientAuthOf(provider: Pick<OAuthProvider, 'tokenAuth' | 'clientSecret'>): oauth.ClientAuth {
  const { tokenAuth, clientSecret } = provider;
  if (tokenAuth === 'none' || clientSecret === undefined) return oauth.None();
  return tokenAuth === 'client_secret_post'
    ? oauth.ClientSecretPost(clientSecret)
    : oauth.ClientSecretBasic(clientSecret);
}

interface Kept {
  discovered: Promise<Discovered>;
  until: number;
}
/** Metadata changes rarely, and a page should not ask for it at each step. Per egress, so that two gateways in a process share nothing. */
const kept = new WeakMap<object, Map<string, Kept>>();
const keepMs = 300_000;
const maxKept = 1_000;

function discovered(parts: ProviderParts, connector: OAuthConnector): Promise<Discovered> {
  const ours = kept.get(parts.egress) ?? new Map<string, Kept>();
  kept.set(parts.egress, ours);
  const key = JSON.stringify([connector.accountId, connector.id, connector.version]);
  const found = ours.get(key);
  if (found !== undefined && found.until > performance.now()) return found.discovered;
  const entry = {
    discovered: discover(guardedFetch(parts, connector), connector),
    until: performance.now() + keepMs,
  };
  // What went wrong is told to whoever waits, and not kept.
  entry.discovered.catch(() => ours.get(key) === entry && ours.delete(key));
  if (ours.size >= maxKept) ours.delete(ours.keys().next().value as string);
  ours.delete(key);
  ours.set(key, entry);
  return entry.discovered;
}

/**
 * The connector's authorization server with our client. `register` false: never makes a client, for work in the background on tokens
 * that only an existing client can have got. Throws ProviderError. Not inside a transaction: it may ask the network.
 */
export async function openProvider(
  parts: ProviderParts,
  connector: OAuthConnector,
  { register = true }: { register?: boolean } = {},
): Promise<OAuthProvider> {
  const found = await discovered(parts, connector);
  const endpoint = found.server.authorization_endpoint;
  // A browser is sent there: the same addresses as for ourselves, and never another scheme.
  if (endpoint !== undefined) checked(parts, endpoint);
  return { ...found, ...(await findClient(parts, connector, found.server, register)) };
}

function checked(parts: ProviderParts, url: string): void {
  try {
    parts.egress.check(url);
  } catch {
    throw new ProviderError('bad_metadata', 'endpoint_refused');
  }
}

type OurClient = Pick<OAuthProvider, 'clientId' | 'clientSecret' | 'tokenAuth'>;

async function findClient(
  parts: ProviderParts,
  connector: OAuthConnector,
  server: oauth.AuthorizationServer,
  register: boolean,
): Promise<OurClient> {
  const { accountId, id: connectorId, oauth: settings } = connector;
  const find = (place: { issuer?: string }) =>
    withScope(parts.db, accountScope(accountId), (tx) =>
      findOAuthClient(tx, parts.keyring, { accountId, connectorId, ...place }),
    );
  if (settings.clientId !== undefined) {
    const stored = await find({});
    const clientSecret = stored?.clientId === settings.clientId ? stored.clientSecret : undefined;
    const tokenAuth = settings.tokenAuth ?? (clientSecret === undefined ? 'none' : 'client_secret_basic');
    return { clientId: settings.clientId, clientSecret, tokenAuth };
  }
  const known = await find({ issuer: server.issuer });
  if (known !== undefined) return ofRegistered(server, known);
  if (readsClientDocuments(parts, server)) {
    return { clientId: clientDocumentUrl(parts), clientSecret: undefined, tokenAuth: 'none' };
  }
  if (!register || server.registration_endpoint === undefined) throw new ProviderError('no_client', 'none_configured');
  return registerClient(parts, connector, server);
}

/** The document's address must be one that the server can reach: https, or loopback beside a server on loopback. */
function readsClientDocuments(parts: ProviderParts, server: oauth.AuthorizationServer): boolean {
  if (server['client_id_metadata_document_supported'] !== true) return false;
  return parts.config.publicUrl.startsWith('https:') || server.issuer.startsWith('http:');
}

/** The way in which a client that we registered signs in: what the server offers and we asked for, so that it need not be stored. */
function registeredAuth(server: oauth.AuthorizationServer): TokenAuth {
  const offered = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
  const wanted: readonly TokenAuth[] = ['none', 'client_secret_basic', 'client_secret_post'];
  const method = wanted.find((one) => offered.includes(one));
  if (method === undefined) throw new ProviderError('no_client', 'no_common_client_authentication');
  return method;
}

function ofRegistered(
  server: oauth.AuthorizationServer,
  client: { clientId: string; clientSecret?: string | undefined },
): OurClient {
  return { clientId: client.clientId, clientSecret: client.clientSecret, tokenAuth: registeredAuth(server) };
}

async function registerClient(
  parts: ProviderParts,
  connector: OAuthConnector,
  server: oauth.AuthorizationServer,
): Promise<OurClient> {
  const tokenAuth = registeredAuth(server);
  const loopback = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(new URL(parts.config.publicUrl).hostname);
  // OpenID Connect registration lets web clients use https only; a gateway on a developer's machine is a native one.
  const metadata = { ...clientMetadata(parts, tokenAuth), application_type: loopback ? 'native' : 'web' };
  const answer = await protocolAnswer('registration', async () => {
    const response = await oauth.dynamicClientRegistrationRequest(server, metadata, protocolOptions(parts, connector));
    return oauth.processDynamicClientRegistrationResponse(response);
  }).catch((error: unknown) => {
    if (error instanceof ProviderRefusal) throw new ProviderError('no_client', `registration_${error.error}`);
    throw error;
  });
  const registered = answer.token_endpoint_auth_method ?? tokenAuth;
  if (registered !== tokenAuth) throw new ProviderError('no_client', 'registered_with_another_authentication');
  const { client_id: clientId, client_secret: secret, client_secret_expires_at: ends } = answer;
  const clientSecret = tokenAuth === 'none' || typeof secret !== 'string' ? undefined : secret;
  const { accountId, id: connectorId } = connector;
  const expiresAt = typeof ends === 'number' && ends > 0 ? new Date(ends * 1000) : null;
  await withScope(parts.db, accountScope(accountId), (tx) =>
    saveOAuthClient(tx, parts.keyring, {
      accountId,
      connectorId,
      issuer: server.issuer,
      clientId,
      clientSecret,
      expiresAt,
    }),
  );
  return { clientId, clientSecret, tokenAuth };
}

/** An `error` of the token endpoint or the registration: the provider understood us and said no. The code is the protocol's own word. */
export class ProviderRefusal extends Error {
  override readonly name = 'ProviderRefusal';
  readonly error: string;
  readonly status: number;
  constructor(error: string, status: number) {
    super('The sign-in service refused');
    this.error = /^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/.test(error) ? error : 'invalid_error';
    this.status = status;
  }
}

/** Runs one exchange of the protocol library; its errors quote foreign text and are translated. Throws ProviderError and ProviderRefusal. */
export async function protocolAnswer<T>(what: string, exchange: () => Promise<T>): Promise<T> {
  try {
    return await exchange();
  } catch (error) {
    if (error instanceof oauth.ResponseBodyError) {
      // A server in trouble may still speak the protocol; its word counts only when it is not a 5xx.
      if (error.status < 500) throw new ProviderRefusal(error.error, error.status);
      throw new ProviderError('unreachable', `${what}_${error.status}`);
    }
    if (error instanceof oauth.WWWAuthenticateChallengeError) throw new ProviderRefusal('invalid_client', error.status);
    if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError) {
      const status = error.cause instanceof Response ? error.cause.status : 0;
      const isDown = status >= 500 || status === 429;
      throw new ProviderError(isDown ? 'unreachable' : 'bad_answer', `${what}_${error.code ?? 'failed'}`);
    }
    const { name, code } = error as { name?: string; code?: unknown };
    if (name === 'EgressError') throw new ProviderError('unreachable', `${what}_${String(code)}`);
    if (name === 'TimeoutError' || name === 'AbortError') throw new ProviderError('unreachable', `${what}_timeout`);
    throw error;
  }
}

/** What renewing and revoking need: the server, our client as it is, and the guarded way to it. Throws ProviderError. */
export async function tokenClientFor(parts: ProviderParts, connector: OAuthConnector) {
  const provider = await openProvider(parts, connector, { register: false });
  return {
    as: provider.server,
    client: clientOf(provider),
    clientAuth: clientAuthOf(provider),
    options: protocolOptions(parts, connector),
    resource: provider.resource,
  };
}

export type TokenClient = Awaited<ReturnType<typeof tokenClientFor>>;

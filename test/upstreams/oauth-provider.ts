// A real authorization server (oidc-provider) on loopback, with its development pages for sign-in and consent, and what its endpoints saw.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider, { type Configuration } from 'oidc-provider';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import type { Browser, Seen } from './oauth-browser.ts';

export interface OAuthServer {
  issuer: string;
  clientId: string;
  clientSecret: string;
  /** Method and path of every request, in order. */
  readonly requests: readonly string[];
  /** Parameters of authorization requests. */
  readonly authorizations: readonly URLSearchParams[];
  /** Signs the person in and says yes, from the provider's first page to the way back. */
  agree(browser: Browser, page: Seen, login: string, stopAt?: string): Promise<Seen>;
  /** Signs the person in and says no. */
  refuse(browser: Browser, page: Seen, login: string, stopAt?: string): Promise<Seen>;
  /** Errors of the provider itself. */
  readonly errors: readonly string[];
  close(): Promise<void>;
}

export interface OAuthServerOptions {
  /** Where our configured client may return to; without it only registered clients exist. */
  callback?: string;
  /** What the server publishes about resources: requests with another `resource` are refused. */
  resource?: string;
  features?: Configuration['features'];
  tokenAuth?: 'client_secret_basic' | 'client_secret_post';
  /** How the server itself fetches. */
  fetch?: NonNullable<Configuration['fetch']>;
}

export async function startOAuthServer(options: OAuthServerOptions = {}): Promise<OAuthServer> {
  const clientId = 'valet-test';
  const clientSecret = randomBytes(24).toString('hex');
  const requests: string[] = [];
  const authorizations: URLSearchParams[] = [];
  const errors: string[] = [];
  const server = createServer((request) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    requests.push(`${request.method} ${url.pathname}`);
    if (url.pathname === '/auth') authorizations.push(url.searchParams);
  });
  const issuer = `http://127.0.0.1:${await listenOnLoopback(server)}`;
  const { callback, resource, features, tokenAuth = 'client_secret_basic', fetch: fetches } = options;
  const provider = new Provider(issuer, {
    clients:
      callback === undefined
        ? []
        : [
            {
              client_id: clientId,
              client_secret: clientSecret,
              redirect_uris: [callback],
              grant_types: ['authorization_code', 'refresh_token'],
              response_types: ['code'],
              token_endpoint_auth_method: tokenAuth,
              application_type: 'native',
            },
          ],
    ...(fetches !== undefined && { fetch: fetches }),
    cookies: { keys: [randomBytes(16).toString('hex')] },
    pkce: { required: () => true },
    scopes: ['openid', 'offline_access', 'mail.read'],
    claims: { openid: ['sub'] },
    findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => [],
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, asked) => {
          if (asked !== resource) throw Object.assign(new Error('unknown resource'), { name: 'InvalidTarget' });
          return { scope: 'mail.read', audience: asked, accessTokenFormat: 'opaque' };
        },
      },
      ...features,
    },
    ttl: { AccessToken: 3600, Interaction: 600, Session: 600, Grant: 3600, AuthorizationCode: 60, RefreshToken: 3600 },
  });
  type Failure = Error & { error_description?: string };
  const emitter = provider as { on(event: string, listener: (ctx: unknown, error: Failure) => void): unknown };
  for (const event of ['server_error', 'grant.error', 'authorization.error', 'registration_create.error']) {
    emitter.on(event, (_ctx, error) => errors.push(`${event}: ${error.message} ${error.error_description ?? ''}`));
  }
  const answer = provider.callback();
  server.on('request', (request, response) => void answer(request, response));

  const signIn = async (browser: Browser, page: Seen, login: string): Promise<Seen> =>
    page.text.includes('name="login"') ? browser.submit(page, { login, password: 'any' }) : page;
  return {
    issuer,
    clientId,
    clientSecret,
    requests,
    authorizations,
    errors,
    async agree(browser, page, login, stopAt) {
      const consent = await signIn(browser, page, login);
      return consent.text.includes('value="consent"') ? browser.submit(consent, {}, stopAt) : consent;
    },
    async refuse(browser, page, login, stopAt) {
      const consent = await signIn(browser, page, login);
      const abort = /href="([^"]*abort)"/.exec(consent.text)?.[1];
      if (abort === undefined) throw new Error(`nothing to refuse on ${consent.url}: ${consent.text}`);
      return browser.open(new URL(abort, consent.url).href, stopAt);
    },
    close: () => closeServer(server),
  };
}

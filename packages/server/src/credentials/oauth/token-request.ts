// One request for new tokens, and one to end them, at the provider's endpoints. Stores nothing. What a provider answers is read
// leniently where it succeeded, since the tokens in it may be the only ones that still work, and strictly where it says that a grant ended.
import * as oauth from 'oauth4webapi';
import type { ConnectorRecord } from '../../identity/records.ts';
import type { RenewedTokens } from './grant-store.ts';
import { type ProviderParts, type TokenClient, tokenClientFor } from './provider.ts';
import { ProviderError } from './provider-error.ts';
import { words } from './status.ts';
import { withSignal } from './waiting.ts';

export type Renewal =
  | { kind: 'renewed'; tokens: RenewedTokens }
  /** The provider says that the grant is over. */
  | { kind: 'ended'; lastError: string }
  /** Anything else: nothing is known of the grant, and it is kept. */
  | { kind: 'failed'; lastError: string; retryAfterMs?: number | undefined };

/** Asks for new tokens. Never throws for what the provider or the network does. */
export async function requestRenewal(
  parts: ProviderParts,
  connector: ConnectorRecord,
  refreshToken: string,
  signal: AbortSignal,
): Promise<Renewal> {
  const { oauth: settings } = connector;
  // Somebody took the sign-in settings away; the grant may be good when they come back.
  if (settings === null) return { kind: 'failed', lastError: words.unusable };
  try {
    const found = tokenClientFor(parts, { ...connector, oauth: settings });
    const { as, client, clientAuth, options, resource } = await withSignal(found, signal);
    const response = await oauth.refreshTokenGrantRequest(as, client, clientAuth, refreshToken, {
      ...options,
      ...(resource !== undefined && { additionalParameters: { resource } }),
      signal,
    });
    const text = await response.text();
    return response.ok ? readTokens(text) : readRefusal(response, text);
  } catch (error) {
    if (signal.aborted || isTimeout(error)) return { kind: 'failed', lastError: words.silent };
    if (error instanceof ProviderError)
      return { kind: 'failed', lastError: error.problem === 'unreachable' ? words.away : words.unusable };
    // Not ours to explain: a database that is away must not look like a provider that is.
    if (!isNetwork(error)) throw error;
    return { kind: 'failed', lastError: words.away };
  }
}

const isNetwork = (error: unknown): boolean =>
  error instanceof Error &&
  (error.name === 'EgressError' || /^OAUTH_/.test(String((error as { code?: unknown }).code)));

const isTimeout = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'TimeoutError' || (error as { code?: unknown }).code === 'TIMEOUT');

function readTokens(text: string): Renewal {
  const body = parsed(text);
  const accessToken = body['access_token'];
  // Some providers say no with HTTP 200.
  if (body['error'] === 'invalid_grant') return { kind: 'ended', lastError: words.ended };
  if (typeof accessToken !== 'string' || accessToken === '') return { kind: 'failed', lastError: words.nonsense };
  const expiresIn = Number(body['expires_in'] ?? Number.NaN);
  const { refresh_token: refreshToken, id_token: idToken, scope } = body;
  return {
    kind: 'renewed',
    tokens: {
      accessToken,
      ...(typeof refreshToken === 'string' && refreshToken !== '' && { refreshToken }),
      ...(typeof idToken === 'string' && { idToken, subject: subjectOf(idToken) }),
      ...(Number.isFinite(expiresIn) && expiresIn >= 0 && { expiresIn: Math.min(Math.floor(expiresIn), maxSeconds) }),
      ...(typeof scope === 'string' && { scopes: scope.split(' ').filter((one) => one !== '') }),
    },
  };
}

const maxSeconds = 315_360_000;

function readRefusal(response: Response, text: string): Renewal {
  const { status } = response;
  // RFC 6749 5.2. A 5xx that quotes the word is a broken provider, not a verdict.
  if (status >= 400 && status < 500 && parsed(text)['error'] === 'invalid_grant')
    return { kind: 'ended', lastError: words.ended };
  const isTheirs = status === 400 || status === 401 || status === 403;
  return {
    kind: 'failed',
    lastError: isTheirs ? words.refused : words.answered(status),
    retryAfterMs: retryAfterOf(response),
  };
}

function retryAfterOf(response: Response): number | undefined {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 300) * 1000 : undefined;
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** Unverified on purpose: it came from the token endpoint over the guarded connection (OpenID Connect Core 3.1.3.7, rule 6). */
function subjectOf(idToken: string): string | undefined {
  const claims = parsed(Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString('utf8'));
  return typeof claims['sub'] === 'string' ? claims['sub'] : undefined;
}

/** Ends one token at the provider (RFC 7009); false when that did not work. Call it only where a revocation endpoint is known. */
export async function requestRevocation(
  { as, client, clientAuth, options }: TokenClient,
  token: string,
  hint: 'refresh_token' | 'access_token',
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const response = await oauth.revocationRequest(as, client, clientAuth, token, {
      ...options,
      additionalParameters: { token_type_hint: hint },
      signal,
    });
    await response.body?.cancel();
    return response.ok;
  } catch (error) {
    // Whatever it was: the provider did not confirm, which is what the caller is told.
    if (error instanceof Error) return false;
    throw error;
  }
}

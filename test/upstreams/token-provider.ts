// A token endpoint whose failures a test can write: it rotates refresh tokens, notices when one is used twice, and can be told to fail, to hang, or
// to answer for somebody else. Also an MCP upstream that accepts only its living access tokens. What a real provider does is tested with one.
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';

export type Mood =
  | 'good'
  | 'error-500'
  | 'hang'
  | 'invalid-grant'
  | 'limited'
  | 'nonsense'
  | 'stranger'
  | 'refused-client';

export interface TokenProvider {
  /** Tokens of a new grant, as a backend would hold them. */
  grant(subject?: string): { accessToken: string; refreshToken: string };
  /** What the endpoint does from now on. */
  mood: Mood;
  /** Seconds that new access tokens live. */
  expiresIn: number;
  /** How long an answer takes. */
  delayMs: number;
  /** Refresh tokens as they arrived, in order. */
  readonly refreshes: readonly string[];
  /** Refreshes that have arrived and are not looked at yet: see `delayMs`. */
  readonly pending: number;
  /** Refresh tokens that arrived although they had been used. */
  readonly reused: readonly string[];
  readonly revoked: readonly { token: string; hint: string | null }[];
  /** Refresh tokens that would still work. */
  living(): number;
  /** Makes the upstream refuse an access token from now on. */
  spoil(accessToken: string): void;
  readonly upstream: RecordingUpstream;
  /** A connector of kind `mcp-http` whose users sign in here. */
  connector(connectorId: string, more?: Record<string, unknown>): Record<string, unknown>;
  close(): Promise<void>;
}

const clientId = 'valet';
const clientSecret = `secret${randomBytes(8).toString('hex')}`;

export async function startTokenProvider(options: { revocation?: boolean } = {}): Promise<TokenProvider> {
  const alive = new Set<string>();
  /** Refresh token -> whose grant. */
  const current = new Map<string, string>();
  const used = new Map<string, string>();
  let pending = 0;
  const refreshes: string[] = [];
  const reused: string[] = [];
  const revoked: { token: string; hint: string | null }[] = [];

  const issue = (subject: string) => {
    const accessToken = `access-${randomBytes(16).toString('hex')}`;
    const refreshToken = `refresh-${randomBytes(16).toString('hex')}`;
    alive.add(accessToken);
    current.set(refreshToken, subject);
    return { accessToken, refreshToken };
  };

  const server = createServer((request, response) => {
    void bodyOf(request).then((form) => {
      if (request.url === '/revoke') {
        const token = form.get('token') ?? '';
        revoked.push({ token, hint: form.get('token_type_hint') });
        alive.delete(token);
        current.delete(token);
        return provider.mood === 'hang' ? undefined : reply(response, provider.mood === 'error-500' ? 500 : 200, '');
      }
      pending++;
      return void setTimeout(() => {
        pending--;
        refresh(request, response, form);
      }, provider.delayMs);
    });
  });

  function refresh(
    request: IncomingMessage,
    response: ServerResponse,
    form: URLSearchParams,
  ): ServerResponse | undefined {
    const token = form.get('refresh_token') ?? '';
    refreshes.push(token);
    const basic = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;
    if (request.headers.authorization !== basic || provider.mood === 'refused-client') {
      return reply(response, 401, { error: 'invalid_client' });
    }
    switch (provider.mood) {
      case 'hang':
        return undefined;
      case 'error-500':
        // The word of a broken provider is no verdict.
        return reply(response, 500, { error: 'invalid_grant' });
      case 'limited':
        return reply(response, 429, { error: 'slow_down' }, { 'retry-after': '1' });
      case 'nonsense':
        return reply(response, 200, '<h1>Maintenance</h1>');
      case 'invalid-grant':
        return reply(response, 400, { error: 'invalid_grant', error_description: 'gone' });
      default:
        break;
    }
    const subject = current.get(token);
    if (subject === undefined) {
      if (used.has(token)) reused.push(token);
      return reply(response, 400, { error: 'invalid_grant' });
    }
    current.delete(token);
    used.set(token, subject);
    const { accessToken, refreshToken } = issue(subject);
    const claims = { iss: 'x', sub: provider.mood === 'stranger' ? 'somebody-else' : subject };
    return reply(response, 200, {
      access_token: accessToken,
      refresh_token: refreshToken,
      token_type: 'Bearer',
      expires_in: provider.expiresIn,
      id_token: `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`,
    });
  }

  const url = `http://127.0.0.1:${await listenOnLoopback(server)}`;
  const upstream = await startRecordingUpstream({
    record: true,
    intercept: (request) => {
      const token = String(request.headers.authorization ?? '').replace(/^Bearer /, '');
      return alive.has(token) ? undefined : { status: 401, headers: { 'www-authenticate': 'Bearer' } };
    },
  });

  const provider: TokenProvider = {
    grant: (subject = 'subject-1') => issue(subject),
    mood: 'good',
    expiresIn: 3600,
    delayMs: 0,
    get pending() {
      return pending;
    },
    refreshes,
    reused,
    revoked,
    living: () => current.size,
    spoil: (accessToken) => void alive.delete(accessToken),
    upstream,
    connector: (connectorId, more) => ({
      connectorId,
      kind: 'mcp-http',
      url: upstream.url,
      oauth: {
        authorizationUrl: `${url}/authorize`,
        tokenUrl: `${url}/token`,
        ...(options.revocation !== false && { revocationUrl: `${url}/revoke` }),
        clientId,
        clientSecret,
      },
      ...more,
    }),
    async close() {
      await closeServer(server);
      await upstream.close();
    },
  };
  return provider;
}

async function bodyOf(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}

function reply(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): ServerResponse {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
}

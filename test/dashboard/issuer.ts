// An OpenID Connect issuer for sign-in to the dashboard that says whatever a test wants, honest or not: it signs in whoever comes, redeems a code
// once, and hands out the ID token that was asked for. Asserts nothing.
import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Claims, newKey, nowSeconds, type SigningKey, signed } from '../support/issuer.ts';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';

export interface SignInIssuer {
  issuer: string;
  clientId: string;
  clientSecret: string;
  /** Who comes back next; undefined leaves a claim out. */
  claims: Claims;
  /** Signs with this instead of the published key. */
  key: SigningKey;
  /** What userinfo says besides the subject. */
  more: Claims;
  /** What it says of itself besides, or instead. */
  metadata: Claims;
  /** Answers 503 to everything. */
  isDown: boolean;
  redeemed: number;
  close(): Promise<void>;
}

interface Grant {
  nonce: string | null;
  challenge: string | null;
  redirectUri: string | null;
}

/** `host`: the name of loopback that the issuer goes by. */
export async function startSignInIssuer(host = '127.0.0.1'): Promise<SignInIssuer> {
  const published = newKey('ES256');
  const grants = new Map<string, Grant>();
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  const issuer = `http://${host}:${await listenOnLoopback(server)}`;
  const own: SignInIssuer = {
    issuer,
    clientId: 'dashboard',
    clientSecret: randomUUID().replaceAll('-', ''),
    claims: {},
    key: published,
    more: {},
    metadata: {},
    isDown: false,
    redeemed: 0,
    close: () => closeServer(server),
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', issuer);
    const json = (body: unknown, status = 200) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (own.isDown) return void json({ error: 'server_error' }, 503);
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return void json({
          issuer,
          authorization_endpoint: `${issuer}/authorize`,
          token_endpoint: `${issuer}/token`,
          userinfo_endpoint: `${issuer}/userinfo`,
          jwks_uri: `${issuer}/keys`,
          id_token_signing_alg_values_supported: ['ES256'],
          ...own.metadata,
        });
      case '/keys':
        return void json({ keys: [published.jwk] });
      case '/userinfo':
        return void json({ sub: own.claims['sub'] ?? 'lead', ...own.more });
      case '/authorize': {
        const code = randomUUID();
        const asked = url.searchParams;
        grants.set(code, {
          nonce: asked.get('nonce'),
          challenge: asked.get('code_challenge'),
          redirectUri: asked.get('redirect_uri'),
        });
        const back = new URL(asked.get('redirect_uri') ?? '');
        back.searchParams.set('code', code);
        back.searchParams.set('state', asked.get('state') ?? '');
        return void response.writeHead(303, { location: back.href }).end();
      }
      case '/token':
        return redeem(await bodyOf(request), request.headers.authorization, json);
      default:
        response.writeHead(404).end();
    }
  }

  function redeem(
    body: URLSearchParams,
    authorization: string | undefined,
    json: (body: unknown, status?: number) => unknown,
  ) {
    const code = body.get('code') ?? '';
    const grant = grants.get(code);
    grants.delete(code);
    const verifier = createHash('sha256')
      .update(body.get('code_verifier') ?? '')
      .digest('base64url');
    const basic = `Basic ${Buffer.from(`${own.clientId}:${own.clientSecret}`).toString('base64')}`;
    const isGood =
      verifier === grant?.challenge && body.get('redirect_uri') === grant.redirectUri && authorization === basic;
    if (grant === undefined || !isGood) return void json({ error: 'invalid_grant' }, 400);
    own.redeemed++;
    const iat = nowSeconds();
    const claims = {
      iss: issuer,
      aud: own.clientId,
      sub: 'lead',
      iat,
      exp: iat + 300,
      nonce: grant.nonce,
      ...own.claims,
    };
    const { alg } = own.key;
    const idToken = signed({ alg, kid: published.kid, typ: 'JWT' }, claims, own.key);
    json({ access_token: randomUUID(), token_type: 'Bearer', expires_in: 300, id_token: idToken });
  }
  return own;
}

async function bodyOf(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}

// An identity provider that does what a test wants: signs any header and claims, publishes any key set, counts who asks. Signs with Node's own
// crypto and not with the library that verifies.
import { createHmac, generateKeyPairSync, type KeyObject, randomUUID, sign as signBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { closeServer, listenOnLoopback } from './loopback.ts';

export type Alg = 'RS256' | 'PS256' | 'ES256' | 'EdDSA';
export type Claims = Record<string, unknown>;

export interface SigningKey {
  kid: string;
  alg: Alg;
  privateKey: KeyObject;
  /** As it is published. */
  jwk: Record<string, unknown>;
}

export function newKey(alg: Alg = 'RS256', kid: string = randomUUID()): SigningKey {
  const { privateKey, publicKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : alg === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { kid, alg, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } };
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function signature(alg: string, input: string, key: KeyObject): Buffer {
  const bytes = Buffer.from(input);
  if (alg === 'PS256') return signBytes('sha256', bytes, { key, padding: 6, saltLength: 32 });
  if (alg === 'ES256') return signBytes('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' });
  return signBytes(alg === 'EdDSA' ? null : 'sha256', bytes, key);
}

/** A compact JWS of exactly this header and these claims. */
export function signed(header: Claims, claims: Claims, { alg, privateKey }: SigningKey): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signature(alg, input, privateKey).toString('base64url')}`;
}

/** The same by HMAC, with whatever bytes somebody takes for a secret. */
export function signedByHmac(header: Claims, claims: Claims, secret: string | Uint8Array): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

export const unsigned = (header: Claims, claims: Claims, tail = ''): string =>
  `${encode(header)}.${encode(claims)}.${tail}`;

export const nowSeconds = (): number => Math.floor(Date.now() / 1000);

export interface TestIssuer {
  /** Its `iss`. */
  issuer: string;
  jwksUri: string;
  audience: string;
  /** What it signs with. */
  key: SigningKey;
  /** What it publishes. */
  published: Claims[];
  /** Requests for the key set so far. */
  fetches: number;
  /** Answers instead of the key set. */
  answer: ((response: ServerResponse) => void) | undefined;
  /** Good claims of a subject, with these instead or besides; undefined leaves one out. */
  claims(subject: string, more?: Claims): Claims;
  /** A good token of a subject, or one that differs in these. */
  token(subject: string, more?: { claims?: Claims; header?: Claims; key?: SigningKey }): string;
  /** New signing key, published beside the old ones or instead of them. */
  rotate(keepOld: boolean): SigningKey;
  close(): Promise<void>;
}

export async function startIssuer(alg: Alg = 'RS256'): Promise<TestIssuer> {
  const server = createServer((request, response) => {
    if (request.url === '/.well-known/openid-configuration') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ issuer: own.issuer, jwks_uri: own.jwksUri }));
      return;
    }
    own.fetches++;
    if (own.answer !== undefined) return own.answer(response);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ keys: own.published }));
  });
  const issuer = `http://127.0.0.1:${await listenOnLoopback(server)}`;
  const first = newKey(alg);
  const own: TestIssuer = {
    issuer,
    jwksUri: `${issuer}/keys`,
    audience: 'valet',
    key: first,
    published: [first.jwk],
    fetches: 0,
    answer: undefined,
    claims: (sub, more = {}) => {
      const iat = nowSeconds();
      return { iss: issuer, aud: own.audience, sub, iat, exp: iat + 300, ...more };
    },
    token: (subject, { claims, header, key = own.key } = {}) =>
      signed({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header }, own.claims(subject, claims), key),
    rotate(keepOld) {
      own.key = newKey(alg);
      own.published = keepOld ? [...own.published, own.key.jwk] : [own.key.jwk];
      return own.key;
    },
    close: () => closeServer(server),
  };
  return own;
}

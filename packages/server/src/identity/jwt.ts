// Whether a text is a token of an issuer, and what it says. Everything is decided by how the issuer is configured: algorithms, keys, audience,
// types, times. Of the header only `alg`, `kid` and `typ` are read; what it says about where keys are (`jku`, `x5u`, `jwk`, `x5c`) is not
// looked at. Knows no user and no account. Refuses with reasons for the trail; the caller hears one answer for all.
import { errors, type JWTPayload, jwtVerify } from 'jose';
import type { IssuerConfig } from '../issuers/store.ts';
import type { KeySets, VerifyKey } from './jwks.ts';

export const maxTokenBytes = 8_192;

/** Why a token is refused: for the trail, never for the answer. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  readonly reason: string;
  constructor(reason: string) {
    super(`token refused: ${reason}`);
    this.reason = `user_token_${reason}`;
  }
}

export interface Unverified {
  header: Readonly<Record<string, unknown>>;
  payload: Readonly<Record<string, unknown>>;
}

function jsonObject(part: string | undefined): Record<string, unknown> | undefined {
  if (part === undefined || !/^[A-Za-z0-9_-]+$/.test(part)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The parts of a compact JWS, unverified: good for choosing an issuer and for nothing else. Undefined: no JWT, perhaps another kind of token. */
export function readUnverified(token: string): Unverified | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  const header = jsonObject(parts[0]);
  const payload = jsonObject(parts[1]);
  return header !== undefined && payload !== undefined && typeof header['alg'] === 'string'
    ? { header, payload }
    : undefined;
}

const strings = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value]).filter((one): one is string => typeof one === 'string');

/** Whether the token is meant for one of the issuer's audiences, as far as it says itself. */
export function isForAudience(payload: Readonly<Record<string, unknown>>, config: TokenRules): boolean {
  const named = Object.hasOwn(payload, config.audienceClaim) ? payload[config.audienceClaim] : undefined;
  // Only `aud` may be a list: of the others one value is one party.
  const values = config.audienceClaim === 'aud' ? strings(named) : typeof named === 'string' ? [named] : [];
  return values.some((value) => config.audience.includes(value));
}

function checkHeader(
  header: Readonly<Record<string, unknown>>,
  config: TokenRules,
): { alg: string; kid: string | undefined } {
  const { alg, kid, typ } = header;
  if (typeof alg !== 'string' || !(config.algorithms as string[]).includes(alg)) throw new TokenError('algorithm');
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) throw new TokenError('critical_header');
  // Compressed, encrypted, or a token in a token.
  if (['zip', 'enc', 'cty'].some((name) => Object.hasOwn(header, name))) throw new TokenError('nested');
  if (typ === undefined ? config.requiresType : !isType(typ, config.tokenTypes)) throw new TokenError('type');
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 512)) throw new TokenError('key_id');
  return { alg, kid };
}

/** Media types: without regard to case, `application/` may be left out (RFC 7515 4.1.9). */
function isType(typ: unknown, accepted: readonly string[]): boolean {
  if (typeof typ !== 'string') return false;
  const bare = (text: string) => text.toLowerCase().replace(/^application\//, '');
  return accepted.some((one) => bare(one) === bare(typ));
}

/** What of an issuer's settings decides about a token. */
export type TokenRules = Pick<
  IssuerConfig,
  | 'algorithms'
  | 'audience'
  | 'audienceClaim'
  | 'clockToleranceSeconds'
  | 'jwksUri'
  | 'maxLifetimeSeconds'
  | 'requiredClaims'
  | 'requiresType'
  | 'subjectClaim'
  | 'tokenTypes'
>;

export interface JwtIssuer {
  /** The exact `iss`. */
  issuer: string;
  config: TokenRules;
  /** The shared secret, where the issuer has one; then no key set is asked. */
  secret: () => Uint8Array | undefined;
}

/** The verified claims. Throws TokenError, or a Refusal where nothing can be said now. */
export async function verifyJwt(
  token: string,
  { issuer, config, secret }: JwtIssuer,
  keySets: KeySets,
  nowMs: number,
): Promise<JWTPayload> {
  if (token.length > maxTokenBytes) throw new TokenError('too_long');
  const read = readUnverified(token);
  if (read === undefined) throw new TokenError('malformed');
  const { alg, kid } = checkHeader(read.header, config);
  const claims = await verified(token, await keyOf(alg, kid, config, secret, keySets), issuer, config, nowMs);
  if (!isForAudience(claims, config)) throw new TokenError('audience');
  checkTimes(claims, config, nowMs);
  return claims;
}

async function keyOf(
  alg: string,
  kid: string | undefined,
  config: TokenRules,
  secret: JwtIssuer['secret'],
  keySets: KeySets,
): Promise<VerifyKey> {
  // The algorithm chooses the source of the key, and the issuer's list chose the algorithm: a public key is never taken for a secret.
  const key =
    alg === 'HS256' ? secret() : config.jwksUri === null ? undefined : await keySets.find(config.jwksUri, alg, kid);
  if (key === undefined) throw new TokenError('unknown_key');
  return key;
}

async function verified(
  token: string,
  key: VerifyKey,
  issuer: string,
  config: TokenRules,
  nowMs: number,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [...config.algorithms],
      issuer,
      requiredClaims: [...new Set(['exp', 'iat', config.subjectClaim, config.audienceClaim, ...config.requiredClaims])],
      clockTolerance: config.clockToleranceSeconds,
      currentDate: new Date(nowMs),
    });
    return payload;
  } catch (error) {
    throw new TokenError(reasonOf(error));
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed)
    return `claim_${/^[\w.]{1,40}$/.test(error.claim) ? error.claim : 'other'}`;
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  return 'invalid';
}

function checkTimes(claims: JWTPayload, config: TokenRules, nowMs: number): void {
  const { exp = Number.NaN, iat = Number.NaN } = claims;
  const now = nowMs / 1000;
  if (!(iat <= now + config.clockToleranceSeconds)) throw new TokenError('issued_in_future');
  if (!(exp > iat) || !(exp - iat <= config.maxLifetimeSeconds)) throw new TokenError('lifetime');
}

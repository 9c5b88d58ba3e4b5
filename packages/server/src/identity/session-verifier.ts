// Tokens that are no JWT of a known issuer: sessions of the account's own application. Its webhook is asked who they are, signed as Standard
// Webhooks describes and through the guarded egress; in an embedding process a function stands for it. Fails closed: who cannot be asked lets
// nobody in (503), and only a good answer is used again, for 5 seconds at most.

import type { Parts } from '../context.ts';
import { signedHeaders } from '../crypto/webhook-signature.ts';
import { randomBase62 } from '../ids.ts';
import { type IssuerConfig, secretPlace } from '../issuers/store.ts';
import { Refusal } from '../refusal.ts';
import { TokenError } from './jwt.ts';
import type { IssuerRecord } from './records.ts';

/** What a verifier said about a good session. */
export interface SessionAnswer {
  claims: Readonly<Record<string, unknown>>;
  /** Null: it did not say. */
  expiresAt: Date | null;
}

type AskParts = Pick<Parts, 'egress' | 'keyring' | 'version'>;

const timeoutMs = 5_000;
const maxBytes = 64 * 1024;
const maxInFlight = 64;
const inFlight = new Map<string, number>();

const unreachable = (why: string): Refusal =>
  new Refusal('UNAVAILABLE', 'The session cannot be verified now', {
    retryAfterMs: 1_000,
    reason: `session_verifier_${why}`,
  });

/** Asks the webhook. Throws TokenError when it knows no such session, UNAVAILABLE for everything that is no answer. */
export async function askVerifier(parts: AskParts, issuer: IssuerRecord, token: string): Promise<SessionAnswer> {
  const running = inFlight.get(issuer.id) ?? 0;
  if (running >= maxInFlight) throw unreachable('busy');
  inFlight.set(issuer.id, running + 1);
  try {
    return readAnswer(await send(parts, issuer, token));
  } finally {
    const left = (inFlight.get(issuer.id) ?? 1) - 1;
    if (left > 0) inFlight.set(issuer.id, left);
    else inFlight.delete(issuer.id);
  }
}

async function send(parts: AskParts, issuer: IssuerRecord, token: string): Promise<Buffer> {
  const { url } = issuer.config as unknown as IssuerConfig;
  if (url === null || issuer.secret === null) throw unreachable('not_configured');
  const body = JSON.stringify({ token });
  const key = parts.keyring.openState(issuer.secret, ...secretPlace(issuer.accountId, issuer.id)).toString('utf8');
  try {
    const answer = await parts.egress.request(`verifier ${issuer.accountId}`, url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'user-agent': `MCP-Valet/${parts.version}`,
        ...signedHeaders(key, `msg_${randomBase62(22)}`, new Date(), body),
      },
      body,
      signal: AbortSignal.timeout(timeoutMs),
      maxBytes,
    });
    if (answer.status === 200) return answer.body;
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'EgressError') throw error;
    throw unreachable('unreachable');
  }
  throw unreachable('status');
}

function readAnswer(bytes: Buffer): SessionAnswer {
  let answer: unknown;
  try {
    answer = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw unreachable('no_json');
    throw error;
  }
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) throw unreachable('no_answer');
  const { active, ...claims } = answer as Record<string, unknown>;
  if (active === false) throw new TokenError('session_inactive');
  // Anything but a clear yes or no is a defect of the verifier and lets nobody in.
  if (active !== true) throw unreachable('no_answer');
  const { exp } = claims;
  if (exp !== undefined && (typeof exp !== 'number' || !Number.isFinite(exp))) throw unreachable('no_answer');
  return { claims, expiresAt: exp === undefined ? null : new Date(exp * 1000) };
}

/** What an embedding application says about a token of its own. */
export interface VerifiedUser {
  /** Username or `usr_` id in the account. */
  user: string;
  /** Makes the user where there is none. Default false: an unknown user is refused. */
  createUser?: boolean;
  /** The account; default the one of the server that is called, else the account `default`. Another than the server's or key's: refused. */
  accountId?: string;
  scopes?: readonly string[];
  /** For predicates and templates: `{{claims.tenantId}}`. */
  claims?: Readonly<Record<string, unknown>>;
  /** When the session ends. Needed for nothing but to end streams with it. */
  expiresAt?: Date;
}

/** Where a token was presented. */
export interface TokenPlace {
  /** Known from the key beside the token, or the server in the path. */
  accountId: string | undefined;
  serverId: string | undefined;
}

/**
 * The embedding application's own sign-in: who this token is of, or null for nobody (401). Asked about bearer tokens that are no key and no JWT
 * of a configured issuer; a good answer is used again for up to 5 s. What it throws, and an answer after 5 s, is 503.
 */
export type VerifyToken = (token: string, place: TokenPlace) => Promise<VerifiedUser | null>;

export async function askHook(hook: VerifyToken, token: string, place: TokenPlace): Promise<VerifiedUser> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(unreachable('timeout')), timeoutMs);
  });
  let answer: VerifiedUser | null;
  try {
    answer = await Promise.race([hook(token, place), late]);
  } catch (error) {
    // The application's own failure: its message is not ours to show or log.
    throw error instanceof Refusal ? error : unreachable('failed');
  } finally {
    clearTimeout(timer);
  }
  if (answer === null || answer === undefined) throw new TokenError('session_inactive');
  return answer;
}

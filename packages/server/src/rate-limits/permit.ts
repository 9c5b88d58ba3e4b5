// What a limit says of one call: the words that headers, refusals and the limits' own files share. Pure: no clock, no store, no Fastify.
import { Refusal } from '../refusal.ts';

/** What the headers of an answer tell about a limit. */
export interface Permit {
  /** `user`, `user-lists`, `management`, or the id of an account's own limit. */
  policy: string;
  limit: number;
  windowSeconds: number;
  remaining: number;
  /** Seconds until the next call will be admitted when nothing remains, else until the window gives one back. */
  resetSeconds: number;
}

export interface LimitKey {
  key: string;
  max: number;
  windowMs: number;
}
/** `at`: by the store's clock, not after the count. */
export type Verdict = { isExceeded: boolean; remaining: number; ttl: number; at: number };
/** Counts one, or only looks. Throws UNAVAILABLE when the store fails: the door stays closed. */
export type Limiter = (key: LimitKey, options?: { increment: boolean }) => Promise<Verdict>;

export const permitOf = (policy: string, key: LimitKey, verdict: Verdict): Permit => ({
  policy,
  limit: key.max,
  windowSeconds: key.windowMs / 1000,
  remaining: verdict.isExceeded ? 0 : verdict.remaining,
  resetSeconds: Math.ceil(verdict.ttl / 1000),
});

/** The one that will stop the caller first. */
export const tighter = (a: Permit, b: Permit): Permit => (b.remaining < a.remaining ? b : a);

/** The refusal carries the permit so that a 429 has the same headers as an answer. */
export function refuse(permit: Pick<Permit, 'limit'> & Partial<Permit>, policy: string, retryAfterMs: number): never {
  throw new Refusal('RATE_LIMITED', 'Rate limit exceeded', {
    retryAfterMs,
    reason: `rate_limit:${policy}`,
    details: { policy, limit: permit.limit, windowSeconds: permit.windowSeconds },
  });
}

/** The limit's headers of a 429, from what the refusal says about the limit. */
export function refusedHeaders({ code, details, retryAfterMs }: Refusal): Record<string, string> {
  if (code !== 'RATE_LIMITED') return {};
  const { policy, limit, windowSeconds } = details ?? {};
  if (typeof policy !== 'string' || typeof limit !== 'number') return {};
  const resetSeconds = Math.ceil((retryAfterMs ?? 1000) / 1000);
  if (typeof windowSeconds === 'number')
    return limitHeaders({ policy, limit, windowSeconds, remaining: 0, resetSeconds });
  return {
    'ratelimit-policy': `"${policy}";q=${limit};qu="concurrent-requests"`,
    ratelimit: `"${policy}";r=0;t=${resetSeconds}`,
  };
}

/**
 * `RateLimit`, `RateLimit-Policy` and the older `x-ratelimit-*` headers of an answer. `tightest` comes first, and alone in the older ones; `also`
 * is told beside it when it is another policy: who hears only of a limit on some tools would not know where the user stands.
 */
export function limitHeaders(tightest: Permit, also: Permit = tightest): Record<string, string> {
  const told = also.policy === tightest.policy ? [tightest] : [tightest, also];
  return {
    'ratelimit-policy': told
      .map(({ policy, limit, windowSeconds }) => `"${policy}";q=${limit};w=${windowSeconds}`)
      .join(', '),
    ratelimit: told
      .map(({ policy, remaining, resetSeconds }) => `"${policy}";r=${remaining};t=${resetSeconds}`)
      .join(', '),
    'x-ratelimit-limit': String(tightest.limit),
    'x-ratelimit-remaining': String(tightest.remaining),
    'x-ratelimit-reset': String(tightest.resetSeconds),
  };
}

// Permits: one choke point for every rate limit, on the programmatic limiter of @fastify/rate-limit with our sliding window as its store.
//
// Guarantee: no 60-second interval admits more calls of one effective user than the limit. Order: after identity, before policy, so that
// a refused caller costs nothing further. Failure: an error of the store never opens the door, the call ends as 503.
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.ts';
import type { Principal } from '../identity/principal.ts';
import { Refusal } from '../refusal.ts';
import { SlidingWindowStore, storeClass } from './window.ts';

/** What the headers of an answer tell about a limit. */
export interface Permit {
  policy: 'user' | 'user-lists' | 'management';
  limit: number;
  windowSeconds: number;
  remaining: number;
  /** Seconds until the next call will be admitted when nothing remains, else until the window gives one back. */
  resetSeconds: number;
}

interface LimitKey {
  key: string;
  max: number;
  windowMs: number;
}
type Verdict = { isExceeded: boolean; remaining: number; ttl: number };
type Limiter = (key: LimitKey, options?: { increment: boolean }) => Promise<Verdict>;

export interface ServerLimit {
  serverId: string;
  max: number;
  windowSeconds: number;
}

export interface Limits {
  /** One call of the effective user; a server's own limit can only lower it. Throws RATE_LIMITED. */
  call(accountId: string, userId: string, server: ServerLimit | null): Promise<Permit>;
  /** One list, discovery or handshake of the effective user. Throws RATE_LIMITED. */
  list(accountId: string, userId: string): Promise<Permit>;
  /** One management request of a key. Throws RATE_LIMITED. */
  management(principal: Principal): Promise<Permit>;
  /** What is left, without taking anything. */
  peek(policy: 'user' | 'user-lists', accountId: string, userId: string): Promise<Permit>;
  /** Holds one of the user's places for calls in flight until the returned function is called. Throws RATE_LIMITED. */
  enter(accountId: string, userId: string): () => void;
}

/** The refusal carries the permit so that a 429 has the same headers as an answer. */
function refuse(permit: Permit | undefined, policy: string, retryAfterMs: number): never {
  throw new Refusal('RATE_LIMITED', 'Rate limit exceeded', {
    retryAfterMs,
    reason: `rate_limit:${policy}`,
    details: { policy, ...(permit && { limit: permit.limit, windowSeconds: permit.windowSeconds }) },
  });
}

const minute = 60_000;

export async function createLimits(app: FastifyInstance, config: Config, now: () => number): Promise<Limits> {
  const windows = new SlidingWindowStore(now);
  await app.register(rateLimit, { global: false, store: storeClass(windows) });
  const raw = app.createRateLimit({
    keyGenerator: (request) => (request as unknown as LimitKey).key,
    max: (request) => (request as unknown as LimitKey).max,
    timeWindow: (request) => (request as unknown as LimitKey).windowMs,
  });
  // The plugin reads `routeOptions` of what it takes for a request; ours is only the key.
  const limiter: Limiter = async (key, options) => {
    let verdict: Awaited<ReturnType<typeof raw>>;
    try {
      verdict = await raw({ ...key, routeOptions: { config: {} } } as never, options);
    } catch {
      throw new Refusal('UNAVAILABLE', 'The rate limit cannot be checked now', {
        retryAfterMs: 1000,
        reason: 'limiter_failed',
      });
    }
    // `isAllowed` means "on the allow list", which we do not use: fail closed if it ever appears.
    if (verdict.isAllowed)
      throw new Refusal('UNAVAILABLE', 'The rate limit cannot be checked now', { reason: 'limiter_failed' });
    return verdict;
  };

  const permitOf = (policy: Permit['policy'], key: LimitKey, verdict: Verdict): Permit => ({
    policy,
    limit: key.max,
    windowSeconds: key.windowMs / 1000,
    remaining: verdict.isExceeded ? 0 : verdict.remaining,
    resetSeconds: Math.ceil(verdict.ttl / 1000),
  });
  const take = async (policy: Permit['policy'], key: LimitKey): Promise<Permit> => {
    const verdict = await limiter(key);
    const permit = permitOf(policy, key, verdict);
    if (verdict.isExceeded) refuse(permit, policy, verdict.ttl);
    return permit;
  };
  const userKey = (accountId: string, userId: string): LimitKey => ({
    key: `u ${accountId} ${userId}`,
    max: config.limits.callsPerMinute,
    windowMs: minute,
  });
  const listKey = (accountId: string, userId: string): LimitKey => ({
    key: `l ${accountId} ${userId}`,
    max: config.limits.listsPerMinute,
    windowMs: minute,
  });
  const inFlight = new Map<string, number>();

  return {
    async call(accountId, userId, server) {
      const key = userKey(accountId, userId);
      if (server === null) return take('user', key);
      // Both must have room before either is charged, so that a refusal costs no permit.
      const left = await limiter(key, { increment: false });
      if (left.remaining < 1) return refuse(permitOf('user', key, { ...left, isExceeded: true }), 'user', left.ttl);
      const own = { key: `s ${server.serverId} ${userId}`, max: server.max, windowMs: server.windowSeconds * 1000 };
      const ownPermit = await take('user', own);
      const permit = await take('user', key);
      return ownPermit.remaining < permit.remaining ? ownPermit : permit;
    },
    list: (accountId, userId) => take('user-lists', listKey(accountId, userId)),
    management: (principal) =>
      take('management', { key: `m ${principal.keyId}`, max: config.limits.managementPerMinute, windowMs: minute }),
    async peek(policy, accountId, userId) {
      const key = policy === 'user' ? userKey(accountId, userId) : listKey(accountId, userId);
      return permitOf(policy, key, await limiter(key, { increment: false }));
    },
    enter(accountId, userId) {
      const key = `${accountId} ${userId}`;
      const held = inFlight.get(key) ?? 0;
      if (held >= config.limits.concurrentCalls) refuse(undefined, 'user-concurrent', 1000);
      inFlight.set(key, held + 1);
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        const rest = (inFlight.get(key) ?? 1) - 1;
        if (rest > 0) inFlight.set(key, rest);
        else inFlight.delete(key);
      };
    },
  };
}

/** `RateLimit`, `RateLimit-Policy` and the older `x-ratelimit-*` headers of an answer. */
export function limitHeaders(permit: Permit): Record<string, string> {
  return {
    'ratelimit-policy': `"${permit.policy}";q=${permit.limit};w=${permit.windowSeconds}`,
    ratelimit: `"${permit.policy}";r=${permit.remaining};t=${permit.resetSeconds}`,
    'x-ratelimit-limit': String(permit.limit),
    'x-ratelimit-remaining': String(permit.remaining),
    'x-ratelimit-reset': String(permit.resetSeconds),
  };
}

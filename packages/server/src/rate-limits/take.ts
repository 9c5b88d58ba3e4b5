// Permits: one choke point for every rate limit, on the programmatic limiter of @fastify/rate-limit with our sliding window as its store.
//
// Guarantee: no 60-second interval admits more calls of one effective user than the limit. Order: after identity, before policy, so that
// a refused caller costs nothing further; an account's own rules are looked at there too and counted once the call was decided upon, when
// what it touches is known. Failure: an error of the store never opens the door, the call ends as 503.
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.ts';
import type { Principal } from '../identity/principal.ts';
import type { AccountRecord, LimitRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { type Limiter, type LimitKey, type Permit, permitOf, refuse, tighter } from './permit.ts';
import type { Quotas } from './quotas.ts';
import { type CallFacts, createRules, type LimitView } from './rules.ts';
import { SlidingWindowStore, storeClass } from './window.ts';

export { limitHeaders, type Permit, refusedHeaders } from './permit.ts';
export type { CallFacts, LimitView } from './rules.ts';

export interface ServerLimit {
  serverId: string;
  max: number;
  windowSeconds: number;
}

export type AccountLimit = Pick<AccountRecord, 'id' | 'callsPerMinute'>;

/** What an account says of limits, through the directory's caches, and where daily quotas are counted. */
export interface LimitSources {
  account(accountId: string): Promise<AccountLimit | undefined>;
  limits(accountId: string): Promise<readonly LimitRecord[]>;
  quotas: Quotas;
}

export interface CallPermit extends Permit {
  /** Takes it back: another limit refused the call, which thus costs nothing. */
  giveBack(): void;
}

export interface Limits {
  /** One call of the effective user; the account and a server's own limit can only lower it. Throws RATE_LIMITED. */
  call(accountId: string, userId: string, server: ServerLimit | null): Promise<CallPermit>;
  /** Before the call is planned: throws RATE_LIMITED where a rule of the account refuses it whatever it touches. Counts nothing. */
  checkRules(call: CallFacts): Promise<void>;
  /** After the decision: counts the call against every rule of the account that it fits, or throws RATE_LIMITED and counts against none. */
  takeRules(call: CallFacts): Promise<Permit | undefined>;
  /** Every limit that the call would count against, and what it leaves. Counts nothing. */
  peekAll(call: CallFacts, server: ServerLimit | null): Promise<LimitView[]>;
  /** One list, discovery or handshake of the effective user. Throws RATE_LIMITED. */
  list(accountId: string, userId: string): Promise<Permit>;
  /** One management request of a key. Throws RATE_LIMITED. */
  management(principal: Principal): Promise<Permit>;
  /** What is left, without taking anything. Reads no database: it may be asked inside a transaction. */
  peek(policy: 'user' | 'user-lists', account: AccountLimit, userId: string): Promise<Permit>;
  /** Holds one of the user's places for calls in flight until the returned function is called. Throws RATE_LIMITED. */
  enter(accountId: string, userId: string): () => void;
}

const minute = 60_000;

export async function createLimits(
  app: FastifyInstance,
  config: Config,
  sources: LimitSources,
  now: () => number,
): Promise<Limits> {
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
    let at: number;
    try {
      at = now();
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
    return { ...verdict, at };
  };

  const giveBack = (key: LimitKey, at: number): void => windows.giveBack(key.key, key.windowMs, at);
  const take = async (policy: string, key: LimitKey): Promise<CallPermit> => {
    const verdict = await limiter(key);
    const permit = permitOf(policy, key, verdict);
    if (verdict.isExceeded) refuse(permit, policy, verdict.ttl);
    return { ...permit, giveBack: () => giveBack(key, verdict.at) };
  };
  const accountOf = async (id: string): Promise<AccountLimit> =>
    (await sources.account(id)) ?? { id, callsPerMinute: null };
  const userKey = ({ id, callsPerMinute }: AccountLimit, userId: string): LimitKey => ({
    key: `u ${id} ${userId}`,
    max: Math.min(callsPerMinute ?? Number.POSITIVE_INFINITY, config.limits.callsPerMinute),
    windowMs: minute,
  });
  const serverKey = (server: ServerLimit, userId: string): LimitKey => ({
    key: `s ${server.serverId} ${userId}`,
    max: server.max,
    windowMs: server.windowSeconds * 1000,
  });
  const listKey = (accountId: string, userId: string): LimitKey => ({
    key: `l ${accountId} ${userId}`,
    max: config.limits.listsPerMinute,
    windowMs: minute,
  });
  const rules = createRules({ limiter, giveBack, quotas: sources.quotas });
  const inFlight = new Map<string, number>();

  return {
    async call(accountId, userId, server) {
      const key = userKey(await accountOf(accountId), userId);
      if (server === null) return take('user', key);
      // Both must have room before either is charged, so that a refusal costs no permit.
      const left = await limiter(key, { increment: false });
      if (left.remaining < 1) return refuse(permitOf('user', key, { ...left, isExceeded: true }), 'user', left.ttl);
      const own = await take('user', serverKey(server, userId));
      try {
        const permit = await take('user', key);
        const giveBoth = (): void => {
          own.giveBack();
          permit.giveBack();
        };
        return { ...tighter(permit, own), giveBack: giveBoth };
      } catch (error) {
        // Others came between the look and the count.
        own.giveBack();
        throw error;
      }
    },
    checkRules: async (call) => rules.check(await sources.limits(call.accountId), call),
    takeRules: async (call) => rules.take(await sources.limits(call.accountId), call),
    async peekAll(call, server) {
      const look = async (policy: string, key: LimitKey): Promise<LimitView> => {
        const { remaining } = await limiter(key, { increment: false });
        return { policy, limit: key.max, remaining, window: key.windowMs / 1000 };
      };
      return [
        await look('user', userKey(await accountOf(call.accountId), call.user.id)),
        ...(server === null ? [] : [await look('server', serverKey(server, call.user.id))]),
        ...(await rules.peek(await sources.limits(call.accountId), call)),
      ];
    },
    list: (accountId, userId) => take('user-lists', listKey(accountId, userId)),
    management: (principal) =>
      take('management', { key: `m ${principal.keyId}`, max: config.limits.managementPerMinute, windowMs: minute }),
    async peek(policy, account, userId) {
      const key = policy === 'user' ? userKey(account, userId) : listKey(account.id, userId);
      return permitOf(policy, key, await limiter(key, { increment: false }));
    },
    enter(accountId, userId) {
      const key = `${accountId} ${userId}`;
      const held = inFlight.get(key) ?? 0;
      if (held >= config.limits.concurrentCalls)
        refuse({ limit: config.limits.concurrentCalls }, 'user-concurrent', 1000);
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

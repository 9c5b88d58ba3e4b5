// Permits: one choke point for every rate limit, on the programmatic limiter of @fastify/rate-limit with our sliding window as its store.
//
// Guarantee: no 60-second interval admits more calls of one effective user than the limit. Order: after identity, before policy, so that
// a refused caller costs nothing further; an account's own rules are looked at there too and counted once the call was decided upon, when
// what it touches is known. Failure: an error of the store never opens the door. With a store that replicas share, this replica's own windows
// decide then and management ends as 503; where those cannot either, everything does.
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config.ts';
import type { Principal } from '../identity/principal.ts';
import type { AccountRecord, LimitRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { type Limiter, type LimitKey, type Permit, permitOf, refuse, tighter } from './permit.ts';
import { Places } from './places.ts';
import { type LimiterOptions, storeClass } from './plugin-store.ts';
import type { Quotas } from './quotas.ts';
import { type CallFacts, createRules, type LimitView } from './rules.ts';
import { type LimiterHealth, ownWindows, type Windows } from './shared-windows.ts';
import { SlidingWindowStore } from './window.ts';

export { limitHeaders, type Permit, refusedHeaders } from './permit.ts';
export type { CallFacts, LimitView } from './rules.ts';
export type { LimiterHealth } from './shared-windows.ts';

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
  /** One sign-in to the dashboard from this source of addresses. Throws RATE_LIMITED. */
  signIn(source: string): Promise<Permit>;
  /** What is left, without taking anything. Reads no database: it may be asked inside a transaction. */
  peek(policy: 'user' | 'user-lists', account: AccountLimit, userId: string): Promise<Permit>;
  /** Holds one of the user's places for calls in flight until the returned function is called. Throws RATE_LIMITED. */
  enter(accountId: string, userId: string): () => void;
  /** Holds one of the connector's places of this replica until the returned function is called. Throws UNAVAILABLE. */
  enterConnector(accountId: string, connectorId: string): () => void;
  /** Where the windows are counted, and whether that works. */
  health(): LimiterHealth;
}

const minute = 60_000;
const signInsPerMinute = 20;
/** In flight at once, of all users: an upstream that answers slowly must not fill the process with calls that wait for it. */
const callsPerConnector = 200;

export async function createLimits(
  app: FastifyInstance,
  config: Config,
  sources: LimitSources,
  now: () => number,
  windows: Windows = ownWindows(new SlidingWindowStore(now)),
): Promise<Limits> {
  await app.register(rateLimit, { global: false, store: storeClass(windows) });
  const limiterWith = (more: LimiterOptions): Limiter => {
    const raw = app.createRateLimit({
      keyGenerator: (request) => (request as unknown as LimitKey).key,
      max: (request) => (request as unknown as LimitKey).max,
      timeWindow: (request) => (request as unknown as LimitKey).windowMs,
      ...more,
    });
    return async (key, options) => {
      const at = known(now);
      // The plugin reads `routeOptions` of what it takes for a request; ours is only the key.
      const verdict = await raw({ ...key, routeOptions: { config: {} } } as never, options).catch(unavailable);
      // `isAllowed` means "on the allow list", which we do not use: fail closed if it ever appears.
      return verdict.isAllowed ? unavailable() : { ...verdict, at };
    };
  };
  const limiter = limiterWith({});
  // A gateway whose limits are in doubt goes on serving calls; it is not managed meanwhile.
  const managementLimiter = limiterWith({ whenDown: 'refuse' });
  const refusesFor = (key: LimitKey): number => {
    const { current, ttl } = known(() => windows.glance(key.key, key.windowMs, key.max));
    return current >= key.max ? Math.max(1, ttl) : 0;
  };

  const giveBack = (key: LimitKey, at: number): void => windows.giveBack(key.key, key.windowMs, at);
  const take = async (policy: string, key: LimitKey, by = limiter): Promise<CallPermit> => {
    const verdict = await by(key);
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
  const rules = createRules({ limiter, refusesFor, giveBack, quotas: sources.quotas });
  const ofUsers = new Places(config.limits.concurrentCalls);
  const ofConnectors = new Places(callsPerConnector);

  return {
    async call(accountId, userId, server) {
      const key = userKey(await accountOf(accountId), userId);
      if (server === null) return take('user', key);
      // A refusal costs no permit: whoever is known to be refused is not charged anywhere, and what was charged is given back.
      const waitMs = refusesFor(key);
      if (waitMs > 0) return refuse({ limit: key.max, windowSeconds: key.windowMs / 1000 }, 'user', waitMs);
      const own = await take('user', serverKey(server, userId));
      try {
        const permit = await take('user', key);
        const giveBoth = (): void => {
          own.giveBack();
          permit.giveBack();
        };
        return { ...tighter(permit, own), giveBack: giveBoth };
      } catch (error) {
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
      take(
        'management',
        { key: `m ${principal.keyId}`, max: config.limits.managementPerMinute, windowMs: minute },
        managementLimiter,
      ),
    signIn: (source) => take('sign-in', { key: `i ${source}`, max: signInsPerMinute, windowMs: minute }),
    async peek(policy, account, userId) {
      const key = policy === 'user' ? userKey(account, userId) : listKey(account.id, userId);
      return permitOf(policy, key, await limiter(key, { increment: false }));
    },
    enter(accountId, userId) {
      const leave = ofUsers.enter(`${accountId} ${userId}`);
      return leave ?? refuse({ limit: config.limits.concurrentCalls }, 'user-concurrent', 1000);
    },
    enterConnector(accountId, connectorId) {
      const leave = ofConnectors.enter(`${accountId} ${connectorId}`);
      if (leave !== undefined) return leave;
      throw new Refusal('UNAVAILABLE', 'Too many calls of this connector are running', {
        retryAfterMs: 1000,
        reason: 'overload:connector',
      });
    },
    health: () => windows.health(),
  };
}

function unavailable(): never {
  throw new Refusal('UNAVAILABLE', 'The rate limit cannot be checked now', {
    retryAfterMs: 1000,
    reason: 'limiter_failed',
  });
}

/** A clock or window that fails here is a limiter that fails. */
function known<T>(ask: () => T): T {
  try {
    return ask();
  } catch {
    return unavailable();
  }
}

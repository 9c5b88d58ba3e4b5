// What callers may set about waiting in front of a limit, and the one place where it is checked and completed.
import { ConfigError } from './errors.ts';

/**
 * What happens to a call whose user is at the limit. `auto`: wait if that takes no longer than `maxWaitMs`, else throw.
 * `wait`: wait up to the deadline. `reject`: throw at once. What throws is a RateLimitError with `source: 'local'`; nothing was sent.
 */
export type RateLimitMode = 'auto' | 'wait' | 'reject';

/** Options of waiting in front of each user's rate limit. */
export interface RateLimitOptions {
  /** What to do with a call whose user is at the limit. Default `auto`. */
  mode?: RateLimitMode | undefined;
  /** The longest wait of mode `auto`, in milliseconds. Default 2,000. */
  maxWaitMs?: number | undefined;
  /** Learn each user's limit from the server's answers. Default true. */
  learn?: boolean | undefined;
  /**
   * A limit of your own for every user: `limit` calls per `windowMs` milliseconds, evenly, at most `burst` at once.
   * Default burst: `limit`. It holds whatever the server says.
   */
  quota?: { limit: number; windowMs: number; burst?: number } | undefined;
  /** Calls of one user in flight. Default 10. */
  maxConcurrentPerUser?: number | undefined;
  /** Requests of all users in flight. Default 256. */
  maxConcurrent?: number | undefined;
  /** Calls of one user that may wait. Default 64; one more throws. */
  maxQueuePerUser?: number | undefined;
  /** Calls of all users that may wait. Default 10,000; one more throws. */
  maxQueue?: number | undefined;
  /** Users to remember. Default 50,000; beyond that the one unused for longest is forgotten. */
  maxUsers?: number | undefined;
  /** Where processes count together. Without one they share a limit by watching the server's answers. */
  store?: RateLimitStore | undefined;
}

/** What a store counts against. */
export interface RateLimitPolicy {
  /** Calls per window. */
  limit: number;
  /** Length of the window in milliseconds. */
  windowMs: number;
}

/** Counts for several processes, for example in Redis. When it fails or takes more than 50 ms, the call goes on: the server decides. */
export interface RateLimitStore {
  /** Takes `cost` from what `key` has left. Resolves to the milliseconds to wait when nothing is left, else to 0. */
  take(key: string, cost: number, policy: RateLimitPolicy, signal: AbortSignal): Promise<number>;
  /** The server refused: `key` has nothing left for so many milliseconds. */
  penalize(key: string, ms: number): Promise<void> | void;
}

/** Where one user stands, as far as this process knows. */
export interface RateLimitSnapshot {
  /** Name of the limit that ends first, when the server names it. */
  policy: string | undefined;
  /** Requests per window; unknown before the first answer. */
  limit: number | undefined;
  /** Length of the window in milliseconds. */
  windowMs: number | undefined;
  /** Requests that may be sent now. */
  remaining: number | undefined;
  /** Milliseconds until the next request may be sent; 0: now. */
  retryAfterMs: number;
  /** Requests under way. */
  inFlight: number;
  /** Calls that wait for their turn. */
  waiting: number;
}

/** Something happened in front of a limit. Holds no user id and no argument. */
export interface RateLimitEvent {
  /** `wait`: a call had to wait. `reject`: it was refused without a request. `limited`: the server answered 429. */
  type: 'wait' | 'reject' | 'limited';
  /** Which method: `servers.create`, `execute`. */
  operation: string;
  /** Milliseconds: waited, or to wait. */
  ms: number | undefined;
  /** Name of the limit, when the server names it. */
  policy: string | undefined;
}

/** Options after checking. */
export interface GateOptions {
  mode: RateLimitMode;
  maxWaitMs: number;
  learn: boolean;
  quota: { intervalMs: number; burst: number; limit: number; windowMs: number } | undefined;
  maxConcurrentPerUser: number;
  maxConcurrent: number;
  maxQueuePerUser: number;
  maxQueue: number;
  maxUsers: number;
  store: RateLimitStore | undefined;
}

const modes: readonly unknown[] = ['auto', 'wait', 'reject'];
const defaults = {
  maxWaitMs: 2000,
  maxConcurrentPerUser: 10,
  maxConcurrent: 256,
  maxQueuePerUser: 64,
  maxQueue: 10_000,
  maxUsers: 50_000,
} as const;

function checkCount(value: unknown, name: string, least: number): number | undefined {
  if (value === undefined) return undefined;
  if (Number.isInteger(value) && (value as number) >= least) return value as number;
  throw new ConfigError({ message: `rateLimit.${name} must be an integer of at least ${least}` });
}

function checkPositive(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw new ConfigError({ message: `rateLimit.${name} must be a positive number` });
}

function checkQuota(quota: RateLimitOptions['quota']): GateOptions['quota'] {
  if (quota === undefined) return undefined;
  const limit = checkPositive(quota.limit, 'quota.limit');
  const windowMs = checkPositive(quota.windowMs, 'quota.windowMs');
  const burst = quota.burst === undefined ? Math.max(1, limit) : checkPositive(quota.burst, 'quota.burst');
  if (burst < 1) throw new ConfigError({ message: 'rateLimit.quota.burst must be at least 1' });
  return { limit, windowMs, burst, intervalMs: windowMs / limit };
}

/** Checks and completes. `false` switches the gate off. */
export function resolveRateLimit(options: RateLimitOptions | false | undefined): GateOptions | false {
  if (options === false) return false;
  const given = options ?? {};
  if (typeof given !== 'object') throw new ConfigError({ message: 'rateLimit must be an object or false' });
  const { store } = given;
  if (store !== undefined && (typeof store.take !== 'function' || typeof store.penalize !== 'function')) {
    throw new ConfigError({ message: 'rateLimit.store must have the functions take and penalize' });
  }
  if (given.mode !== undefined) checkMode(given.mode);
  return {
    mode: given.mode ?? 'auto',
    maxWaitMs: checkCount(given.maxWaitMs, 'maxWaitMs', 0) ?? defaults.maxWaitMs,
    learn: given.learn ?? true,
    quota: checkQuota(given.quota),
    maxConcurrentPerUser:
      checkCount(given.maxConcurrentPerUser, 'maxConcurrentPerUser', 1) ?? defaults.maxConcurrentPerUser,
    maxConcurrent: checkCount(given.maxConcurrent, 'maxConcurrent', 1) ?? defaults.maxConcurrent,
    maxQueuePerUser: checkCount(given.maxQueuePerUser, 'maxQueuePerUser', 0) ?? defaults.maxQueuePerUser,
    maxQueue: checkCount(given.maxQueue, 'maxQueue', 0) ?? defaults.maxQueue,
    maxUsers: checkCount(given.maxUsers, 'maxUsers', 1) ?? defaults.maxUsers,
    store,
  };
}

/** The mode of one call. */
export function checkMode<M extends RateLimitMode | 'off'>(mode: M | undefined): M | undefined {
  if (mode === undefined || modes.includes(mode) || mode === 'off') return mode;
  throw new ConfigError({ message: 'rateLimit must be auto, wait, reject or off' });
}

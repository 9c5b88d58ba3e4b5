// Five ways in which servers limit a user, as functions of a simulated time, and the headers by which they tell of it.
// Refused requests are not counted, as is usual. Beside them the best that any client could get out of each.
import { SlidingWindowStore } from '../../packages/server/src/rate-limits/window.ts';

export interface Verdict {
  admitted: boolean;
  remaining: number;
  /** Milliseconds until the next request is admitted when nothing remains, else until something comes back. */
  resetMs: number;
}

/** Asked once for each request on its arrival. */
export type Limiter = (user: string, now: number) => Verdict;

const windowMs = 60_000;

/** The gateway's own: 61 slots, the oldest of which counts in full. */
export function gatewayWindow(limit: number): Limiter {
  let at = 0;
  const store = new SlidingWindowStore(() => at);
  return (user, now) => {
    at = now;
    const { current, ttl } = store.take(user, windowMs, limit);
    return { admitted: current <= limit, remaining: Math.max(0, limit - current), resetMs: ttl };
  };
}

export function slidingLog(limit: number): Limiter {
  const logs = new Map<string, number[]>();
  return (user, now) => {
    const log = logs.get(user) ?? [];
    logs.set(user, log);
    while (log[0] !== undefined && log[0] <= now - windowMs) log.shift();
    const admitted = log.length < limit;
    if (admitted) log.push(now);
    return { admitted, remaining: limit - log.length, resetMs: (log[0] ?? now) + windowMs - now };
  };
}

export function fixedWindow(limit: number): Limiter {
  const counters = new Map<string, { window: number; count: number }>();
  return (user, now) => {
    const window = Math.floor(now / windowMs);
    let counter = counters.get(user);
    if (counter?.window !== window) {
      counter = { window, count: 0 };
      counters.set(user, counter);
    }
    const admitted = counter.count < limit;
    if (admitted) counter.count++;
    return { admitted, remaining: limit - counter.count, resetMs: (window + 1) * windowMs - now };
  };
}

/** Two counters; the earlier one fades out over the current minute. */
export function slidingCounter(limit: number): Limiter {
  const counters = new Map<string, { window: number; count: number; before: number }>();
  return (user, now) => {
    const window = Math.floor(now / windowMs);
    let counter = counters.get(user);
    if (counter?.window !== window) {
      const before = counter?.window === window - 1 ? counter.count : 0;
      counter = { window, count: 0, before };
      counters.set(user, counter);
    }
    const into = now - window * windowMs;
    const used = () => counter.count + counter.before * (1 - into / windowMs);
    const admitted = used() + 1 <= limit;
    if (admitted) counter.count++;
    const left = Math.max(0, Math.floor(limit - used()));
    const over = used() + 1 - limit;
    // When the fading minute has lost enough; at the latest with the next minute.
    const fades = counter.before > 0 ? (over / counter.before) * windowMs : Number.POSITIVE_INFINITY;
    const toNext = windowMs - into;
    const inNext = Math.max(0, ((counter.count + 1 - limit) / Math.max(1, counter.count)) * windowMs);
    return {
      admitted,
      remaining: left,
      resetMs:
        left > 0
          ? Math.min(toNext, windowMs / Math.max(1, counter.before))
          : Math.max(1, fades <= toNext ? fades : toNext + inNext),
    };
  };
}

export function gcra(limit: number, burst = limit): Limiter {
  const due = new Map<string, number>();
  const interval = windowMs / limit;
  return (user, now) => {
    const at = Math.max(due.get(user) ?? 0, now);
    const admitted = at + interval - now <= burst * interval + 1e-6;
    const next = admitted ? at + interval : at;
    due.set(user, next);
    const remaining = Math.max(0, Math.floor((burst * interval - (next - now)) / interval + 1e-9));
    return { admitted, remaining, resetMs: remaining > 0 ? next - now : next + interval - burst * interval - now };
  };
}

export type Telling = 'ietf' | 'x-ratelimit' | 'retry-after' | 'nothing';

/** The headers of an answer. Seconds are whole, rounded up, as the gateway's are. */
export function headersOf(verdict: Verdict, limit: number, telling: Telling): Record<string, string> {
  const seconds = String(Math.ceil(verdict.resetMs / 1000));
  const retryAfter: Record<string, string> =
    verdict.admitted || telling === 'nothing' ? {} : { 'retry-after': seconds };
  const remaining = String(verdict.admitted ? verdict.remaining : 0);
  if (telling === 'ietf') {
    return {
      ...retryAfter,
      'ratelimit-policy': `"user";q=${limit};w=60`,
      ratelimit: `"user";r=${remaining};t=${seconds}`,
    };
  }
  if (telling !== 'x-ratelimit') return retryAfter;
  return {
    ...retryAfter,
    'x-ratelimit-limit': String(limit),
    'x-ratelimit-remaining': remaining,
    'x-ratelimit-reset': seconds,
  };
}

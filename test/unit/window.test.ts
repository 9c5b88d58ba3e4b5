// RAT-1: the sliding window against a model on a fake clock. No 60 seconds admit more than the limit, sustained overload gets at least
// 95 % of it, and what the window says about the next permit is true.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SlidingWindowStore } from '../../packages/server/src/rate-limits/window.ts';
import { holds } from '../support/holds.ts';

/** The rule as a sentence: a call counts until 61 slots have begun since the one it fell into. Keeps every call; computes nothing early. */
class Model {
  readonly #calls: number[] = [];
  readonly #windowMs: number;
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }
  counted(now: number): number {
    const slot = (ms: number) => Math.floor((ms * 60) / this.#windowMs);
    return this.#calls.filter((ms) => slot(now) - slot(ms) < 61).length;
  }
  take(now: number, max: number): boolean {
    if (this.counted(now) >= max) return false;
    this.#calls.push(now);
    return true;
  }
  /** The most calls that any interval of this length has admitted. */
  mostWithin(windowMs: number): number {
    let most = 0;
    for (const [i, from] of this.#calls.entries()) {
      most = Math.max(most, this.#calls.slice(i).filter((ms) => ms - from <= windowMs).length);
    }
    return most;
  }
}

/** Times on a grid that floating point holds exactly: sums of them are no source of doubt. */
const onGrid = (ms: number): number => Math.round(ms * 64) / 64;

const windowMs = fc.constantFrom(60_000, 60_000, 1_000, 7_000, 90_000, 3_600_000);
const step = fc.record({
  key: fc.constantFrom('a', 'b'),
  // In slots: most attempts come in bursts, some after a while, a few after the window.
  wait: fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    { weight: 4, arbitrary: fc.double({ min: 0, max: 3, noNaN: true }) },
    { weight: 2, arbitrary: fc.double({ min: 3, max: 30, noNaN: true }) },
    { weight: 1, arbitrary: fc.constantFrom(1, 60, 61, 62, 500) },
  ),
  op: fc.constantFrom('take' as const, 'take' as const, 'take' as const, 'peek' as const, 'untilNext' as const),
});
const sequence = fc.record({
  windowMs,
  max: fc.integer({ min: 1, max: 6 }),
  start: fc.oneof(
    fc.integer({ min: 0, max: 2_000_000_000 }),
    fc.double({ min: 0, max: 10_000_000, noNaN: true }).map(onGrid),
  ),
  steps: fc.array(step, { minLength: 5, maxLength: 60 }),
});

describe('the sliding window over generated sequences', () => {
  it('admits what the model admits, never more than the limit in any interval of its length', () => {
    let refusals = 0;
    holds(
      fc.property(sequence, ({ windowMs: length, max, start, steps }) => {
        let now = start;
        const store = new SlidingWindowStore(() => now);
        const models = { a: new Model(length), b: new Model(length) };
        for (const { key, wait, op } of steps) {
          now += onGrid((wait * length) / 60);
          const model = models[key];
          if (op === 'peek') {
            if (store.peek(key, length, max).current !== model.counted(now)) return false;
            continue;
          }
          const { current } = store.take(key, length, max);
          const isAdmitted = model.take(now, max);
          if (!isAdmitted) refusals++;
          if (current <= max !== isAdmitted) return false;
          // Refused attempts leave no trace.
          if (store.peek(key, length, max).current !== model.counted(now)) return false;
        }
        return Object.values(models).every((model) => model.mostWithin(length) <= max);
      }),
      5_000,
    );
    expect(refusals).toBeGreaterThan(5_000);
  });

  it('tells truthfully when the next call is admitted: not a millisecond earlier, and then indeed', () => {
    let told = 0;
    holds(
      fc.property(sequence, ({ windowMs: length, max, start, steps }) => {
        let now = start;
        const store = new SlidingWindowStore(() => now);
        for (const { key, wait, op } of steps) {
          now += onGrid((wait * length) / 60);
          const { current, ttl } = store.take(key, length, max);
          if (current <= max || op !== 'untilNext') continue;
          told++;
          if (!Number.isInteger(ttl) || ttl < 1 || ttl > Math.ceil((length / 60) * 61)) return false;
          const before = now + ttl - 1;
          if (before > now) {
            now = before;
            if (store.peek(key, length, max).current < max) return false;
          }
          now += 1;
          if (store.take(key, length, max).current > max) return false;
        }
        return true;
      }),
      5_000,
    );
    expect(told).toBeGreaterThan(1_000);
  });

  it('tells after an admitted call when its oldest leaves', () => {
    holds(
      fc.property(sequence, ({ windowMs: length, max, start, steps }) => {
        let now = start;
        const store = new SlidingWindowStore(() => now);
        const model = new Model(length);
        for (const { wait } of steps) {
          now += onGrid((wait * length) / 60);
          if (!model.take(now, max)) continue;
          const { ttl } = store.take('a', length, max);
          if (model.counted(now + ttl) >= model.counted(now)) return false;
          if (ttl > 1 && model.counted(now + ttl - 1) < model.counted(now)) return false;
        }
        return true;
      }),
      1_000,
    );
  });
});

describe('sustained load', () => {
  /** A small generator with a seed of its own: the load is the same in every run. */
  function random(seed: number): () => number {
    let state = seed;
    return () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
  }

  /** What the same arrivals get from a window that remembers every call exactly: no limiter can admit more. */
  function perfectly(arrivals: readonly number[], limit: number): number {
    const admitted: number[] = [];
    for (const at of arrivals) if (at - (admitted.at(-limit) ?? Number.NEGATIVE_INFINITY) > 60_000) admitted.push(at);
    return admitted.length;
  }

  const cases = [10, 100, 1_000].flatMap((limit) => [0.9, 1, 1.5, 2, 5].map((load) => ({ limit, load })));
  it.each(cases)('of $load times $limit per minute gets at least 95 % of what it may', ({ limit, load }) => {
    const next = random(limit * 100 + load);
    const minutes = 20;
    let now = 12_345.678;
    const store = new SlidingWindowStore(() => now);
    const end = now + minutes * 60_000;
    const arrivals: number[] = [];
    const admitted: number[] = [];
    while (now < end) {
      now += -Math.log(1 - next()) * (60_000 / (limit * load));
      arrivals.push(now);
      if (store.take('a', 60_000, limit).current <= limit) admitted.push(now);
    }
    expect(admitted.length).toBeGreaterThanOrEqual(0.95 * perfectly(arrivals, limit));
    if (load === 5) expect(admitted.length).toBeGreaterThanOrEqual(0.95 * limit * minutes);
    const spans = admitted.slice(limit).map((at, i) => at - (admitted[i] as number));
    expect(Math.min(...spans)).toBeGreaterThan(60_000);
  });
});

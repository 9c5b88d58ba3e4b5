// The breaker's arithmetic on a clock of the test's, over drivers of the test's; with a real server it is tested in test/durability.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { withBreaker } from './breaker.ts';
import type { Driver } from './driver.ts';
import { DatabaseUnavailable } from './errors.ts';

let clock = 0;
let opened: { closed: boolean }[] = [];
let behaviour: { call: () => Promise<unknown[]>; ping: boolean };

const open = (): Driver => {
  const state = { closed: false };
  opened.push(state);
  return {
    call: () => behaviour.call() as never,
    ping: async () => behaviour.ping,
    close: async () => {
      state.closed = true;
    },
  } as unknown as Driver;
};
const fails = (code: string) => async () => {
  throw new DatabaseUnavailable(code);
};
const ask = async (breaker: Driver, atMs: number): Promise<string> => {
  clock = atMs;
  return breaker.call('select 1', []).then(
    () => 'ok',
    (error: unknown) => (error as DatabaseUnavailable).code,
  );
};

beforeEach(() => {
  vi.useFakeTimers();
  [clock, opened, behaviour] = [0, [], { call: async () => [], ping: false }];
  return () => void vi.useRealTimers();
});

describe('the database breaker', () => {
  it('opens at the fifth failure within ten seconds, drops the pool, and then asks nobody', async () => {
    const breaker = withBreaker(open, () => clock);
    behaviour.call = fails('DEADLINE');
    for (const at of [0, 1000, 2000, 3000]) expect(await ask(breaker, at)).toBe('DEADLINE');
    expect(breaker.isReachable()).toBe(true);
    expect(await ask(breaker, 4000)).toBe('DEADLINE');
    expect([breaker.isReachable(), opened[0]?.closed]).toEqual([false, true]);
    // The server would answer again: nobody finds out by asking in passing.
    behaviour = { call: async () => [], ping: true };
    expect([await ask(breaker, 4001), await breaker.ping(1000)]).toEqual(['BREAKER_OPEN', false]);
  });

  it('stays closed while failures are further apart, all at once, or followed by an answer', async () => {
    const apart = withBreaker(open, () => clock);
    behaviour.call = fails('ECONNREFUSED');
    for (const at of [0, 3000, 6000, 9000, 12_000, 15_000]) await ask(apart, at);
    const atOnce = withBreaker(open, () => clock);
    for (let i = 0; i < 50; i++) await ask(atOnce, 20_000 + i);
    const answered = withBreaker(open, () => clock);
    for (const at of [30_000, 31_000, 32_000, 33_000]) await ask(answered, at);
    behaviour.call = async () => [];
    await ask(answered, 33_500);
    behaviour.call = fails('ECONNREFUSED');
    await ask(answered, 34_000);
    expect([apart, atOnce, answered].map((breaker) => breaker.isReachable())).toEqual([true, true, true]);
  });

  it('takes late answers for failures and what the server says of a statement for an answer', async () => {
    const late = withBreaker(open, () => clock);
    behaviour.call = async () => {
      clock += 1_500;
      return [];
    };
    for (const at of [0, 2000, 4000, 6000, 8000]) await ask(late, at);
    const said = withBreaker(open, () => clock);
    behaviour.call = fails('55P03');
    for (const at of [20_000, 21_000, 22_000, 23_000, 24_000, 25_000]) await ask(said, at);
    expect([late.isReachable(), said.isReachable()]).toEqual([false, true]);
  });

  it('looks once a second through a new pool, and serves from the first one that answers', async () => {
    const breaker = withBreaker(open, () => clock);
    behaviour.call = fails('DEADLINE');
    for (const at of [0, 1000, 2000, 3000, 4000]) await ask(breaker, at);
    await vi.advanceTimersByTimeAsync(3_100);
    expect(opened.map(({ closed }) => closed)).toEqual([true, true, true, true]);
    behaviour = { call: async () => [], ping: true };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(breaker.isReachable()).toBe(true);
    expect(await ask(breaker, 9_000)).toBe('ok');
    expect(opened.map(({ closed }) => closed)).toEqual([true, true, true, true, false]);
    await breaker.close();
    expect(opened.at(-1)?.closed).toBe(true);
  });
});

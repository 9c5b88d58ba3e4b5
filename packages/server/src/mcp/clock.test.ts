// The deadline and the cancellation of one call in one signal.
import { performance } from 'node:perf_hooks';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { clockOf, startClock } from './clock.ts';

let nowMs = 0;
const passes = (ms: number): void => {
  nowMs += ms;
  vi.advanceTimersByTime(ms);
};
beforeEach(() => {
  nowMs = 0;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
});
afterEach(() => {
  vi.useRealTimers();
});
const reason = (signal: AbortSignal): string | undefined => (signal.reason as DOMException | undefined)?.name;

describe('the clock of a call', () => {
  it('ends the call at its deadline', () => {
    const clock = startClock(1_000, null);
    passes(999);
    expect(clock.signal.aborted).toBe(false);
    passes(1);
    expect(reason(clock.signal)).toBe('TimeoutError');
    expect(clock.elapsedMs()).toBe(1_000);
  });

  it('ends it when the caller is gone, also when it was gone before', () => {
    const caller = new AbortController();
    const clock = startClock(1_000, caller.signal);
    caller.abort();
    expect(reason(clock.signal)).toBe('AbortError');
    expect(reason(startClock(1_000, AbortSignal.abort()).signal)).toBe('AbortError');
  });

  it('ends nothing once it has stopped', () => {
    const caller = new AbortController();
    const clock = startClock(1_000, caller.signal);
    clock.stop();
    caller.abort();
    passes(5_000);
    expect(clock.signal.aborted).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stands while somebody is asked, however many ask', () => {
    const clock = startClock(1_000, null);
    passes(400);
    const [one, two] = [clock.hold(), clock.hold()];
    passes(60_000);
    one();
    passes(60_000);
    expect(clock.signal.aborted).toBe(false);
    two();
    passes(599);
    expect(clock.signal.aborted).toBe(false);
    passes(1);
    expect(clock.signal.aborted).toBe(true);
  });

  it('is given more time by progress, up to the longest call there is', () => {
    const clock = startClock(60_000, null);
    for (let i = 0; i < 10; i++) {
      passes(29_000);
      clock.extend();
    }
    expect(clock.signal.aborted).toBe(false);
    passes(9_999);
    clock.extend();
    expect(clock.signal.aborted).toBe(false);
    passes(1);
    expect(reason(clock.signal)).toBe('TimeoutError');
  });

  it('is found by its signal', () => {
    const clock = startClock(1_000, null);
    expect(clockOf(clock.signal)).toBe(clock);
    expect(clockOf(new AbortController().signal)).toBeUndefined();
  });
});

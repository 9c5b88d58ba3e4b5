// The clock of a call: when it expires, what stops it, and what gives it more time.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { clockOf, startClock as start } from './clock.ts';

const startClock = (timeoutMs: number, caller: AbortSignal | null) => start(timeoutMs, caller, () => Date.now());

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the clock of a call', () => {
  it('aborts with a timeout when the time is over, and not before', () => {
    const { signal } = startClock(1_000, null);
    vi.advanceTimersByTime(999);
    expect(signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect((signal.reason as Error).name).toBe('TimeoutError');
  });

  it('aborts otherwise when the caller is gone', () => {
    const caller = new AbortController();
    const { signal } = startClock(1_000, caller.signal);
    caller.abort();
    expect((signal.reason as Error).name).toBe('AbortError');
    expect((startClock(1_000, AbortSignal.abort()).signal.reason as Error).name).toBe('AbortError');
  });

  it('stands still while a person is asked, however many questions overlap', () => {
    const clock = startClock(1_000, null);
    vi.advanceTimersByTime(400);
    const first = clock.hold();
    const second = clock.hold();
    vi.advanceTimersByTime(60_000);
    first();
    vi.advanceTimersByTime(60_000);
    second();
    vi.advanceTimersByTime(599);
    expect(clock.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(clock.signal.aborted).toBe(true);
  });

  it('gets its time anew with progress, up to five minutes in all', () => {
    const clock = startClock(30_000, null);
    for (let passed = 0; passed < 290_000; passed += 10_000) {
      vi.advanceTimersByTime(10_000);
      clock.extend();
    }
    expect(clock.signal.aborted).toBe(false);
    vi.advanceTimersByTime(9_999);
    clock.extend();
    vi.advanceTimersByTime(1);
    expect(clock.signal.aborted).toBe(true);
  });

  it('never fires after it was stopped, and is found by its signal', () => {
    const caller = new AbortController();
    const clock = startClock(1_000, caller.signal);
    expect(clockOf(clock.signal)).toBe(clock);
    expect(clockOf(caller.signal)).toBeUndefined();
    const release = clock.hold();
    clock.stop();
    release();
    caller.abort();
    vi.advanceTimersByTime(10_000);
    expect(clock.signal.aborted).toBe(false);
  });
});

// The sliding window's edges by example. Its model and its bounds over generated sequences stand in test/unit.
import { describe, expect, it } from 'vitest';
import { storeClass } from './plugin-store.ts';
import { ownWindows } from './shared-windows.ts';
import { SlidingWindowStore, WindowStoreFull } from './window.ts';

const minute = 60_000;

function at(start = 0, maxKeys?: number) {
  const clock = { ms: start };
  return { clock, store: new SlidingWindowStore(() => clock.ms, maxKeys) };
}

describe('a window', () => {
  it('admits up to the limit, refuses the next, and counts no refused attempt', () => {
    const { clock, store } = at();
    for (let i = 1; i <= 3; i++) expect(store.take('a', minute, 3)).toEqual({ current: i, ttl: 61_000 });
    for (let i = 0; i < 100; i++) expect(store.take('a', minute, 3)).toEqual({ current: 4, ttl: 61_000 });
    clock.ms = 60_999;
    expect(store.take('a', minute, 3).current).toBe(4);
    clock.ms = 61_000;
    expect(store.take('a', minute, 3).current).toBe(1);
  });

  it('counts the partial oldest second in full: a burst over the edge is refused', () => {
    const { clock, store } = at();
    clock.ms = 999;
    store.take('a', minute, 1);
    clock.ms = 60_998;
    expect(store.take('a', minute, 1)).toEqual({ current: 2, ttl: 2 });
  });

  it('refuses everything under a limit of 0', () => {
    const { store } = at();
    expect(store.take('a', minute, 0).current).toBe(1);
    expect(store.peek('a', minute, 0).current).toBe(0);
  });

  it('keeps keys apart and tells without counting', () => {
    const { store } = at();
    store.take('a', minute, 5);
    for (let i = 0; i < 10; i++) expect(store.peek('a', minute, 5).current).toBe(1);
    expect(store.peek('b', minute, 5)).toEqual({ current: 0, ttl: 0 });
    expect(store.take('b', minute, 5).current).toBe(1);
  });

  it('tells while there is room when the oldest counted call leaves', () => {
    const { clock, store } = at();
    store.take('a', minute, 5);
    clock.ms = 20_500;
    expect(store.peek('a', minute, 5)).toEqual({ current: 1, ttl: 40_500 });
    expect(store.take('a', minute, 5)).toEqual({ current: 2, ttl: 40_500 });
  });

  it('frees nobody when the clock steps back', () => {
    const { clock, store } = at(minute);
    for (let i = 0; i < 3; i++) store.take('a', minute, 3);
    clock.ms = 0;
    expect(store.take('a', minute, 3).current).toBe(4);
    clock.ms = minute + 60_000;
    expect(store.take('a', minute, 3).current).toBe(4);
  });

  it('starts anew when its length was changed', () => {
    const { store } = at();
    store.take('a', minute, 1);
    expect(store.peek('a', 2 * minute, 1).current).toBe(0);
    expect(store.take('a', 2 * minute, 1).current).toBe(1);
  });
});

describe('a full store', () => {
  it('never frees a blocked user, however many others come', () => {
    const { clock, store } = at(0, 1_000);
    for (let i = 0; i < 2; i++) store.take('blocked', minute, 2);
    let refused = 0;
    for (let i = 0; i < 20_000; i++) {
      clock.ms = i * 2;
      try {
        store.take(`flood ${i}`, minute, 2);
      } catch (error) {
        expect(error).toBeInstanceOf(WindowStoreFull);
        refused++;
      }
    }
    expect(refused).toBe(20_000 - 999);
    expect(store.size).toBe(1_000);
    expect(store.take('blocked', minute, 2).current).toBe(3);
  });

  it('makes room again as soon as windows have run out', () => {
    const { clock, store } = at(0, 100);
    for (let i = 0; i < 100; i++) store.take(`old ${i}`, minute, 2);
    clock.ms = 61_000;
    for (let i = 0; i < 100; i++) expect(store.take(`new ${i}`, minute, 2).current).toBe(1);
    expect(store.size).toBeLessThanOrEqual(100);
  });

  it('is not kept full by a few long windows at its front', () => {
    const { clock, store } = at(0, 100);
    for (let i = 0; i < 8; i++) store.take(`hour ${i}`, 60 * minute, 2);
    for (let i = 0; i < 92; i++) store.take(`old ${i}`, minute, 2);
    clock.ms = 62_000;
    let admitted = 0;
    for (let i = 0; i < 100; i++) {
      try {
        admitted += store.take(`new ${i}`, minute, 2).current === 1 ? 1 : 0;
      } catch (error) {
        expect(error).toBeInstanceOf(WindowStoreFull);
      }
    }
    expect(admitted).toBeGreaterThanOrEqual(90);
    for (let i = 0; i < 8; i++) expect(store.peek(`hour ${i}`, 60 * minute, 2).current).toBe(1);
  });
});

describe('the plugin store', () => {
  it('hands an error to the limiter instead of an answer', () => {
    const { store } = at(0, 0);
    const plugin = new (storeClass(ownWindows(store)))();
    const answers: unknown[] = [];
    plugin.incr('a', (error, result) => answers.push(error, result), minute, 1);
    expect(answers).toEqual([expect.any(WindowStoreFull), undefined]);
  });

  it('counts in the one window whichever child asks', () => {
    const { store } = at();
    const plugin = new (storeClass(ownWindows(store)))();
    const answers: unknown[] = [];
    plugin.child({}).incr('a', (_, result) => answers.push(result?.current), minute, 2);
    plugin.incr('a', (_, result) => answers.push(result?.current), minute, 2);
    plugin.read('a', (_, result) => answers.push(result?.current), minute, 2);
    expect(answers).toEqual([1, 2, 2]);
  });
});

// The cache's rules by example: who may join a look-up, what ends an entry. Generated histories against the promise stand in test/unit.
import { describe, expect, it } from 'vitest';
import type { Topic } from '../context.ts';
import { Cache, Changes } from './cache.ts';

function setup(maxEntries = 100) {
  const state = { now: 0, fresh: true };
  const changes = new Changes();
  const cache = new Cache<string>(changes, {
    ttlMs: 5_000,
    maxEntries,
    now: () => state.now,
    isFresh: () => state.fresh,
  });
  const loads: { answer: (value: string) => void; fail: (error: Error) => void }[] = [];
  const load = () => new Promise<string>((answer, fail) => loads.push({ answer, fail }));
  const topics = (value: string): Topic[] => [`user:${value}`];
  const get = (key = 'k', keepMs?: (value: string) => number) => cache.get(key, load, topics, keepMs);
  /** Loads `value` under `key` at once. */
  const put = async (value: string, key = 'k', keepMs?: (value: string) => number) => {
    const promise = get(key, keepMs);
    loads.at(-1)?.answer(value);
    await promise;
  };
  return { state, changes, cache, loads, get, put };
}

describe('a value', () => {
  it('is served for 5 s, counted from before its look-up', async () => {
    const { state, cache, loads, get } = setup();
    const promise = get();
    state.now = 2_000;
    loads[0]?.answer('a');
    await promise;
    state.now = 4_999;
    expect(cache.peek('k')).toBe('a');
    state.now = 5_000;
    expect(cache.peek('k')).toBeUndefined();
  });

  it('is served no longer than it says itself', async () => {
    const { state, cache, put } = setup();
    await put('a', 'k', () => 300);
    state.now = 299;
    expect(cache.peek('k')).toBe('a');
    state.now = 300;
    expect(cache.peek('k')).toBeUndefined();
  });

  it('dies with any of its topics and with no other', async () => {
    const { changes, cache, put } = setup();
    await put('a');
    changes.touch('user:b');
    expect(cache.peek('k')).toBe('a');
    changes.touch('user:a');
    expect(cache.peek('k')).toBeUndefined();
  });

  it('is born dead when its topic changed while it was looked up', async () => {
    const { changes, cache, loads, get } = setup();
    const promise = get();
    changes.touch('user:a');
    loads[0]?.answer('a');
    expect(await promise).toBe('a');
    expect(cache.peek('k')).toBeUndefined();
  });

  it('is not served while changes of others cannot be heard', async () => {
    const { state, cache, loads, get, put } = setup();
    await put('a');
    state.fresh = false;
    expect(cache.peek('k')).toBeUndefined();
    void get();
    void get();
    expect(loads).toHaveLength(3);
  });

  it('is not kept when there is none', async () => {
    const { cache } = setup();
    for (const nothing of [undefined, null]) {
      let loads = 0;
      const load = async () => {
        loads++;
        return nothing as never;
      };
      await cache.get('k', load, () => []);
      await cache.get('k', load, () => []);
      expect(loads).toBe(2);
    }
  });

  it('makes room for newer ones beyond the limit, the oldest first', async () => {
    const { cache, put } = setup(2);
    await put('a', '1');
    await put('b', '2');
    await put('c', '3');
    expect(['1', '2', '3'].map((key) => cache.peek(key))).toEqual([undefined, 'b', 'c']);
  });
});

describe('a look-up', () => {
  it('is shared by all who ask meanwhile, per key', async () => {
    const { loads, get } = setup();
    const all = [get(), get(), get('other'), get()];
    expect(loads).toHaveLength(2);
    loads[0]?.answer('a');
    loads[1]?.answer('b');
    expect(await Promise.all(all)).toEqual(['a', 'a', 'b', 'a']);
  });

  it('is not joined by whoever asks after a change', async () => {
    const { changes, loads, get } = setup();
    const before = get();
    changes.touch('user:anybody');
    const after = get();
    expect(loads).toHaveLength(2);
    loads[1]?.answer('new');
    loads[0]?.answer('old');
    expect(await Promise.all([before, after])).toEqual(['old', 'new']);
  });

  it('is still shared when an older one of the same key ends', async () => {
    const { changes, loads, get } = setup();
    const old = get();
    changes.touch('user:old');
    const first = get();
    loads[0]?.answer('old');
    await old;
    const second = get();
    expect(loads).toHaveLength(2);
    loads[1]?.answer('new');
    expect(await Promise.all([first, second])).toEqual(['new', 'new']);
  });

  it('is not joined by whoever asks 5 s after its start', async () => {
    const { state, loads, get } = setup();
    void get();
    state.now = 4_999;
    void get();
    expect(loads).toHaveLength(1);
    state.now = 5_000;
    const late = get();
    expect(loads).toHaveLength(2);
    loads[1]?.answer('new');
    expect(await late).toBe('new');
  });

  it('fails for those who waited and is tried again by the next', async () => {
    const { loads, get } = setup();
    const both = [get(), get()];
    loads[0]?.fail(new Error('down'));
    for (const promise of both) await expect(promise).rejects.toThrow('down');
    const next = get();
    expect(loads).toHaveLength(2);
    loads[1]?.answer('a');
    expect(await next).toBe('a');
  });
});

describe('the generations of topics', () => {
  it('treat everything as changed once they have forgotten what changed', () => {
    const changes = new Changes();
    changes.touch('user:a');
    const since = changes.count;
    for (let i = 0; i <= 200_000; i++) changes.touch(`user:${i}`);
    expect(changes.changedSince(['user:never'], since)).toBe(true);
    expect(changes.changedSince(['user:never'], changes.count)).toBe(false);
  });
});

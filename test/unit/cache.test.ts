// The promise of the identity cache over generated histories: nobody gets a value older than a change that was heard, or than 5 seconds,
// however look-ups, changes, silences of the change link and slow answers interleave.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Topic } from '../../packages/server/src/context.ts';
import { Cache, Changes } from '../../packages/server/src/identity/cache.ts';
import { holdsAsync } from '../support/holds.ts';

const ttlMs = 5_000;
const keys = ['a', 'b'] as const;
type Key = (typeof keys)[number];

const op = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant('get' as const), key: fc.constantFrom(...keys) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('change' as const), key: fc.constantFrom(...keys) }) },
  // Committed by another replica and never heard here.
  { weight: 2, arbitrary: fc.record({ op: fc.constant('unheard' as const), key: fc.constantFrom(...keys) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('read' as const), which: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('answer' as const), which: fc.nat(5) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 1, 700, 2_500, 4_999, 5_000, 20_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('silence' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('listen' as const) }) },
);

/** The database: for each key the versions it had and since when; `heard` is the newest that was announced here. */
class Truth {
  readonly versions: Record<Key, { since: number }[]> = { a: [{ since: 0 }], b: [{ since: 0 }] };
  readonly heard: Record<Key, number> = { a: 0, b: 0 };
  at(key: Key, ms: number): number {
    return this.versions[key].findLastIndex(({ since }) => since <= ms);
  }
  newest(key: Key): number {
    return this.versions[key].length - 1;
  }
}

describe('the cache over generated histories', () => {
  it('serves nothing older than a heard change, nothing older than 5 s, and nothing old at all while it cannot hear', async () => {
    let served = 0;
    let fromCache = 0;
    await holdsAsync(
      fc.asyncProperty(fc.array(op, { minLength: 5, maxLength: 50 }), async (ops) => {
        const state = { now: 10_000, fresh: true };
        const changes = new Changes();
        const cache = new Cache<{ version: number }>(changes, {
          ttlMs,
          maxEntries: 10,
          now: () => state.now,
          isFresh: () => state.fresh,
        });
        const truth = new Truth();
        const running: { key: Key; seen: number | undefined; answer: (value: { version: number }) => void }[] = [];
        const faults: string[] = [];
        const pending: Promise<void>[] = [];
        const answer = (index: number): void => {
          const [load] = running.splice(index, 1);
          if (load !== undefined) load.answer({ version: load.seen ?? truth.newest(load.key) });
        };
        const flush = () => new Promise<void>((resolve) => setImmediate(resolve));

        for (const step of ops) {
          switch (step.op) {
            case 'wait':
              state.now += step.ms;
              break;
            case 'change':
            case 'unheard':
              truth.versions[step.key].push({ since: state.now });
              if (step.op === 'change') {
                truth.heard[step.key] = truth.newest(step.key);
                changes.touch(`user:${step.key}`);
              }
              break;
            case 'silence':
              state.fresh = false;
              break;
            case 'listen':
              // What was said meanwhile is lost, so the link announces that anything may have changed.
              if (!state.fresh) for (const key of keys) truth.heard[key] = truth.newest(key);
              if (!state.fresh) changes.touch('account:*');
              state.fresh = true;
              break;
            case 'read': {
              const load = running[step.which % Math.max(1, running.length)];
              if (load !== undefined) load.seen ??= truth.newest(load.key);
              break;
            }
            case 'answer':
              answer(step.which % Math.max(1, running.length));
              await flush();
              break;
            case 'get': {
              const { key } = step;
              const oldest = Math.max(
                truth.heard[key],
                state.fresh ? truth.at(key, state.now - ttlMs) : truth.newest(key),
              );
              const loads = running.length;
              const promise = cache.get(
                key,
                () => new Promise((resolve) => running.push({ key, seen: undefined, answer: resolve })),
                (): Topic[] => [`user:${key}`, 'account:*'],
              );
              if (running.length === loads) fromCache++;
              pending.push(
                promise.then(({ version }) => {
                  served++;
                  if (version < oldest) faults.push(`${key}: got ${version}, needs ${oldest}`);
                }),
              );
            }
          }
        }
        while (running.length > 0) answer(0);
        await Promise.all(pending);
        return faults.length === 0;
      }),
      3_000,
    );
    expect(served).toBeGreaterThan(5_000);
    expect(fromCache).toBeGreaterThan(served / 10);
  });
});

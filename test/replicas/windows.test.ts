// RAT-1 for the stores that replicas share: the same sequences come to the same verdicts as in one process, any number of connections together
// never admit more than the limit, and nobody's window ends because of somebody else's.
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../packages/server/src/db/client.ts';
import { installationScope, scopedQuery } from '../../packages/server/src/db/scope.ts';
import { sweepWindows } from '../../packages/server/src/db/windows.ts';
import type { WindowStore } from '../../packages/server/src/rate-limits/shared-windows.ts';
import { SlidingWindowStore } from '../../packages/server/src/rate-limits/window.ts';
import { holdsAsync } from '../support/holds.ts';
import { isLong, type StoreServer, storeServers } from './support/stores.ts';

/** Times on a grid that floating point holds exactly. */
const onGrid = (ms: number): number => Math.round(ms * 64) / 64;
const step = fc.record({
  key: fc.constantFrom('a', 'b'),
  wait: fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    { weight: 4, arbitrary: fc.double({ min: 0, max: 3, noNaN: true }) },
    { weight: 2, arbitrary: fc.double({ min: 3, max: 30, noNaN: true }) },
    { weight: 1, arbitrary: fc.constantFrom(1, 60, 61, 62, 500) },
  ),
  op: fc.constantFrom('take' as const, 'take' as const, 'take' as const, 'peek' as const, 'giveBack' as const),
  extra: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }) }),
});
const sequence = fc.record({
  windowMs: fc.constantFrom(60_000, 60_000, 1_000, 7_000, 90_000, 3_600_000),
  max: fc.integer({ min: 1, max: 6 }),
  start: fc.double({ min: 1_000_000, max: 1_900_000_000_000, noNaN: true }).map(onGrid),
  steps: fc.array(step, { minLength: 5, maxLength: 40 }),
});

describe.each(storeServers)('windows in $kind', ({ kind, open }) => {
  let server: StoreServer;
  let now = 0;
  let timed: WindowStore;
  let stores: WindowStore[];
  beforeAll(async () => {
    server = await open();
    timed = await server.connect(() => now);
    stores = [await server.connect(), await server.connect()];
  });
  afterAll(() => server?.close());

  it('come to the verdicts of a window in one process over generated sequences', async () => {
    let refused = 0;
    const runs = (kind === 'postgres' ? 100 : 300) * (isLong ? 20 : 1);
    await holdsAsync(
      fc.asyncProperty(sequence, async ({ windowMs, max, start, steps }) => {
        now = start;
        const own = new SlidingWindowStore(() => now);
        const run = randomUUID();
        for (const { key, wait, op, extra } of steps) {
          now += onGrid((wait * windowMs) / 60);
          const name = `${run} ${key}`;
          if (op === 'giveBack') {
            own.giveBack(name, windowMs, now - windowMs / 4);
            await timed.giveBack(name, windowMs, windowMs / 4);
            continue;
          }
          if (op === 'take') for (let i = 0; i < extra; i++) own.take(name, windowMs, Number.POSITIVE_INFINITY);
          const expected = op === 'peek' ? own.peek(name, windowMs, max) : own.take(name, windowMs, max);
          const found =
            op === 'peek' ? await timed.peek(name, windowMs, max) : await timed.take(name, windowMs, max, extra);
          if (expected.current > max) refused++;
          if (found.current !== expected.current || found.ttl !== expected.ttl) return false;
        }
        return true;
      }),
      runs,
    );
    expect(refused).toBeGreaterThan(runs);
  });

  it('admit exactly the limit when two replicas ask 300 times at once', async () => {
    const key = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, i) => (stores[i % 2] as WindowStore).take(key, 60_000, 100, 0)),
    );
    expect(answers.filter(({ current }) => current <= 100)).toHaveLength(100);
    expect((await timedPeek(key)).current).toBe(100);
  });

  it('admit at most the limit in every interval of their length, under load from two replicas', async () => {
    const [key, limit, windowMs] = [randomUUID(), 20, 1_000];
    const admitted: { sent: number; answered: number }[] = [];
    const end = performance.now() + (isLong ? 20_000 : 3_500);
    const worker = async (store: WindowStore): Promise<void> => {
      while (performance.now() < end || (admitted.length < limit * 3 && performance.now() < end + 20_000)) {
        const sent = performance.now();
        const { current } = await store.take(key, windowMs, limit, 0);
        if (current <= limit) admitted.push({ sent, answered: performance.now() });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await Promise.all(stores.flatMap((store) => [worker(store), worker(store), worker(store)]));
    // A call was counted somewhere between the two times: only what lies wholly inside of an interval is sure to.
    const most = admitted.map(
      ({ sent: from }) => admitted.filter(({ sent, answered }) => sent >= from && answered <= from + windowMs).length,
    );
    expect(Math.max(...most)).toBeLessThanOrEqual(limit);
    expect(admitted.length).toBeGreaterThanOrEqual(limit * 3);
  });

  it('leave nobody free when thousands of other keys come and one of them is removed', async () => {
    const key = randomUUID();
    for (let i = 0; i < 2; i++) await (stores[0] as WindowStore).take(key, 60_000, 2, 0);
    const others = isLong ? 20_000 : 1_000;
    for (let from = 0; from < others; from += 100)
      await Promise.all(Array.from({ length: 100 }, (_, i) => first().take(`${key} ${from + i}`, 60_000, 2, 0)));
    await remove(`${key} 7`);
    expect((await stores[1]?.peek(`${key} 7`, 60_000, 2))?.current).toBe(0);
    expect((await stores[1]?.take(key, 60_000, 2, 0))?.current).toBe(3);
  });

  it('are gone from the server when they have run out, and not before', async () => {
    const [short, long] = [randomUUID(), randomUUID()];
    await stores[0]?.take(long, 60_000, 5, 0);
    await stores[0]?.take(short, 2_000, 5, 0);
    expect(await isThere(short)).toBe(true);
    await expect.poll(() => isThere(short), { timeout: 20_000, interval: 200 }).toBe(false);
    expect(await isThere(long)).toBe(true);
    expect((await stores[1]?.peek(long, 60_000, 5))?.current).toBe(1);
  });

  const first = () => stores[0] as WindowStore;
  const timedPeek = (key: string) => (stores[1] as WindowStore).peek(key, 60_000, 100);
  const rows = (text: string) => scopedQuery(server.db as Database, installationScope, text);
  async function withRedis<T>(ask: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis(server.redis?.url ?? '');
    try {
      return await ask(redis);
    } finally {
      redis.disconnect();
    }
  }
  async function remove(key: string): Promise<void> {
    if (server.db) await rows(`delete from rate_windows where key = '${key}'`);
    else await withRedis((redis) => redis.del(`valet:test:${key}`));
  }
  async function isThere(key: string): Promise<boolean> {
    if (!server.db) return withRedis(async (redis) => (await redis.exists(`valet:test:${key}`)) === 1);
    await sweepWindows(server.db);
    return (await rows(`select 1 from rate_windows where key = '${key}'`)).length === 1;
  }
});

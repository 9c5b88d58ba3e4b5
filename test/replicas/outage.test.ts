// RAT-1, the store's failures: three replicas whose Redis dies, hangs, comes back empty or answers late. At most twice the limit in the first
// minute, then the limit and a call per replica, and the limit again when the store is back. Time is a fake clock, Redis is real.
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { type RedisWindows, redisWindows } from '../../packages/server/src/rate-limits/redis-windows.ts';
import {
  type SharedParts,
  SharedWindows,
  WindowStoreDown,
} from '../../packages/server/src/rate-limits/shared-windows.ts';
import { SlidingWindowStore } from '../../packages/server/src/rate-limits/window.ts';
import { isInstalled } from '../support/packages.ts';
import { startRedis, type TestRedis } from './support/programs.ts';

const [limit, minute] = [30, 60_000];
const count = 3;

let redis: TestRedis;
const opened: RedisWindows[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  await redis?.close();
});

interface Fleet {
  clock: { ms: number };
  warnings: object[];
  replicas: SharedWindows[];
  /** Whether a question waits as long as a busy machine takes to answer one, or no longer than in a gateway. */
  bePatient(isPatient: boolean): void;
  /** Times of what was admitted. */
  admitted: number[];
  take(at: number, key?: string): Promise<boolean>;
  isBack(): Promise<void>;
}

async function fleet(): Promise<Fleet> {
  redis = await startRedis();
  const clock = { ms: 1_700_000_000_000 };
  const warnings: object[] = [];
  const log = { warn: (fields: object) => void warnings.push(fields), info: () => undefined } as never;
  // Where Redis is well its answers decide, however late a machine with other tests brings them.
  const all: SharedParts[] = [];
  const replicas = Array.from({ length: count }, () => {
    const store = redisWindows(redis.url, 'valet:test:', () => clock.ms);
    opened.push(store);
    const parts: SharedParts = {
      store,
      own: new SlidingWindowStore(() => clock.ms),
      now: () => clock.ms,
      live: () => count,
      log,
    };
    all.push(parts);
    return new SharedWindows(parts);
  });
  const bePatient = (isPatient: boolean): void => {
    for (const parts of all) parts.patienceMs = isPatient ? 10_000 : undefined;
  };
  bePatient(true);
  const admitted: number[] = [];
  const isBack = async () => {
    for (const store of opened)
      await expect
        .poll(
          () =>
            store.peek('warm', minute, 1).then(
              () => true,
              () => false,
            ),
          { interval: 20 },
        )
        .toBe(true);
  };
  await isBack();
  return {
    clock,
    warnings,
    replicas,
    admitted,
    bePatient,
    isBack,
    async take(at, key = 'user') {
      const { current } = await (replicas[at % count] as SharedWindows).take(key, minute, limit, 'own');
      if (current <= limit) admitted.push(clock.ms);
      return current <= limit;
    },
  };
}

/** The most that any minute admitted which lies between the two times. */
const mostBetween = (admitted: readonly number[], from: number, to: number): number =>
  Math.max(
    0,
    ...admitted
      .filter((at) => at >= from && at + minute <= to)
      .map((at) => admitted.filter((other) => other >= at && other <= at + minute).length),
  );

describe.runIf(isInstalled('redis-server'))('three replicas', () => {
  it.each([
    ['load on all of them', (i: number) => i],
    ['load on one of them', () => 0],
  ])('hold the limit through the death and the empty return of their Redis, with %s', async (_, place) => {
    const { clock, admitted, take, isBack, warnings } = await fleet();
    const begin = clock.ms;
    // Twice the limit, evenly.
    const run = async (seconds: number): Promise<void> => {
      for (let i = 0; i < seconds; i++) {
        await take(place(i));
        clock.ms += 1_000;
      }
    };
    await run(90);
    expect(mostBetween(admitted, begin, clock.ms)).toBe(limit);
    await redis.server.stop();
    const died = clock.ms;
    await run(180);
    expect(mostBetween(admitted, begin, clock.ms)).toBeLessThanOrEqual(2 * limit);
    expect(mostBetween(admitted, died + minute, clock.ms)).toBeLessThanOrEqual(limit + count);
    // It is a share and not a stop.
    expect(mostBetween(admitted, died + minute, clock.ms)).toBeGreaterThanOrEqual(limit / count);
    await redis.server.start();
    await isBack();
    const back = clock.ms;
    await run(180);
    expect(mostBetween(admitted, died + minute, clock.ms)).toBeLessThanOrEqual(limit + count);
    expect(mostBetween(admitted, back + minute, clock.ms)).toBe(limit);
    expect(warnings.length).toBeGreaterThanOrEqual(1);
    // Said once a minute.
    expect(warnings.length).toBeLessThanOrEqual(count * 4);
  });

  it('ask a Redis that hangs once a second, and answer at once otherwise', async () => {
    const { clock, admitted, take, replicas, isBack, bePatient } = await fleet();
    for (let i = 0; i < limit; i++) await take(i);
    expect(admitted).toHaveLength(limit);
    bePatient(false);
    redis.server.signal('SIGSTOP');
    const from = performance.now();
    let refused = 0;
    for (let i = 0; i < 300; i++) if (!(await take(i, `other ${i}`))) refused++;
    const ms = performance.now() - from;
    redis.server.signal('SIGCONT');
    expect(refused).toBe(0);
    // Three questions of each replica waited 50 ms; three hundred would have waited 15 s.
    expect(ms).toBeLessThan(3_000);
    expect(replicas[0]?.health()).toMatchObject({ store: 'redis', ok: false, failures: 3 });
    expect(replicas[0]?.health().ownDecisions).toBe(100);
    bePatient(true);
    await isBack();
    clock.ms += 1_000;
    for (let i = 0; i < count; i++) await take(i, 'probe');
    expect(replicas.map((replica) => replica.health().ok)).toEqual(Array(count).fill(true));
  });

  it('count a call once that was admitted while the answer was late, and not one that was refused', async () => {
    const { clock, take, isBack, replicas, bePatient } = await fleet();
    const admin = new Redis(redis.url);
    bePatient(false);
    await admin.client('PAUSE', 1_500, 'ALL');
    // The first three wait and are decided here, the rest are not asked.
    let mine = 0;
    for (let i = 0; i < 12; i++) if (await take(0)) mine++;
    expect(mine).toBe(limit / count);
    bePatient(true);
    await isBack();
    clock.ms += 1_000;
    // The next question tells the store of those.
    expect(await take(0)).toBe(true);
    expect((await replicas[1]?.peek('user', minute, limit))?.current).toBe(mine + 1);
    admin.disconnect();
  });

  it('refuse where nobody may decide instead, and never admit', async () => {
    const { replicas } = await fleet();
    await redis.server.stop();
    for (let i = 0; i < 5; i++)
      await expect(replicas[0]?.take('m key', minute, 600, 'refuse')).rejects.toThrow(WindowStoreDown);
  });

  it('give back what another limit refused, whoever counted it', async () => {
    const { clock, take, replicas, isBack } = await fleet();
    const one = replicas[0] as SharedWindows;
    const total = async () => (await (replicas[1] as SharedWindows).peek('user', minute, limit)).current;
    await take(0);
    one.giveBack('user', minute, clock.ms);
    await expect.poll(total).toBe(0);
    await redis.server.stop();
    for (let i = 0; i < 5; i++) expect(await take(0)).toBe(true);
    one.giveBack('user', minute, clock.ms);
    await redis.server.start();
    await isBack();
    clock.ms += 1_000;
    await take(0);
    expect(await total()).toBe(5);
  });
});

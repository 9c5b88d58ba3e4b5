// Processes come and go as they should: nothing is left of a closed one, there are never more than allowed, and old, idle and greedy ones
// end. Counts what really runs on the machine.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { UpstreamFailure } from '../../packages/server/src/connectors/backend.ts';
import {
  call,
  failureOf,
  jsonOf,
  openDescriptors,
  plainEntry,
  running,
  sandboxes,
  startStage,
  textOf,
  tinyEntry,
} from './stdio-fixture.ts';

/** A duration that no other process on the machine sleeps for. */
const unique = (): string => `600.${Math.floor(Math.random() * 1e9)}`;

async function until(holds: () => boolean, ms = 15_000): Promise<boolean> {
  const end = Date.now() + ms;
  while (!holds() && Date.now() < end) await sleep(20);
  return holds();
}

describe.each(sandboxes)('a process that is closed, sandbox: %s', (sandbox) => {
  it('leaves no child and no grandchild, detached ones included', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox });
    const seconds = unique();
    await carrier.request(upstream('alice'), call('family', { count: 30, seconds }));
    expect(running(`sleep ${seconds}`)).toHaveLength(30);
    await carrier.close();
    expect(running(`sleep ${seconds}`)).toEqual([]);
  });

  it('leaves no grandchild when it crashes', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox });
    const seconds = unique();
    await carrier.request(upstream('alice'), call('family', { count: 5, seconds }));
    await failureOf(carrier.request(upstream('alice'), call('exit', { code: 1 })));
    expect(await until(() => running(`sleep ${seconds}`).length === 0)).toBe(true);
  });

  it('is ended by force when it does not go', async () => {
    const marker = unique();
    const { carrier, upstream } = startStage(
      plainEntry('stubborn', { args: [...plainEntry('stubborn').args, marker] }),
      {
        sandbox,
        limits: { graceMs: 300 },
      },
    );
    await carrier.request(upstream('alice'), call('whoami'));
    expect(running(marker).length).toBeGreaterThan(0);
    const started = Date.now();
    await carrier.close();
    expect(running(marker)).toEqual([]);
    expect(Date.now() - started).toBeLessThan(15_000);
  });

  it('leaves processes, descriptors and memory where they were after 200 rounds', { timeout: 120_000 }, async () => {
    const marker = `round-${unique()}`;
    const entry = tinyEntry({ args: [...tinyEntry().args, marker] });
    const { carrier, upstream } = startStage(entry, { sandbox });
    const round = async (n: number): Promise<void> => {
      const user = upstream(`user-${n % 4}`);
      await carrier.request(user, call('anything'));
      await carrier.forget((key) => key === user.key);
    };
    for (let n = 0; n < 20; n++) await round(n);
    const before = { descriptors: openDescriptors(), rss: process.memoryUsage().rss };
    for (let n = 0; n < 200; n += 4) await Promise.all([0, 1, 2, 3].map((at) => round(n + at)));
    expect(carrier.processes()).toBe(0);
    expect(running(marker)).toEqual([]);
    expect(openDescriptors()).toBeLessThanOrEqual(before.descriptors + 2);
    expect((process.memoryUsage().rss - before.rss) / 1024 / 1024).toBeLessThan(64);
  });
});

describe('the number of processes', () => {
  it('is three per user: an idle one makes room, busy ones do not', async () => {
    const entries = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, plainEntry()]));
    const { carrier, upstream } = startStage(entries, { limits: { roomMs: 200 } });
    const runs: string[] = [];
    for (const entry of ['a', 'b', 'c', 'd'])
      runs.push(jsonOf(await carrier.request(upstream('alice', { entry }), call('whoami'))).run);
    expect(carrier.processes()).toBe(3);
    const busy = ['b', 'c', 'd'].map((entry) =>
      carrier.request(upstream('alice', { entry }), call('wait', { ms: 3_000 })),
    );
    await sleep(100);
    const failure = await failureOf(carrier.request(upstream('alice', { entry: 'a' }), call('whoami')));
    expect(failure).toMatchObject({ kind: 'rate_limited', executed: 'no', retryAfterMs: 1_000 });
    expect(failure.words).toBe('All 3 server processes of this user are at work; try again when a call has ended');
    // Somebody else is not held up by it.
    expect(jsonOf(await carrier.request(upstream('bob', { entry: 'a' }), call('whoami'))).n).toBeUndefined();
    expect((await Promise.all(busy)).map(textOf)).toEqual(Array(3).fill('waited 3000'));
  });

  it('is limited for the gateway as a whole', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { limits: { total: 2, roomMs: 200 } });
    const busy = ['alice', 'bob'].map((user) => carrier.request(upstream(user), call('wait', { ms: 3_000 })));
    await until(() => carrier.processes() === 2);
    await sleep(300);
    const failure = await failureOf(carrier.request(upstream('carol'), call('whoami')));
    expect(failure).toMatchObject({ kind: 'rate_limited', executed: 'no' });
    await Promise.all(busy);
    expect(jsonOf(await carrier.request(upstream('carol'), call('whoami')))).toHaveProperty('run');
    expect(carrier.processes()).toBe(2);
  });
});

describe('a process ends', () => {
  it('when nobody has used it for a while', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { limits: { idleMs: 200, sweepMs: 50 } });
    const first = jsonOf(await carrier.request(upstream('alice'), call('whoami')));
    expect(await until(() => carrier.processes() === 0)).toBe(true);
    const { run } = jsonOf(await carrier.request(upstream('alice'), call('whoami')));
    expect(run).not.toBe(first.run);
  });

  it('at the end of its life, but not under a call', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox: 'off', limits: { lifeMs: 300, sweepMs: 50 } });
    const long = carrier.request(upstream('alice'), call('wait', { ms: 800 }));
    await sleep(500);
    const [{ run }, waited] = [jsonOf(await carrier.request(upstream('alice'), call('whoami'))), await long];
    expect(textOf(waited)).toBe('waited 800');
    expect(run).toEqual(expect.any(String));
    expect(await until(() => carrier.processes() === 0)).toBe(true);
  });

  it.each(sandboxes)('when it takes too much memory, sandbox: %s', async (sandbox) => {
    const { carrier, upstream } = startStage(plainEntry(), {
      sandbox,
      limits: { rssBytes: 200 * 1024 * 1024, sweepMs: 100 },
    });
    const failure = await failureOf(carrier.request(upstream('alice'), call('eat', { megabytes: 300 })));
    expect(failure).toMatchObject({ kind: 'broken', executed: 'unknown' });
    expect(failure.words).toBe('The server process used more than 200 MB of memory and was ended');
  });

  it.each(sandboxes)('when it starts too many others, sandbox: %s', async (sandbox) => {
    const seconds = unique();
    const { carrier, upstream } = startStage(plainEntry(), { sandbox, limits: { processes: 40, sweepMs: 100 } });
    // It may be ended before it has answered.
    const told = await carrier
      .request(upstream('alice'), call('family', { count: 60, seconds }))
      .then(textOf, (error: unknown) => (error as UpstreamFailure).words);
    expect(['started', 'The server process started more than 40 processes and was ended']).toContain(told);
    expect(await until(() => carrier.processes() === 0)).toBe(true);
    expect(running(`sleep ${seconds}`)).toEqual([]);
  });
});

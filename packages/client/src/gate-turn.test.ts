// The gate as callers meet it: what is thrown, what is told, who waits, and that nothing is left behind. Against a server on loopback.
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type ClientOptions, MCPClient, RateLimitError, type RateLimitEvent, TimeoutError } from './index.ts';
import { clientOf, type Handler, json, rpcResult, type Seen, standIn, textResult } from './stand-in.test-support.ts';

const told = (remaining: number, seconds: number, limit = 100) => ({
  'ratelimit-policy': `"user";q=${limit};w=60`,
  ratelimit: `"user";r=${remaining};t=${seconds}`,
});
const ok =
  (remaining: number, seconds: number): Handler =>
  (s, r) =>
    rpcResult(s, r, textResult('ok'), told(remaining, seconds));
/** The probe for a promise of idempotency is no call. */
const callsIn = (seen: readonly Seen[]) => seen.filter(({ json: sent }) => sent?.method === 'tools/call').length;
const run = (client: MCPClient, user = 'alice') => client.executeForUser(user, 'echo', {});

describe('a user at the limit', () => {
  it('gets a local RateLimitError without a request, while other users go on', async () => {
    const { client, seen } = await clientOf(ok(0, 50));
    await run(client);
    const error = await run(client).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({
      source: 'local',
      code: 'RATE_LIMITED',
      status: 429,
      policy: 'user',
      executed: 'no',
      retryable: true,
      attempts: 0,
      operation: 'execute',
      userId: 'alice',
    });
    const { retryAfterMs } = error as RateLimitError;
    expect(retryAfterMs).toBeGreaterThan(40_000);
    expect(retryAfterMs).toBeLessThanOrEqual(50_250);
    expect(seen).toHaveLength(1);
    await run(client, 'bob');
    expect(seen).toHaveLength(2);
  });

  it('waits when the wait is short, and is told how long it was', async () => {
    const { client, seen } = await clientOf((s, r, n) => ok(n === 1 ? 0 : 5, 1)(s, r, n));
    await run(client);
    const { meta } = await run(client).withMeta();
    expect(seen).toHaveLength(2);
    expect(meta.waitedMs).toBeGreaterThan(0);
    expect(meta.rateLimit).toMatchObject({ policy: 'user', limit: 100, windowMs: 60_000, remaining: 5, inFlight: 0 });
  });

  it('can be told to wait, to reject and to go, per call', async () => {
    const { client, seen } = await clientOf(ok(0, 1));
    await run(client);
    await expect(client.executeForUser('alice', 'echo', {}, { rateLimit: 'reject' })).rejects.toMatchObject({
      source: 'local',
    });
    expect(seen).toHaveLength(1);
    await client.executeForUser('alice', 'echo', {}, { rateLimit: 'off' });
    expect(seen).toHaveLength(2);
    await client.executeForUser('alice', 'echo', {}, { rateLimit: 'wait' });
    expect(seen).toHaveLength(3);
    await expect(client.executeForUser('alice', 'echo', {}, { rateLimit: 'never' as 'off' })).rejects.toMatchObject({
      name: 'ConfigError',
    });
  });

  it('sees where it stands without a request', async () => {
    const { client, seen } = await clientOf(ok(0, 50));
    const alice = client.forUser('alice');
    expect(alice.limits()).toMatchObject({ limit: undefined, remaining: undefined, retryAfterMs: 0 });
    await alice.execute('echo');
    expect(alice.limits()).toMatchObject({ policy: 'user', limit: 100, remaining: 0, inFlight: 0, waiting: 0 });
    expect(alice.limits().retryAfterMs).toBeGreaterThan(40_000);
    expect(client.withOptions({ maxRetries: 0 }).forUser('alice').limits().remaining).toBe(0);
    expect(client.withOptions({ apiKey: 'other' }).forUser('alice').limits().remaining).toBeUndefined();
    expect(seen).toHaveLength(1);
  });

  it('ends with its deadline when nobody can tell how long it takes', async () => {
    const { client, seen } = await clientOf(() => undefined, { rateLimit: { maxConcurrentPerUser: 1 }, timeout: 1500 });
    const stuck = run(client).safe();
    await expect.poll(() => seen.length).toBe(1);
    const late = await client
      .executeForUser('alice', 'echo', {}, { rateLimit: 'wait', deadline: 200 })
      .catch((e: unknown) => e);
    expect(late).toBeInstanceOf(TimeoutError);
    expect(late).toMatchObject({ kind: 'queue', sent: 'no', executed: 'no', attempts: 0 });
    expect(seen).toHaveLength(1);
    await stuck;
  });

  it('has management counted apart, once for the whole key', async () => {
    const { client } = await clientOf((s, r, n) =>
      s.path === '/mcp' ? ok(0, 50)(s, r, n) : json(r, 200, { keyId: null, kind: 'ent' }, told(0, 50)),
    );
    await run(client);
    await client.me();
    await expect(client.status()).rejects.toMatchObject({ source: 'local' });
    expect(client.forUser('alice').limits().remaining).toBe(0);
  });
});

describe('a 429', () => {
  it('sends its call back to the front of the queue, and holds the others of that user', async () => {
    const times: number[] = [];
    const retryLater: Handler = (s, r, n) => {
      times.push(performance.now());
      return n === 1 ? json(r, 429, {}, { 'retry-after': '2' }) : ok(50, 60)(s, r, n);
    };
    // Patient: both wait their two seconds and what a busy machine adds to them.
    const { client, seen } = await clientOf(retryLater, { rateLimit: { maxWaitMs: 20_000 }, timeout: 10_000 });
    const first = client.executeForUser('alice', 'first');
    await expect.poll(() => seen.length).toBe(1);
    await expect.poll(() => client.forUser('alice').limits().waiting).toBe(1);
    const second = client.executeForUser('alice', 'second');
    const [{ meta }] = await Promise.all([first.withMeta(), second]);
    expect(meta).toMatchObject({ attempts: 2 });
    expect((times[1] as number) - (times[0] as number)).toBeGreaterThanOrEqual(1_999);
    // Counted from when it stands in the queue, a moment after the answer came.
    expect(meta.waitedMs).toBeGreaterThan(1_000);
    expect(seen.map((s) => s.json.params.name)).toEqual(['first', 'first', 'second']);
    expect(seen[0]?.headers['idempotency-key']).toBe(seen[1]?.headers['idempotency-key']);
  });

  it('is tried at most five times more, and never with maxRetries 0', async () => {
    const always: Handler = (_, r) => json(r, 429, {}, { 'retry-after-ms': '1' });
    const { client, seen } = await clientOf(always);
    await expect(run(client)).rejects.toMatchObject({ name: 'RateLimitError', source: 'server', attempts: 6 });
    expect(seen).toHaveLength(6);
    await expect(client.executeForUser('bob', 'echo', {}, { maxRetries: 0 })).rejects.toMatchObject({ attempts: 1 });
  });

  it('that asks for a long wait is thrown as the server said it, and the next call does not even leave', async () => {
    const { client, seen } = await clientOf((_, r) => json(r, 429, {}, { 'retry-after': '90' }));
    await expect(run(client)).rejects.toMatchObject({ source: 'server', retryAfterMs: 90_000, attempts: 1 });
    await expect(run(client)).rejects.toMatchObject({ source: 'local', attempts: 0 });
    expect(seen).toHaveLength(1);
  });

  it('about one tool only does not hold the user, and its call waits alone or not at all', async () => {
    const narrow = { ...told(57, 20), 'retry-after': '30000' };
    const { client, seen } = await clientOf((s, r, n) =>
      s.json.params.name === 'echo'
        ? json(r, 429, {}, narrow)
        : n < 4
          ? json(r, 429, {}, { ratelimit: '"lim_1";r=0;t=9', 'retry-after': '0.2' })
          : ok(50, 60)(s, r, n),
    );
    await expect(run(client)).rejects.toMatchObject({ source: 'server', attempts: 1, retryAfterMs: 3_600_000 });
    const { meta } = await client.executeForUser('alice', 'other').withMeta();
    expect(meta).toMatchObject({ attempts: 3 });
    expect(meta.waitedMs).toBeGreaterThan(200);
    expect(seen).toHaveLength(4);
    expect(client.forUser('alice').limits()).toMatchObject({ policy: 'user', remaining: 50, retryAfterMs: 0 });
  });

  it('is followed as before when the gate is off', async () => {
    const { client, seen } = await clientOf(
      (s, r, n) => (n === 1 ? json(r, 429, {}, { 'retry-after-ms': '1' }) : ok(0, 50)(s, r, n)),
      { rateLimit: false },
    );
    const { meta } = await run(client).withMeta();
    await run(client);
    expect(seen).toHaveLength(3);
    expect(meta.rateLimit).toBeUndefined();
    expect(client.forUser('alice').limits().remaining).toBeUndefined();
  });
});

describe('a call that waits', () => {
  const full = (options: ClientOptions = {}) =>
    clientOf((s, r, n) => (n === 1 ? undefined : ok(50, 60)(s, r, n)), {
      rateLimit: { mode: 'wait', maxConcurrentPerUser: 1 },
      timeout: 2_000,
      ...options,
    });

  it('leaves at once when it is aborted, without a request and without a listener', async () => {
    const { client, seen } = await full();
    const stuck = run(client).safe();
    const controller = new AbortController();
    const waiting = client.executeForUser('alice', 'echo', {}, { signal: controller.signal });
    await expect.poll(() => client.forUser('alice').limits().waiting).toBe(1);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError', executed: 'no', attempts: 0 });
    expect(client.forUser('alice').limits()).toMatchObject({ waiting: 0, inFlight: 1 });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    await stuck;
    expect(callsIn(seen)).toBe(1);
  });

  it('is refused when the client is closed', async () => {
    const { client, seen } = await full();
    const stuck = run(client).safe();
    const waiting = run(client).safe();
    await expect.poll(() => client.forUser('alice').limits().waiting).toBe(1);
    await client.close();
    expect(await waiting).toMatchObject({ ok: false, error: { name: 'ConfigError' } });
    expect(client.forUser('alice').limits().waiting).toBe(0);
    await stuck;
    expect(callsIn(seen)).toBe(1);
  });
});

describe('hooks.rateLimit', () => {
  it('is told of waits, refusals and 429s, without user ids, and may throw', async () => {
    const events: RateLimitEvent[] = [];
    const logged: string[] = [];
    const log = (message: string) => logged.push(message);
    const { client } = await clientOf(
      (s, r, n) => (n === 1 ? json(r, 429, {}, { 'retry-after': '0.1' }) : ok(0, 50)(s, r, n)),
      {
        hooks: {
          rateLimit: (event) => {
            events.push(event);
            throw new Error('mine');
          },
        },
        logger: { debug: log, info: log, warn: log, error: log },
      },
    );
    await run(client, 'user-canary');
    await run(client, 'user-canary').safe();
    expect(events.map(({ type, operation }) => [type, operation])).toEqual([
      ['limited', 'execute'],
      ['wait', 'execute'],
      ['reject', 'execute'],
    ]);
    expect(events.every(Object.isFrozen)).toBe(true);
    expect(JSON.stringify(events) + logged.join()).not.toContain('user-canary');
    expect(logged.filter((line) => line.includes('hooks.rateLimit threw Error'))).toHaveLength(3);
  });
});

describe('a store of several processes', () => {
  const quota = { limit: 10, windowMs: 60_000 };

  it('is asked before each request, and what it refuses waits', async () => {
    const taken: unknown[] = [];
    const { client, seen } = await clientOf(ok(50, 60), {
      rateLimit: {
        quota,
        store: {
          take: async (key, cost, policy) => {
            taken.push([key, cost, policy]);
            return taken.length === 2 ? 150 : 0;
          },
          penalize: () => undefined,
        },
      },
    });
    await run(client);
    const { meta } = await run(client).withMeta();
    expect(taken).toEqual(Array(3).fill(['calls:alice', 1, quota]));
    expect(meta.waitedMs).toBeGreaterThan(100);
    expect(seen).toHaveLength(2);
  });

  it.each([
    ['throws', () => Promise.reject(new Error('down'))],
    ['hangs', () => new Promise<number>(() => undefined)],
  ])('is passed over when it %s', async (_, take) => {
    const { client, seen } = await clientOf(ok(50, 60), {
      rateLimit: { quota, store: { take, penalize: () => undefined } },
      logLevel: 'off',
    });
    await run(client);
    expect(seen).toHaveLength(1);
  });

  it('hears of a 429', async () => {
    const penalties: unknown[] = [];
    const { client } = await clientOf((_, r) => json(r, 429, {}, { 'retry-after': '90' }), {
      rateLimit: {
        quota,
        store: { take: async () => 0, penalize: (key, ms) => void penalties.push([key, ms > 80_000]) },
      },
    });
    await run(client).safe();
    expect(penalties).toEqual([['calls:alice', true]]);
  });
});

describe('options of the gate', () => {
  it.each([
    { mode: 'often' },
    { maxWaitMs: -1 },
    { maxConcurrent: 0 },
    { quota: { limit: 0, windowMs: 1 } },
    { quota: { limit: 1, windowMs: Number.NaN } },
    { store: {} },
  ])('that cannot work are refused: %j', async (rateLimit) => {
    const { url } = await standIn(() => undefined);
    expect(() => new MCPClient({ baseUrl: url, apiKey: 'k', rateLimit: rateLimit as never })).toThrowError(/rateLimit/);
  });
});

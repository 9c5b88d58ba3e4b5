// The promise of idempotency: how the client hears of it, how long it is believed, what is re-sent under it and with which key.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { isPromised, KeyAge, parsePromise, Verdict } from './idempotency.ts';
import { AbortError, AnswerLostError, type MCPClient, OutcomeUnknownError } from './index.ts';
import {
  clientOf,
  failWith,
  type Handler,
  json,
  reset,
  rpcResult,
  type Seen,
  textResult,
} from './stand-in.test-support.ts';

const durable = { 'valet-idempotency': 'ttl=86400, epoch="e1", durable' };
const volatile = { 'valet-idempotency': 'ttl=86400, epoch="e1"' };
const run = (client: MCPClient) => client.executeForUser('alice', 'echo', { a: 1 });
const methods = (seen: readonly Seen[]) => seen.map((s) => s.json?.method ?? `${s.method} ${s.path}`);
const calls = (seen: readonly Seen[]) => seen.filter((s) => s.json?.method === 'tools/call');
const keys = (seen: readonly Seen[]) => calls(seen).map((s) => s.headers['idempotency-key']);
const epochs = (seen: readonly Seen[]) => calls(seen).map((s) => s.headers['valet-idempotency-epoch']);

/** Resets the first tools/call; answers pings and everything later with the given headers. */
const losesFirst =
  (headers: Record<string, string>): Handler =>
  (s, r, n) =>
    n === 1 ? reset(r) : rpcResult(s, r, textResult('ok'), headers);

describe('the first call of a process, when its answer is lost', () => {
  it('asks the same URL as the same user what is promised, then re-sends with the same key and the epoch', async () => {
    const { client, seen } = await clientOf(losesFirst(durable), { server: 'crm' });
    expect((await run(client)).text()).toBe('ok');
    expect(methods(seen)).toEqual(['tools/call', 'ping', 'tools/call']);
    const [, ping] = seen;
    expect(ping).toMatchObject({
      path: '/mcp/crm',
      headers: { 'x-alloy-userid': 'alice', authorization: 'Bearer k-canary' },
    });
    expect(ping?.headers['idempotency-key']).toBeUndefined();
    expect(new Set(keys(seen)).size).toBe(1);
    expect(epochs(seen)).toEqual([undefined, 'e1']);
  });

  it('asks the status route for a creating POST, and hears the promise in a refusal too', async () => {
    const { client, seen } = await clientOf((s, r, n) => {
      if (n === 1) return reset(r);
      if (s.method === 'GET') return json(r, 403, {}, durable);
      json(r, 201, { serverId: 's' }, durable);
    });
    expect(await client.servers.create({ name: 'x' })).toMatchObject({ serverId: 's' });
    expect(methods(seen)).toEqual(['POST /api/servers', 'GET /status', 'POST /api/servers']);
  });

  for (const [what, headers] of [
    ['nothing', {}],
    ['what would not survive a restart', volatile],
  ] as const) {
    it(`ends as OutcomeUnknownError when the server promises ${what}`, async () => {
      const { client, seen } = await clientOf(losesFirst(headers));
      await expect(run(client)).rejects.toBeInstanceOf(OutcomeUnknownError);
      expect(methods(seen)).toEqual(['tools/call', 'ping']);
    });
  }

  it('ends as OutcomeUnknownError when nobody answers the question', async () => {
    const { client, seen } = await clientOf((_, r) => reset(r));
    await expect(run(client)).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(calls(seen)).toHaveLength(1);
  });

  it('asks once for all calls that fail at the same time', async () => {
    const { client, seen } = await clientOf(
      (s, r) => {
        if (s.json.method === 'ping') return void setTimeout(() => rpcResult(s, r, {}, durable), 200);
        return s.headers['x-retry-count'] === undefined ? reset(r) : rpcResult(s, r, textResult('ok'), durable);
      },
      { rateLimit: { mode: 'wait' } },
    );
    const results = await Promise.all(Array.from({ length: 20 }, () => run(client)));
    expect(results.map((result) => result.text())).toEqual(results.map(() => 'ok'));
    expect(methods(seen).filter((method) => method === 'ping')).toHaveLength(1);
    expect(calls(seen)).toHaveLength(40);
  });

  it('is aborted at once while it asks', async () => {
    const controller = new AbortController();
    const { client } = await clientOf((s, r) => {
      if (s.json.method === 'tools/call') reset(r);
      else setTimeout(() => controller.abort(), 20);
    });
    const error = await client.executeForUser('a', 't', {}, { signal: controller.signal }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(AbortError);
    expect(error).toMatchObject({ executed: 'unknown', idempotencyKey: expect.stringMatching(/^[0-9a-f]{32}$/) });
  });
});

describe('a server that has been heard', () => {
  it('is not asked again: not when it promises, not when an answer came without a promise', async () => {
    for (const headers of [durable, {}]) {
      const { client, seen } = await clientOf((s, r, n) =>
        n === 2 ? reset(r) : rpcResult(s, r, textResult('ok'), headers),
      );
      await run(client);
      await run(client).safe();
      expect(methods(seen)).not.toContain('ping');
      expect(calls(seen)).toHaveLength(headers === durable ? 3 : 2);
    }
  });

  it('may promise what does not survive a restart: a re-send then names the epoch in which it was first sent', async () => {
    const { client, seen } = await clientOf((s, r, n) =>
      n === 2 ? reset(r) : rpcResult(s, r, textResult('ok'), volatile),
    );
    await run(client);
    expect((await run(client)).text()).toBe('ok');
    expect(epochs(seen)).toEqual([undefined, undefined, 'e1']);
  });

  it('is not believed any more after a restart of its memory', async () => {
    const { client, seen } = await clientOf((s, r, n) =>
      n === 1
        ? rpcResult(s, r, textResult('ok'), volatile)
        : json(r, 502, {}, { 'valet-idempotency': 'ttl=86400, epoch="e2"', 'retry-after-ms': '1' }),
    );
    await run(client);
    await expect(run(client)).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(calls(seen)).toHaveLength(2);
  });

  it('gets no re-send when the key is older than it keeps keys', async () => {
    const { client, seen } = await clientOf(failWith(502, { 'valet-idempotency': 'ttl=0, epoch="e", durable' }));
    await expect(run(client)).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(calls(seen)).toHaveLength(1);
  });

  it('is neither asked nor polled with idempotency: never', async () => {
    const running = { error: { code: 'IDEMPOTENCY_IN_PROGRESS', message: 'running' }, requestId: 'req_1' };
    for (const handler of [(_, r) => reset(r), (_, r) => json(r, 409, running, durable)] satisfies Handler[]) {
      const { client, seen } = await clientOf(handler, { idempotency: 'never' });
      await expect(run(client)).rejects.toBeInstanceOf(OutcomeUnknownError);
      expect(seen).toHaveLength(1);
    }
  });
});

describe('a refusal that says nothing ran', () => {
  const data = { code: 'UNAVAILABLE', requestId: 'r', executed: 'no', retryable: true, retryAfterMs: 1 };
  const refuse = (s: Seen, r: Parameters<Handler>[1], headers: Record<string, string>) =>
    json(
      r,
      503,
      { jsonrpc: '2.0', id: s.json.id, error: { code: 503, message: 'x', data } },
      { ...durable, ...headers },
    );

  it('keeps the key while an earlier attempt may still run, for only the old key keeps it from running twice', async () => {
    const { client, seen } = await clientOf((s, r, n) =>
      n === 1
        ? failWith(502, { ...durable, 'retry-after-ms': '1' })(s, r, n)
        : n === 2
          ? refuse(s, r, { 'x-should-retry': 'true' })
          : rpcResult(s, r, textResult('ok'), durable),
    );
    expect((await run(client)).text()).toBe('ok');
    expect(calls(seen)).toHaveLength(3);
    expect(new Set(keys(seen)).size).toBe(1);
  });

  it('gets a new key when it is the stored answer, and the new key names no epoch', async () => {
    const { client, seen } = await clientOf((s, r, n) =>
      n === 1
        ? failWith(502, { ...durable, 'retry-after-ms': '1' })(s, r, n)
        : n === 2
          ? refuse(s, r, { 'idempotent-replayed': 'true' })
          : rpcResult(s, r, textResult('ok'), durable),
    );
    expect((await run(client)).text()).toBe('ok');
    const [first, second, third] = keys(seen);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    expect(epochs(seen)).toEqual([undefined, 'e1', undefined]);
  });

  it('is what the caller gets in the end, not doubt about attempts that are settled', async () => {
    const { client } = await clientOf((s, r, n) =>
      n === 1
        ? failWith(502, { ...durable, 'retry-after-ms': '1' })(s, r, n)
        : n === 2
          ? refuse(s, r, { 'idempotent-replayed': 'true' })
          : json(r, 403, {}, durable),
    );
    await expect(run(client)).rejects.toMatchObject({ name: 'PermissionError', executed: 'no', attempts: 3 });
  });
});

describe('a tool that calls itself harmless', () => {
  const hints =
    (annotations: object): Handler =>
    (s, r, n) => {
      if (s.json.method === 'ping') return rpcResult(s, r, {});
      if (s.json.method === 'tools/list') {
        if (s.json.params.cursor === undefined) return rpcResult(s, r, { tools: [{ name: 'other' }], nextCursor: 'c' });
        return rpcResult(s, r, { tools: [{ name: 'echo', annotations }] });
      }
      return n === 1 ? reset(r) : rpcResult(s, r, textResult('ok'));
    };
  const cases = [
    [{ readOnlyHint: true }, 'is'],
    [{ idempotentHint: true }, 'is'],
    [{ destructiveHint: false }, 'is not'],
    [{ readOnlyHint: 'yes' }, 'is not'],
  ] as const;

  for (const [annotations, verb] of cases) {
    it(`${verb} sent again without a promise, with trustToolHints and ${JSON.stringify(annotations)}`, async () => {
      const { client, seen } = await clientOf(hints(annotations), { trustToolHints: true });
      const result = await run(client).safe();
      expect(result.ok).toBe(verb === 'is');
      expect(calls(seen)).toHaveLength(verb === 'is' ? 2 : 1);
    });
  }

  it('is not believed by default, nor looked up', async () => {
    const { client, seen } = await clientOf(hints({ readOnlyHint: true }));
    await expect(run(client)).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(methods(seen)).toEqual(['tools/call', 'ping']);
  });
});

describe('an answer that is gone', () => {
  it('is AnswerLostError with what was made, when a repetition no longer shows what was shown once', async () => {
    const { client } = await clientOf((_, r, n) =>
      n === 1
        ? json(r, 502, {}, { ...durable, 'retry-after-ms': '1' })
        : json(
            r,
            201,
            { serverId: 's-1', accessToken: null },
            { 'idempotent-replayed': 'true', 'valet-left-out': 'accessToken' },
          ),
    );
    const error = await client.servers.create({ name: 'x' }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(AnswerLostError);
    expect(error).toMatchObject({ executed: 'yes', retryable: false, resource: { serverId: 's-1' }, attempts: 2 });
  });
});

describe('calls.findByIdempotencyKey', () => {
  it('is the newest row with that key, or nothing', async () => {
    const { client, seen } = await clientOf((_, r, n) =>
      json(r, 200, { calls: n === 1 ? [{ callId: 'call_1', outcome: 'ok' }] : [], total: 1, hasMore: false }),
    );
    expect(await client.calls.findByIdempotencyKey('order 17'.replace(' ', '-'), { userId: 'alice' })).toMatchObject({
      callId: 'call_1',
    });
    expect(await client.calls.findByIdempotencyKey('k2')).toBeUndefined();
    expect(seen.map((s) => s.path)).toEqual([
      '/api/calls?userId=alice&idempotencyKey=order-17&limit=1',
      '/api/calls?idempotencyKey=k2&limit=1',
    ]);
    await expect(client.calls.findByIdempotencyKey('')).rejects.toMatchObject({ name: 'ValidationError' });
  });
});

describe('the verdict', () => {
  const headers = (value?: string) => new Headers(value === undefined ? {} : { 'valet-idempotency': value });

  it('lives ten minutes after it was last seen', () => {
    const verdict = new Verdict();
    expect(verdict.isKnown(0)).toBe(false);
    verdict.learn(headers(durable['valet-idempotency']), true, 1000);
    expect(verdict.current(600_999)?.epoch).toBe('e1');
    expect([verdict.current(601_000), verdict.isKnown(601_000)]).toEqual([undefined, false]);
  });

  it('outlives a failure without the header, and ends with a success without it', () => {
    const verdict = new Verdict();
    verdict.learn(headers(durable['valet-idempotency']), true, 0);
    verdict.learn(headers(), false, 1);
    expect(verdict.current(2)?.epoch).toBe('e1');
    verdict.learn(headers(), true, 3);
    expect([verdict.current(4), verdict.isKnown(4)]).toEqual([undefined, true]);
  });

  it('takes nothing from a malformed header', () => {
    for (const bad of [
      '',
      'ttl=1',
      'epoch="e"',
      'ttl=x, epoch="e"',
      'ttl=1, epoch=e',
      'ttl=1, epoch=""',
      'ttl=-1, epoch="e"',
    ])
      expect(parsePromise(bad), bad).toBeUndefined();
    expect(parsePromise('ttl=1, epoch="a b"')).toBeUndefined();
    expect(parsePromise('epoch="e", future=1, ttl=60')).toEqual({ ttlMs: 60_000, epoch: 'e', durable: false });
  });
});

describe('the age of a key', () => {
  afterEach(() => void vi.useRealTimers());

  it('counts the time in which the machine slept and the monotonic clock stood still', () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const age = new KeyAge();
    vi.setSystemTime(Date.now() + 90_000_000);
    const promise = { ttlMs: 86_400_000, epoch: 'e', durable: true };
    expect(age.ms()).toBeGreaterThanOrEqual(90_000_000);
    expect(isPromised(promise, promise, age.ms())).toBe(false);
    expect(isPromised(promise, promise, 1000)).toBe(true);
  });
});

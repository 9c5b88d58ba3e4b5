// One call from first byte to last against a misbehaving server: what is sent again, what is reported, what is given up, and when.
import { describe, expect, it } from 'vitest';
import {
  MCPClient,
  NotFoundError,
  OutcomeUnknownError,
  RateLimitError,
  TimeoutError,
  UnavailableError,
} from './index.ts';
import {
  clientOf,
  closedPort,
  cutBody,
  failWith,
  type Handler,
  json,
  reset,
  rpcResult,
  textResult,
} from './stand-in.test-support.ts';

const promise = { 'valet-idempotency': 'ttl=86400, epoch="e1", durable' };
const me = { keyId: null, kind: 'ent' };

const soon = { 'retry-after-ms': '1' };
const run = (client: MCPClient) => client.executeForUser('alice', 'echo', { a: 1 });
/** What was sent under a key: not the question whether keys are honoured. */
const keyed = <S extends { headers: Record<string, unknown> }>(seen: readonly S[]): S[] =>
  seen.filter((s) => s.headers['idempotency-key'] !== undefined);
const keysOf = (seen: readonly { headers: Record<string, unknown> }[]) =>
  keyed(seen).map((s) => s.headers['idempotency-key']);

describe('a read', () => {
  for (const status of [408, 425, 429, 500, 502, 503, 504, 520]) {
    it(`is sent again after ${status}`, async () => {
      const { client, seen } = await clientOf((s, r, n) => (n < 3 ? failWith(status)(s, r, n) : json(r, 200, me)));
      expect((await client.me().withMeta()).meta.attempts).toBe(3);
      expect(seen.map((s) => s.headers['x-retry-count'])).toEqual([undefined, '1', '2']);
    });
  }

  for (const status of [400, 401, 403, 404, 409, 413, 422, 501]) {
    it(`is not sent again after ${status}`, async () => {
      const { client, seen } = await clientOf(failWith(status));
      await expect(client.me()).rejects.toMatchObject({ status, attempts: 1, executed: 'no' });
      expect(seen).toHaveLength(1);
    });
  }

  it('is sent again after a reset, a cut body and garbage', async () => {
    const { client, seen } = await clientOf(
      (_, r, n) => (n === 1 ? reset(r) : n === 2 ? cutBody(r) : n === 3 ? void r.end('garbage') : json(r, 200, me)),
      { maxRetries: 3 },
    );
    expect(await client.me()).toEqual(me);
    expect(seen).toHaveLength(4);
  });

  it('carries no idempotency key', async () => {
    const { client, seen } = await clientOf((_, r) => json(r, 200, me));
    await client.me();
    expect(seen[0]?.headers['idempotency-key']).toBeUndefined();
  });

  it('stops when the server says not to retry', async () => {
    const { client, seen } = await clientOf(failWith(503, { 'x-should-retry': 'false' }));
    await expect(client.me()).rejects.toBeInstanceOf(UnavailableError);
    expect(seen).toHaveLength(1);
  });

  it('ends with the last failure when retries run out', async () => {
    const { client, seen } = await clientOf(failWith(500), { maxRetries: 1 });
    await expect(client.me()).rejects.toMatchObject({ name: 'ServerError', attempts: 2 });
    expect(seen).toHaveLength(2);
  });
});

describe('an execution without the promise of idempotency', () => {
  const lost: Record<string, Handler> = {
    'a reset': (_, r) => reset(r),
    'a cut body': (_, r) => cutBody(r),
    garbage: (_, r) => void r.writeHead(200, { 'content-type': 'application/json' }).end('garbage'),
    'an empty answer': (_, r) => void r.writeHead(202).end(),
    'a bare 408': failWith(408),
    'a bare 500': failWith(500),
    'a bare 502': failWith(502),
    'a bare 503': failWith(503),
    'a bare 504': failWith(504),
    'an answer to somebody else': (_, r) => json(r, 200, { jsonrpc: '2.0', id: 'other', result: textResult('x') }),
    'a stream without the answer': (_, r) =>
      void r.writeHead(200, { 'content-type': 'text/event-stream' }).end('event: message\ndata: {"jsonrpc":"2.0"}\n\n'),
  };
  for (const [what, handler] of Object.entries(lost)) {
    it(`is sent once and ends as OutcomeUnknownError after ${what}`, async () => {
      const { client, seen } = await clientOf(handler);
      const result = await run(client).safe();
      expect(keyed(seen)).toHaveLength(1);
      expect(!result.ok && result.error).toBeInstanceOf(OutcomeUnknownError);
      expect(!result.ok && result.error).toMatchObject({
        state: 'no_answer',
        executed: 'unknown',
        idempotencyKey: keysOf(seen)[0],
      });
    });
  }

  it('ends as OutcomeUnknownError with the TimeoutError as cause when the server stalls', async () => {
    const { client, seen } = await clientOf(() => undefined, { timeout: 1_000 });
    const error = await run(client).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect((error as Error).cause).toBeInstanceOf(TimeoutError);
    expect(keyed(seen)).toHaveLength(1);
  });

  it('is sent again when the server answers 503 and says to retry', async () => {
    const { client, seen } = await clientOf((s, r, n) =>
      n === 1 ? failWith(503, { ...soon, 'x-should-retry': 'true' })(s, r, n) : rpcResult(s, r, textResult('ok')),
    );
    expect((await run(client)).text()).toBe('ok');
    expect(new Set(keysOf(seen)).size).toBe(1);
  });

  it('is sent again after 429 with the same key, not before the time it was told', async () => {
    const times: number[] = [];
    const { client, seen } = await clientOf((s, r, n) => {
      times.push(performance.now());
      return n === 1 ? json(r, 429, {}, { 'retry-after': '0.2' }) : rpcResult(s, r, textResult('ok'));
    });
    const { meta } = await run(client).withMeta();
    expect(meta).toMatchObject({ attempts: 2 });
    expect((times[1] as number) - (times[0] as number)).toBeGreaterThanOrEqual(199);
    expect(meta.waitedMs).toBeGreaterThan(0);
    expect(new Set(keysOf(seen)).size).toBe(1);
  });

  it('throws RateLimitError at once when it would have to wait longer than 30 s', async () => {
    const { client, seen } = await clientOf((_, r) =>
      json(r, 429, {}, { 'retry-after': '90', ratelimit: '"user";r=0;t=90' }),
    );
    await expect(run(client)).rejects.toMatchObject({
      name: 'RateLimitError',
      retryAfterMs: 90_000,
      source: 'server',
      policy: 'user',
    });
    expect(keyed(seen)).toHaveLength(1);
  });

  it('backs off instead of looping on a malformed Retry-After', async () => {
    const { client } = await clientOf((_, r) => json(r, 429, {}, { 'retry-after': 'garbage' }), { maxRetries: 1 });
    const before = performance.now();
    await expect(run(client)).rejects.toBeInstanceOf(RateLimitError);
    expect(performance.now() - before).toBeGreaterThanOrEqual(240);
  });

  it('is sent again when nothing listens, and is then provably not executed', async () => {
    const client = new MCPClient({
      baseUrl: `http://127.0.0.1:${await closedPort()}`,
      apiKey: 'k-canary',
      maxRetries: 1,
    });
    await expect(run(client)).rejects.toMatchObject({
      name: 'ConnectionError',
      phase: 'connect',
      sent: 'no',
      executed: 'no',
      attempts: 2,
      details: { cause: 'ECONNREFUSED' },
    });
  });

  it('knows that nothing was sent when the name cannot be resolved', async () => {
    const client = new MCPClient({ baseUrl: 'https://no-such-host.invalid', apiKey: 'k-canary', maxRetries: 0 });
    await expect(run(client)).rejects.toMatchObject({ phase: 'dns', sent: 'no', executed: 'no' });
  });

  it('runs once over a creating POST too', async () => {
    const { client, seen } = await clientOf((_, r) => reset(r));
    await expect(client.servers.create({ name: 'x' })).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(keyed(seen)).toHaveLength(1);
  });
});

describe('an execution under the promise of idempotency', () => {
  it('is sent again with the same key and the epoch after a failure that carries the promise', async () => {
    const { client, seen } = await clientOf((s, r, n) =>
      n < 3
        ? failWith(502, { ...soon, ...promise })(s, r, n)
        : rpcResult(s, r, textResult('ok'), { 'idempotent-replayed': 'true' }),
    );
    const { data, meta } = await run(client).withMeta();
    expect(data.text()).toBe('ok');
    expect(meta.replayed).toBe(true);
    expect(new Set(keysOf(seen)).size).toBe(1);
    expect(seen.map((s) => s.headers['valet-idempotency-epoch'])).toEqual([undefined, 'e1', 'e1']);
  });

  it('is sent again after a lost connection when the promise was heard before', async () => {
    const { client, seen } = await clientOf((s, r, n) =>
      n === 2 ? reset(r) : rpcResult(s, r, textResult(`${n}`), promise),
    );
    await run(client);
    expect((await run(client)).text()).toBe('3');
    expect(seen[1]?.headers['idempotency-key']).toBe(seen[2]?.headers['idempotency-key']);
    expect(seen[0]?.headers['idempotency-key']).not.toBe(seen[1]?.headers['idempotency-key']);
  });

  it('does not trust a promise heard only now that would not survive a restart', async () => {
    const { client, seen } = await clientOf(failWith(502, { 'valet-idempotency': 'ttl=60, epoch="e"' }));
    await expect(run(client)).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(seen).toHaveLength(1);
  });

  it('believes nothing with idempotency: never', async () => {
    const { client, seen } = await clientOf(failWith(502, promise), { idempotency: 'never' });
    await expect(run(client)).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(seen).toHaveLength(1);
  });

  it('waits for a first request that still runs, without spending retries', async () => {
    const running = { error: { code: 'IDEMPOTENCY_IN_PROGRESS', message: 'running' }, requestId: 'req_1' };
    const { client, seen } = await clientOf(
      (s, r, n) => (n < 4 ? json(r, 409, running, soon) : rpcResult(s, r, textResult('done'))),
      { maxRetries: 0 },
    );
    expect((await run(client)).text()).toBe('done');
    expect(seen).toHaveLength(4);
  });

  it('ends as OutcomeUnknownError{running} when the deadline comes first', async () => {
    const running = { error: { code: 'IDEMPOTENCY_IN_PROGRESS', message: 'running' }, requestId: 'req_1' };
    const { client } = await clientOf((_, r) => json(r, 409, running), { deadline: 1_500 });
    await expect(run(client)).rejects.toMatchObject({ name: 'OutcomeUnknownError', state: 'running' });
  });

  it('stays unknown when a later attempt is refused for another reason', async () => {
    const { client } = await clientOf((_, r, n) =>
      n === 1 ? json(r, 502, {}, { ...soon, ...promise }) : json(r, 403, {}),
    );
    await expect(run(client)).rejects.toMatchObject({ name: 'OutcomeUnknownError', attempts: 2, status: 403 });
  });

  it('passes on what the server lost', async () => {
    const lost = { error: { code: 'OUTCOME_UNKNOWN', message: 'The outcome was lost' }, requestId: 'req_1' };
    const { client, seen } = await clientOf((_, r) => json(r, 409, lost));
    await expect(run(client)).rejects.toMatchObject({
      name: 'OutcomeUnknownError',
      state: 'unknown',
      requestId: 'req_1',
    });
    expect(seen).toHaveLength(1);
  });

  it('sends the key of the caller and never changes it', async () => {
    const { client, seen } = await clientOf((s, r) => rpcResult(s, r, textResult('ok')));
    await client.executeForUser('alice', 'echo', {}, { idempotencyKey: 'order-17' });
    expect(keysOf(seen)).toEqual(['order-17']);
    await expect(client.executeForUser('alice', 'echo', {}, { idempotencyKey: 'a b' })).rejects.toMatchObject({
      name: 'ValidationError',
    });
    expect(seen).toHaveLength(1);
  });
});

describe('a POST that the contract marks idempotent', () => {
  it('is sent again with the same key after a reset', async () => {
    const secret = { name: 'T', version: 1, updatedAt: 'x', fingerprint: 'f' };
    const { client, seen } = await clientOf((_, r, n) =>
      n === 1 ? reset(r) : json(r, 200, { success: true, secret }),
    );
    expect(await client.setSecret({ userId: 'alice', connector: 'github', name: 'T', value: 'v' })).toEqual(secret);
    expect(new Set(keysOf(seen)).size).toBe(1);
    expect(seen).toHaveLength(2);
  });
});

describe('a DELETE', () => {
  it('counts as done when the re-sent one finds nothing', async () => {
    const missing = { error: { code: 'NOT_FOUND', message: 'x' }, requestId: 'req_1' };
    const { client } = await clientOf((_, r, n) => (n === 1 ? reset(r) : json(r, 404, missing)));
    expect(await client.servers.delete('s-1')).toEqual({ message: 'Server deleted', serverId: 's-1' });
  });

  it('is NotFoundError when the first one finds nothing', async () => {
    const { client } = await clientOf((_, r) => json(r, 404, {}));
    await expect(client.servers.delete('s-1')).rejects.toBeInstanceOf(NotFoundError);
  });
});

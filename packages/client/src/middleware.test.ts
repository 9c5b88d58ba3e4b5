// The caller's code around requests: what it may change, and that none of its failures makes a call run twice or lets its text out.
import { describe, expect, it } from 'vitest';
import type { Middleware, MiddlewareRequest } from './index.ts';
import { ConfigError, ConnectionError, OutcomeUnknownError, RedirectError, TimeoutError } from './index.ts';
import {
  clientOf,
  closedPort,
  failWith,
  type Handler,
  json,
  reset,
  rpcResult,
  standIn,
  textResult,
} from './stand-in.test-support.ts';

const me = { keyId: null, kind: 'ent' };
const answering: Handler = (s, r) => (s.json?.id ? rpcResult(s, r, textResult('x')) : json(r, 200, me));
const promising: Handler = (s, r) =>
  rpcResult(s, r, textResult('x'), { 'valet-idempotency': 'ttl=86400, epoch="e1", durable' });
const withHeader = (request: MiddlewareRequest, name: string, value: string): MiddlewareRequest => ({
  ...request,
  headers: { ...request.headers, [name]: value },
});
/** Both ways a request goes out: management and executions. */
const paths = [
  ['management', (client: import('./index.ts').MCPClient) => client.me()],
  ['an execution', (client: import('./index.ts').MCPClient) => client.executeForUser('alice', 'echo', { a: 1 })],
] as const;

describe.each(paths)('middleware around %s', (_, run) => {
  it('may change the request and see the answer, the first of the list outermost', async () => {
    const order: string[] = [];
    const mark =
      (name: string): Middleware =>
      async (request, next) => {
        order.push(`${name} in`);
        const response = await next(withHeader(request, 'x-trail', `${request.headers['x-trail'] ?? ''}${name}`));
        order.push(`${name} ${response.status}`);
        return response;
      };
    const { client, seen } = await clientOf(answering, { middleware: [mark('a'), mark('b')] });
    await run(client);
    expect(order).toEqual(['a in', 'b in', 'b 200', 'a 200']);
    expect(seen[0]?.headers['x-trail']).toBe('ab');
    expect(seen[0]?.headers.authorization).toBe('Bearer k-canary');
  });

  it('is around every attempt, under one key', async () => {
    const heard: (readonly [number, string | undefined])[] = [];
    const { client, seen } = await clientOf(
      (s, r, n) =>
        n === 1 ? failWith(503, { 'x-should-retry': 'true', 'retry-after-ms': '1' })(s, r, n) : answering(s, r, n),
      {
        middleware: [
          (_request, next, { attempt, idempotencyKey }) => {
            heard.push([attempt, idempotencyKey]);
            return next();
          },
        ],
      },
    );
    await run(client);
    expect(heard.map(([attempt]) => attempt)).toEqual([1, 2]);
    expect(heard.map(([, key]) => key)).toEqual(seen.map((s) => s.headers['idempotency-key']));
    expect(seen).toHaveLength(2);
  });

  it('that throws before `next` ends the call, and nothing was sent', async () => {
    const { client, seen } = await clientOf(answering, {
      middleware: [
        () => {
          throw Object.assign(new TypeError('vault said s3cret'), { code: 'ECONNRESET' });
        },
      ],
    });
    const error = await run(client).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ executed: 'no', message: 'A middleware threw TypeError; nothing was sent' });
    expect(seen).toHaveLength(0);
  });

  it('never leads past the rule about redirects, the time limit or the abort', async () => {
    const target = await standIn((_seen, r) => json(r, 200, me));
    const moved = await clientOf((_seen, r) => void r.writeHead(307, { location: target.url }).end(), {
      middleware: [(request, next) => next({ ...request, redirect: 'follow' } as MiddlewareRequest)],
      fetchOptions: { redirect: 'follow' },
    });
    await expect(run(moved.client)).rejects.toBeInstanceOf(RedirectError);
    expect(target.seen).toHaveLength(0);

    const never = () => new Promise<Response>(() => undefined);
    const hung = await clientOf(answering, { middleware: [never], timeout: 60, maxRetries: 0 });
    const error = await run(hung.client).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject({ executed: 'no' });

    const aborted = await clientOf(answering, { middleware: [never] });
    const signal = AbortSignal.timeout(60);
    await expect(aborted.client.executeForUser('a', 't', {}, { signal, maxRetries: 0 })).rejects.toMatchObject({
      name: 'AbortError',
      executed: 'no',
    });
    expect([...hung.seen, ...aborted.seen]).toHaveLength(0);
  });

  it('cannot send the credential to another origin', async () => {
    const other = await standIn((_seen, r) => json(r, 200, me));
    const { client, seen } = await clientOf(answering, {
      middleware: [(request, next) => next({ ...request, url: `${other.url}/steal` })],
    });
    await expect(run(client)).rejects.toMatchObject({ code: 'CONFIG', executed: 'no' });
    expect([...seen, ...other.seen]).toHaveLength(0);
  });

  it('may answer itself', async () => {
    const own: Middleware = async () =>
      Response.json({ ...me, jsonrpc: '2.0', id: '1', error: { code: 1, message: '' } });
    const { client, seen } = await clientOf(answering, { middleware: [own] });
    const raw = await run(client).raw();
    expect(await raw.json()).toMatchObject(me);
    expect(seen).toHaveLength(0);
  });
});

describe('middleware after `next`', () => {
  const failures: [string, Middleware][] = [
    [
      'throws what looks like a refused connection',
      async (_request, next) => {
        await next();
        throw Object.assign(new Error('s3cret'), { code: 'ECONNREFUSED', syscall: 'connect' });
      },
    ],
    [
      'throws before the answer is there',
      async (_request, next) => {
        void next();
        throw new Error('s3cret');
      },
    ],
    [
      'calls next twice',
      async (_request, next) => {
        await next();
        return next();
      },
    ],
    [
      'returns no Response',
      async (_request, next) => {
        await next();
        return undefined as unknown as Response;
      },
    ],
    [
      'has read the body',
      async (_request, next) => {
        const response = await next();
        await response.text();
        return response;
      },
    ],
  ];

  it.each(failures)('that %s leaves a call in doubt, and it is not sent again', async (_, each) => {
    const { client, seen } = await clientOf(answering, { middleware: [each] });
    const error = await client.executeForUser('alice', 'echo').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(JSON.stringify(error)).not.toContain('s3cret');
    expect(seen.filter((s) => s.json.method === 'tools/call').length).toBeLessThanOrEqual(1);
  });

  it.each(failures)('that %s is sent again under the same key where the server promises', async (_, each) => {
    const { client, seen } = await clientOf(promising, {
      middleware: [
        (request, next, context) =>
          context.operation !== 'probe' && context.attempt === 1 ? each(request, next, context) : next(),
      ],
    });
    const result = await client.executeForUser('alice', 'echo', {}, { deadline: 10_000 });
    expect(result.text()).toBe('x');
    const calls = seen.filter((s) => s.json.method === 'tools/call');
    // One whose answer nobody waits for may be cut off before it arrives.
    expect(calls.at(-1)?.headers['x-retry-count']).toBe('1');
    expect(calls.length).toBeLessThanOrEqual(2);
    expect(new Set(calls.map((s) => s.headers['idempotency-key'])).size).toBe(1);
  });

  it('is told by the error of the transport when that failed, whatever it throws then', async () => {
    const masks: Middleware = async (_request, next) => {
      try {
        return await next();
      } catch {
        throw new Error('own words', { cause: { code: 'ECONNRESET' } });
      }
    };
    const refused = await clientOf(answering, {
      baseUrl: `http://127.0.0.1:${await closedPort()}`,
      middleware: [masks],
      maxRetries: 0,
    });
    await expect(refused.client.executeForUser('a', 't')).rejects.toMatchObject({ sent: 'no', executed: 'no' });
    const cut = await clientOf((_, r) => reset(r), { middleware: [masks], maxRetries: 0 });
    await expect(cut.client.me()).rejects.toBeInstanceOf(ConnectionError);
    await expect(cut.client.executeForUser('a', 't')).rejects.toBeInstanceOf(OutcomeUnknownError);
  });
});

describe('middleware', () => {
  it('is around the question for a promise of idempotency too', async () => {
    const told: string[] = [];
    const { client, seen } = await clientOf(
      (s, r) => (s.json.method === 'ping' ? rpcResult(s, r, {}) : failWith(502)(s, r, 0)),
      {
        middleware: [
          (request, next, { operation, path }) => {
            told.push(`${operation} ${path}`);
            return next(withHeader(request, 'x-signed', 'yes'));
          },
        ],
      },
    );
    await client.executeForUser('alice', 'echo').safe();
    expect(told).toEqual(['execute /mcp', 'probe /mcp']);
    expect(seen.map((s) => s.headers['x-signed'])).toEqual(['yes', 'yes']);
  });

  it('is around what official MCP clients send through mcp.fetch', async () => {
    const { client, seen, url } = await clientOf(answering, {
      middleware: [(request, next) => next(withHeader(request, 'x-signed', 'yes'))],
    });
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
    const response = await client.forUser('alice').mcp.fetch(`${url}/mcp`, { method: 'POST', body });
    expect(response.status).toBe(200);
    expect(seen[0]?.headers['x-signed']).toBe('yes');
  });

  it.each([{}, 'x', [1]])('must be a list of functions: %j', async (middleware) => {
    await expect(clientOf(answering, { middleware: middleware as never })).rejects.toMatchObject({ code: 'CONFIG' });
  });
});

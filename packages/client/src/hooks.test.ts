// What observers of a client hear: every request and how it ended, every retry and every failure; and that nothing they do reaches the call.
import { describe, expect, it } from 'vitest';
import type { FailureEvent, Hooks, RequestEvent, ResponseEvent, RetryEvent } from './index.ts';
import { clientOf, failWith, json, reset, rpcResult, textResult } from './stand-in.test-support.ts';

const me = { keyId: null, kind: 'ent' };
const promise = { 'valet-idempotency': 'ttl=86400, epoch="e1", durable' };

type Heard = [string, RequestEvent | ResponseEvent | RetryEvent | FailureEvent];

/** Hooks that write everything down, in order. */
function recorder(): { heard: Heard[]; hooks: Hooks } {
  const heard: Heard[] = [];
  const note = (name: string) => (event: Heard[1]) => void heard.push([name, event]);
  const hooks = { request: note('request'), response: note('response'), retry: note('retry'), error: note('error') };
  return { heard, hooks };
}

describe('hooks', () => {
  it('tell every request, how it ended, and why it is sent again', async () => {
    const { heard, hooks } = recorder();
    const { client } = await clientOf(
      (s, r, n) =>
        n === 1
          ? failWith(502, { ...promise, 'retry-after-ms': '1', 'x-request-id': 'req_1' })(s, r, n)
          : rpcResult(s, r, textResult('x'), promise),
      { hooks, server: 'srv 1' },
    );
    const { meta } = await client.executeForUser('alice', 'echo').withMeta();
    const of = {
      operation: 'execute',
      method: 'POST',
      path: '/mcp/{serverId}',
      idempotencyKey: meta.idempotencyKey,
    };
    expect(heard).toEqual([
      ['request', { ...of, attempt: 1 }],
      [
        'response',
        {
          ...of,
          attempt: 1,
          status: 502,
          code: 'UPSTREAM_ERROR',
          requestId: 'req_1',
          durationMs: expect.any(Number) as number,
          bytes: 18,
        },
      ],
      [
        'retry',
        {
          ...of,
          attempt: 1,
          reason: 'lost',
          delayMs: expect.any(Number) as number,
          code: 'UPSTREAM_ERROR',
          status: 502,
          requestId: 'req_1',
        },
      ],
      ['request', { ...of, attempt: 2 }],
      ['response', expect.objectContaining({ ...of, attempt: 2, status: 200, code: undefined }) as ResponseEvent],
    ]);
  });

  it('tell a call that ends with an error once, after its last request', async () => {
    const { heard, hooks } = recorder();
    const { client } = await clientOf(failWith(503, { 'retry-after-ms': '1' }), { hooks, maxRetries: 1 });
    await expect(client.users.get('alice')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(heard.map(([name]) => name)).toEqual(['request', 'response', 'retry', 'request', 'response', 'error']);
    expect(heard.at(-1)?.[1]).toEqual({
      operation: 'users.get',
      method: 'GET',
      path: '/users/{username}',
      name: 'UnavailableError',
      code: 'UNAVAILABLE',
      status: 503,
      requestId: undefined,
      attempts: 2,
      durationMs: expect.any(Number) as number,
      retryable: true,
      executed: 'no',
      retryAfterMs: 1,
    });
  });

  it('tell the end of a request that got no answer by the code of its error', async () => {
    const { heard, hooks } = recorder();
    const { client } = await clientOf((_, r) => reset(r), { hooks, maxRetries: 0 });
    await client.me().safe();
    expect(heard[1]).toEqual([
      'response',
      expect.objectContaining({ code: 'CONNECTION', status: undefined, bytes: undefined }) as ResponseEvent,
    ]);
  });

  it('tell a call that never left: a closed client, a refusal in front of the limit', async () => {
    const { heard, hooks } = recorder();
    const rateLimit = { mode: 'reject', quota: { limit: 1, windowMs: 60_000 } } as const;
    const { client } = await clientOf((s, r) => rpcResult(s, r, textResult('x')), { hooks, rateLimit });
    await client.executeForUser('alice', 'echo');
    await client.executeForUser('alice', 'echo').safe();
    await client.close();
    await client.me().safe();
    const failures = heard.filter(([name]) => name === 'error').map(([, event]) => event as FailureEvent);
    expect(failures.map(({ code, attempts }) => [code, attempts])).toEqual([
      ['RATE_LIMITED', 0],
      ['CONFIG', 0],
    ]);
  });

  it('get events that cannot be changed', async () => {
    const { heard, hooks } = recorder();
    const { client } = await clientOf(failWith(503, { 'retry-after-ms': '1' }), { hooks, maxRetries: 1 });
    await client.me().safe();
    expect(new Set(heard.map(([name]) => name)).size).toBe(4);
    for (const [, event] of heard) expect(Object.isFrozen(event)).toBe(true);
  });

  it('that throw, or reject, are logged by name and end nothing', async () => {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    const fail = () => {
      throw new RangeError('secret text');
    };
    const rejects = (async () => fail()) as () => void;
    const { client } = await clientOf(
      (_, r, n) => (n === 1 ? failWith(503)(undefined as never, r, n) : json(r, 200, me)),
      {
        hooks: { request: rejects, response: fail, retry: fail },
        logger: { debug: write, info: write, warn: write, error: write },
      },
    );
    expect(await client.me()).toEqual(me);
    await new Promise((resolve) => setImmediate(resolve));
    expect(lines.filter((line) => line.includes('hooks.'))).toHaveLength(5);
    expect(lines.join()).toContain('hooks.request threw RangeError');
    expect(lines.join()).not.toContain('secret text');
  });
});

describe('appInfo', () => {
  it('stands behind the SDK in User-Agent', async () => {
    const { client, seen } = await clientOf((_, r) => json(r, 200, me), {
      appInfo: { name: 'acme-crm', version: '2.0' },
    });
    await client.me();
    await client.withOptions({ appInfo: { name: 'acme' } }).me();
    expect(seen.map((s) => s.headers['user-agent'])).toEqual([
      expect.stringMatching(/^mcp-valet-client\/\S+ acme-crm\/2\.0$/),
      expect.stringMatching(/^mcp-valet-client\/\S+ acme$/),
    ]);
  });

  it.each([{ name: '' }, { name: 'a b' }, { name: 'a\r\nx: y' }, { name: 'a', version: '1 0' }, {}, null])(
    'is refused when it is not plain words: %j',
    async (appInfo) => {
      await expect(clientOf(() => undefined, { appInfo: appInfo as never })).rejects.toMatchObject({ code: 'CONFIG' });
    },
  );
});

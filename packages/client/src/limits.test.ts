// The bounds of one call: redirects, time, aborts, credentials, sizes, and the end of the client.
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import {
  AbortError,
  AuthenticationError,
  ConflictError,
  ConnectionError,
  type MCPClient,
  RedirectError,
  ResponseError,
  ServerError,
  UnavailableError,
} from './index.ts';
import { clientOf, failWith, type Handler, json, reset, standIn, textResult } from './stand-in.test-support.ts';

const me = { keyId: null, kind: 'ent' };
const run = (client: MCPClient) => client.executeForUser('alice', 'echo', { a: 1 });
const keysOf = (seen: readonly { headers: Record<string, unknown> }[]) => seen.map((s) => s.headers['idempotency-key']);

describe('redirects', () => {
  it.each([301, 302, 303, 307, 308])('are never followed, nor retried: %d', async (status) => {
    const target = await standIn((_, r) => json(r, 200, me));
    const { client, seen } = await clientOf((_, r) => void r.writeHead(status, { location: `${target.url}/x` }).end());
    await expect(client.me()).rejects.toBeInstanceOf(RedirectError);
    await expect(run(client)).rejects.toBeInstanceOf(RedirectError);
    expect(seen).toHaveLength(2);
    expect(target.seen).toHaveLength(0);
  });
});

describe('time', () => {
  it('ends an attempt whose head or body stalls', async () => {
    const stalls: Handler[] = [() => undefined, (_, r) => void r.writeHead(200, { 'content-length': '9' }).write('{')];
    for (const stall of stalls) {
      const { client } = await clientOf(stall, { timeout: 100, maxRetries: 0 });
      const before = performance.now();
      await expect(client.me()).rejects.toMatchObject({ name: 'TimeoutError', kind: 'attempt' });
      expect(performance.now() - before).toBeLessThan(2_000);
    }
  });

  it('ends the whole call at its deadline', async () => {
    const { client } = await clientOf(() => undefined, { timeout: 5000, deadline: 150 });
    await expect(client.me()).rejects.toMatchObject({ name: 'TimeoutError', kind: 'deadline' });
  });

  it('does not start a retry that cannot fit into the deadline', async () => {
    const { client, seen } = await clientOf(failWith(503, { 'retry-after': '50' }), { deadline: 10_000 });
    const before = performance.now();
    await expect(client.me()).rejects.toBeInstanceOf(UnavailableError);
    expect(performance.now() - before).toBeLessThan(5_000);
    expect(seen).toHaveLength(1);
  });

  it('times a token function that hangs, and knows that nothing was sent', async () => {
    const { client, seen } = await clientOf(() => undefined, {
      apiKey: () => new Promise<string>(() => undefined),
      timeout: 100,
    });
    await expect(run(client)).rejects.toMatchObject({ name: 'TimeoutError', executed: 'no' });
    expect(seen).toHaveLength(0);
  });

  it('keeps a stream alive as long as progress comes, up to the deadline', async () => {
    const beat: Handler = (s, r) => {
      const token = s.json.params._meta.progressToken;
      r.writeHead(200, { 'content-type': 'text/event-stream' });
      let n = 0;
      const timer = setInterval(() => {
        const message = {
          jsonrpc: '2.0',
          method: 'notifications/progress',
          params: { progressToken: token, progress: ++n },
        };
        r.write(`data: ${JSON.stringify(message)}\n\n`);
        if (n < 5) return;
        clearInterval(timer);
        r.end(`data: ${JSON.stringify({ jsonrpc: '2.0', id: s.json.id, result: textResult('done') })}\n\n`);
      }, 350);
    };
    const { client } = await clientOf(beat, { timeout: 1_400 });
    const heard: number[] = [];
    const result = await client.executeForUser('a', 'slow', {}, { onProgress: (p) => heard.push(p.progress) });
    expect(result.text()).toBe('done');
    expect(heard).toEqual([1, 2, 3, 4, 5]);
    await expect(
      client.executeForUser('a', 'slow', {}, { onProgress: () => undefined, deadline: 700 }),
    ).rejects.toMatchObject({ name: 'OutcomeUnknownError', details: { code: 'TIMEOUT' } });
  });
});

describe('abort', () => {
  it('ends at once in the head, the body and the wait, and leaves no listener', async () => {
    const phases: Handler[] = [
      () => undefined,
      (_, r) => void r.writeHead(200, { 'content-length': '9' }).write('{'),
      failWith(503, { 'retry-after': '20' }),
    ];
    for (const phase of phases) {
      const { client } = await clientOf(phase);
      const controller = new AbortController();
      const call = client.me({ signal: controller.signal });
      setTimeout(() => controller.abort(new Error('enough')), 100);
      const before = performance.now();
      const error = await call.catch((e: unknown) => e);
      expect(error).toBeInstanceOf(AbortError);
      expect((error as AbortError).cause).toMatchObject({ message: 'enough' });
      expect(performance.now() - before).toBeLessThan(2_000);
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    }
  });

  it('says with which key the result of a running call can be had', async () => {
    const { client, seen } = await clientOf(() => undefined);
    const controller = new AbortController();
    const call = client.executeForUser('a', 't', {}, { signal: controller.signal }).catch((e: unknown) => e);
    await expect.poll(() => seen.length).toBe(1);
    controller.abort();
    const error = await call;
    expect(error).toMatchObject({ name: 'AbortError', executed: 'unknown', idempotencyKey: keysOf(seen)[0] });
  });

  it('sends nothing for a signal that has already fired', async () => {
    const { client, seen } = await clientOf(() => undefined);
    await expect(client.executeForUser('a', 't', {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
      executed: 'no',
    });
    expect(seen).toHaveLength(0);
  });

  it('leaves no listener on a signal used for many calls', async () => {
    const { client } = await clientOf((_, r) => json(r, 200, me));
    const { signal } = new AbortController();
    for (let i = 0; i < 200; i++) await client.me({ signal });
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('credentials', () => {
  it('asks a token function for every attempt and once more after 401', async () => {
    let n = 0;
    const { client, seen } = await clientOf(
      (s, r) => (s.headers.authorization === 'Bearer token-2' ? json(r, 200, me) : json(r, 401, {})),
      { apiKey: async () => `token-${++n}` },
    );
    expect(await client.me()).toEqual(me);
    expect(seen.map((s) => s.headers.authorization)).toEqual(['Bearer token-1', 'Bearer token-2']);
  });

  it('does not ask twice, nor repeat 401 with a fixed key', async () => {
    const fixed = await clientOf((_, r) => json(r, 401, {}));
    await expect(fixed.client.me()).rejects.toBeInstanceOf(AuthenticationError);
    expect(fixed.seen).toHaveLength(1);
    const asked = await clientOf((_, r) => json(r, 401, {}), { apiKey: () => 'token-x' });
    await expect(asked.client.me()).rejects.toBeInstanceOf(AuthenticationError);
    expect(asked.seen).toHaveLength(2);
  });
});

describe('bounds', () => {
  it('refuses an answer over the limit and does not read it to its end', async () => {
    const { client } = await clientOf((_, r) => void r.writeHead(200).end('x'.repeat(2_000_000)), {
      maxResponseBytes: 1000,
    });
    await expect(client.me()).rejects.toMatchObject({ name: 'ResponseError', code: 'ANSWER_TOO_LARGE', attempts: 1 });
  });

  it('reads at most 64 KiB of an error', async () => {
    const { client } = await clientOf((_, r) => void r.writeHead(404).end('x'.repeat(5_000_000)));
    const raw = await client.me().raw();
    expect((await raw.arrayBuffer()).byteLength).toBe(65_536);
  });

  it('stops retrying when most of the traffic fails, and says so through the attempts', async () => {
    const { client, seen } = await clientOf(failWith(500));
    for (let i = 0; i < 40; i++) await client.me().safe();
    expect(seen.length).toBeLessThan(40 + 500 / 14 + 1);
    expect(seen.length).toBeGreaterThan(40);
  });
});

describe('close', () => {
  it('ends waits and refuses new calls, and lets a request in flight finish', async () => {
    let answer = (): void => undefined;
    const { client, seen } = await clientOf((s, r, n) => {
      if (n === 1) return failWith(503, { 'retry-after': '20' })(s, r, n);
      answer = () => json(r, 200, me);
    });
    const waiting = client.me();
    const handled = expect(waiting).rejects.toBeInstanceOf(UnavailableError);
    await expect.poll(() => seen.length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const flying = client.me();
    await expect.poll(() => seen.length).toBe(2);
    await client.close();
    await handled;
    answer();
    expect(await flying).toEqual(me);
    await expect(client.me()).rejects.toMatchObject({ name: 'ConfigError', message: 'The client is closed' });
  });
});

describe('an unexpected class', () => {
  it('is never hidden: conflict, garbage and internal errors keep their names', async () => {
    const cases: [Handler, new (...args: never[]) => Error][] = [
      [(_, r) => json(r, 409, { error: { code: 'CONFLICT', message: 'taken' }, requestId: 'r' }), ConflictError],
      [(_, r) => json(r, 200, ['no object']), ResponseError],
      [(_, r) => json(r, 500, { error: { code: 'INTERNAL_ERROR', message: 'x' }, requestId: 'r' }), ServerError],
      [(_, r) => reset(r), ConnectionError],
    ];
    for (const [handler, type] of cases) {
      const { client } = await clientOf(handler, { maxRetries: 0 });
      await expect(client.me()).rejects.toBeInstanceOf(type);
    }
  });
});

// Time: what each limit covers, an abort in every phase of a call, and that nothing is left behind by calls that ended.
import { spawn } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { AbortError, MCPClient, OutcomeUnknownError, TimeoutError } from './index.ts';
import { resolveOptions } from './options.ts';
import { toolCall } from './rpc.ts';
import {
  clientOf,
  failWith,
  type Handler,
  json,
  reset,
  rpcResult,
  standIn,
  textResult,
} from './stand-in.test-support.ts';
import { Transport } from './transport.ts';

const base = { baseUrl: 'http://127.0.0.1:9', apiKey: 'k' };
const durable = { 'valet-idempotency': 'ttl=86400, epoch="e1", durable' };

describe('the limits of a call', () => {
  const plan = (options: object, tool = 'echo', args: object = {}) => {
    const { timeoutMs, deadlineMs } = toolCall(new Transport(resolveOptions(base)), 'a', tool, args, options);
    return { timeoutMs, deadlineMs };
  };

  it('are longer than those of the gateway, and the deadline leaves room for the answer of a last attempt', () => {
    expect(plan({})).toEqual({ timeoutMs: 45_000, deadlineMs: 120_000 });
    expect(plan({ timeout: 200_000 })).toEqual({ timeoutMs: 200_000, deadlineMs: 215_000 });
    expect(plan({ deadline: false })).toEqual({ timeoutMs: 45_000, deadlineMs: undefined });
    expect(plan({ deadline: 1000 })).toEqual({ timeoutMs: 45_000, deadlineMs: 1000 });
  });

  it('follow the time that an action is given, which an explicit timeout overrides', () => {
    const long = { timeout: 300_000 };
    expect(plan({}, 'execute_action_alloy', long)).toEqual({ timeoutMs: 315_000, deadlineMs: 330_000 });
    expect(plan({ timeout: 1000 }, 'execute_action_alloy', long).timeoutMs).toBe(1000);
    // Any other tool may have an argument of that name.
    expect(plan({}, 'wait', long).timeoutMs).toBe(45_000);
  });

  /** Sends a byte now and then and never ends. */
  const drips: Handler = (_, r) => {
    r.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => r.write(' '), 20);
    r.on('close', () => clearInterval(timer));
  };

  it('cover a body that keeps coming and never ends', async () => {
    const { client } = await clientOf(drips, { timeout: 150, maxRetries: 0 });
    await expect(client.me()).rejects.toMatchObject({ name: 'TimeoutError', kind: 'attempt' });
    await expect(client.me({ timeout: 5000, deadline: 150 })).rejects.toMatchObject({ kind: 'deadline' });
  });

  it('cover every attempt and wait together: a call that may have run ends as unknown when the deadline comes', async () => {
    const { client, seen } = await clientOf(failWith(502, { ...durable, 'retry-after-ms': '600' }), {
      deadline: 2_500,
      maxRetries: 100,
      timeout: 2_000,
    });
    const error = await client.executeForUser('a', 't').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(seen.length).toBeGreaterThan(1);
    expect(seen.length).toBeLessThanOrEqual(5);
  });

  it('say that nothing ran when they end before anything was sent', async () => {
    const { client, seen } = await clientOf((_, r) => json(r, 200, {}), {
      apiKey: () => new Promise<string>(() => undefined),
      deadline: 50,
    });
    const error = await client.executeForUser('a', 't').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject({ kind: 'deadline', executed: 'no' });
    expect(seen).toHaveLength(0);
  });
});

describe('an abort', () => {
  const running = { error: { code: 'IDEMPOTENCY_IN_PROGRESS', message: 'running' }, requestId: 'req_1' };
  const phases: Record<string, { handler: Handler; executed: 'no' | 'unknown'; apiKey?: () => Promise<string> }> = {
    'while the key is fetched': {
      handler: (_, r) => reset(r),
      apiKey: () => new Promise<string>(() => undefined),
      executed: 'no',
    },
    'before the head': { handler: () => undefined, executed: 'unknown' },
    'in the body': {
      handler: (_, r) => void r.writeHead(200, { 'content-length': '9' }).write('{'),
      executed: 'unknown',
    },
    'in a stream': {
      handler: (_, r) => void r.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n'),
      executed: 'unknown',
    },
    'between two attempts': { handler: failWith(502, { ...durable, 'retry-after': '20' }), executed: 'unknown' },
    'while the first attempt is polled': {
      handler: (_, r) => json(r, 409, running, { 'retry-after': '20' }),
      executed: 'unknown',
    },
  };
  for (const [phase, { handler, executed, apiKey }] of Object.entries(phases)) {
    it(`${phase} ends the call, keeps the reason and the key, and leaves no listener`, async () => {
      const { client } = await clientOf(handler, { timeout: 60_000, ...(apiKey && { apiKey }) });
      const controller = new AbortController();
      const call = client.executeForUser('a', 't', {}, { signal: controller.signal });
      setTimeout(() => controller.abort(new Error('enough')), 80);
      const error = await call.catch((e: unknown) => e);
      expect(error).toBeInstanceOf(AbortError);
      expect(error).toMatchObject({ executed, cause: { message: 'enough' } });
      expect((error as AbortError).idempotencyKey).toMatch(/^[0-9a-f]{32}$/);
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    });
  }

  it('finds no listener of 10,000 calls that shared the signal, whether they succeeded, failed or were retried', async () => {
    const { signal } = new AbortController();
    let sent = 0;
    // Stands for the network only: it listens to what it is given, as every fetch does.
    const fetch: typeof globalThis.fetch = async (_url, init) => {
      init?.signal?.addEventListener('abort', () => undefined);
      const count = ++sent;
      if (count % 5 === 0) return new Response('{}', { status: 403 });
      if (count % 7 === 0)
        return new Response('{}', { status: 503, headers: { 'retry-after-ms': '0', 'x-should-retry': 'true' } });
      const { id } = JSON.parse(init?.body as string) as { id: string };
      return Response.json({ jsonrpc: '2.0', id, result: textResult('ok') });
    };
    const user = new MCPClient({ ...base, fetch, logLevel: 'off' }).forUser('alice', { signal });
    let succeeded = 0;
    for (let round = 0; round < 1000; round++) {
      const results = await Promise.all(Array.from({ length: 10 }, () => user.execute('echo').safe()));
      succeeded += results.filter(({ ok }) => ok).length;
      // Calls in flight hold one each, and those that ended hold none.
      expect(getEventListeners(signal, 'abort').length).toBe(0);
    }
    expect(sent).toBeGreaterThan(10_000);
    expect(succeeded).toBeGreaterThan(5_000);
  });
});

describe('fifty calls in flight on one signal', () => {
  it('put one listener on it, which hears for all, and make Node warn of nothing', async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error) => warnings.push(warning.name);
    process.on('warning', onWarning);
    const controller = new AbortController();
    const { client, seen } = await clientOf(() => undefined, { rateLimit: false });
    const calls = Array.from({ length: 50 }, (_, i) =>
      client.executeForUser(`u${i}`, 't', {}, { signal: controller.signal }).safe(),
    );
    await vi.waitUntil(() => seen.length === 50, { timeout: 20_000 });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    controller.abort();
    const ends = await Promise.all(calls);
    expect(ends.map((end) => !end.ok && end.error.name)).toEqual(calls.map(() => 'AbortError'));
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    // Node tells of them in a later turn.
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });
});

describe('a script that is done', () => {
  it('ends by itself, though the client was not closed and a call was given minutes', async () => {
    const server = await standIn((s, r) => rpcResult(s, r, textResult('ok')));
    const entry = fileURLToPath(new URL('./index.ts', import.meta.url));
    const script = `import(${JSON.stringify(entry)}).then(async ({ MCPClient }) => {
      const client = new MCPClient({ baseUrl: ${JSON.stringify(server.url)}, apiKey: 'k' });
      const result = await client.executeForUser('a', 't', {}, { timeout: 300000 });
      process.stdout.write(result.text());
    });`;
    const child = spawn(process.execPath, ['--conditions=@mcp-valet/source', '--import', 'tsx', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let printed = '';
    child.stdout.on('data', (data: Buffer) => {
      printed += String(data);
    });
    const code = await new Promise((resolve) => child.on('exit', resolve));
    expect([code, printed]).toEqual([0, 'ok']);
  });
});

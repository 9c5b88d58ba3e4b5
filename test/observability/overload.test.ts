// What sheds load: a late event loop, a full heap, bodies in memory, calls of one connector. 503 with Retry-After in the dialect of the route, health
// and metrics answered all the same, and over when the cause is. The database breaker is tested in test/durability/outages.
import { request } from 'node:http';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installOverload, type Overload, type Reading, strainOf } from '../../packages/server/src/http/overload.ts';
import { installErrorReplies } from '../../packages/server/src/http/reply-error.ts';
import { createLog } from '../../packages/server/src/log.ts';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';

const token = 'metrics-token-of-a-test-0f3a9c7e51';
const calm: Reading = { loopDelayMs: 5, heapUsed: 10, heapLimit: 100 };

describe('a gateway that cannot keep up', () => {
  let reading = calm;
  /** What the next look finds, where it is not `reading`. */
  let look: (() => Reading) | undefined;
  let rig: Rig;
  let fixtures: Fixtures;
  beforeAll(async () => {
    rig = await startRig({
      readLoad: () => look?.() ?? reading,
      env: { VALET_METRICS_TOKEN: token, VALET_CONCURRENT_CALLS: '1000', VALET_RATE_LIMIT: '10000' },
    });
    fixtures = await addFixtures(rig);
  });
  afterAll(async () => {
    await rig?.close();
    await fixtures?.close();
  });
  const me = () => rig.send('/api/me', { key: rig.admin });

  it.each([
    ['event loop', { ...calm, loopDelayMs: 600 }],
    ['heap', { ...calm, heapUsed: 81 }],
  ])(
    'turns requests away while its %s is strained, says when to come again, and stops with the strain',
    async (_, strained) => {
      reading = strained;
      await expect.poll(async () => (await me()).status).toBe(503);
      const rest = await me();
      expect([rest.headers.get('retry-after'), rest.body.error.code]).toEqual(['1', 'UNAVAILABLE']);
      const rpc = await rig.rpc(
        `/mcp/${fixtures.home.server.serverId}`,
        { method: 'ping' },
        { key: fixtures.home.admin },
      );
      expect([rpc.status, rpc.headers.get('retry-after'), rpc.body.jsonrpc, rpc.body.error.data.code]).toEqual([
        503,
        '1',
        '2.0',
        'UNAVAILABLE',
      ]);
      for (const path of ['/healthz', '/readyz']) expect((await rig.send(path)).status).toBe(200);
      expect((await rig.send('/metrics', { key: token })).text).toMatch(
        /valet_overload_refusals_total\{reason="\w+"\} [1-9]/,
      );
      reading = calm;
      await expect.poll(async () => (await me()).status).toBe(200);
    },
  );

  it('is not turned away by one long turn of the event loop', async () => {
    let looks = 0;
    // Late in every other look, so never twice in a row.
    look = () => ({ ...calm, loopDelayMs: looks++ % 2 === 0 ? 900 : 5 });
    const seen: number[] = [];
    try {
      for (const end = performance.now() + 30_000; looks < 8 && performance.now() < end; ) {
        seen.push((await me()).status);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    } finally {
      look = undefined;
    }
    expect(looks).toBeGreaterThanOrEqual(8);
    expect(new Set(seen)).toEqual(new Set([200]));
  });

  it('runs 200 calls of one connector at once and refuses the next, while others are called', async () => {
    for (const connectorId of ['first', 'second'])
      await rig.manage('POST', '/api/connectors', { connectorId, kind: 'mcp-http', url: fixtures.upstream.url });
    const call = (serverName: string, ms: number) =>
      rig.send('/mcp/tool/call', { key: rig.admin, body: { serverName, methodName: 'slow', args: { ms } } });
    expect([(await call('first', 0)).status, (await call('second', 0)).status]).toEqual([200, 200]);
    // 199 places are held by hand: as many real calls would take a busy machine longer than any of them lasts.
    const { limits } = rig.gateway.gateway.parts;
    const places = Array.from({ length: 199 }, () => limits.enterConnector(fixtures.home.accountId, 'first'));
    const executed = () => fixtures.upstream.methods().get('tools/call') ?? 0;
    const before = executed();
    const last = call('first', 3_000);
    await expect.poll(executed).toBe(before + 1);
    const refused = await call('first', 0);
    expect([refused.status, refused.headers.get('retry-after'), executed()]).toEqual([503, '1', before + 1]);
    expect((await call('second', 0)).status).toBe(200);
    expect((await last).status).toBe(200);
    expect((await call('first', 0)).status).toBe(200);
    for (const leave of places) leave();
  });
});

describe('bodies in memory', () => {
  let app: FastifyInstance;
  let overload: Overload;
  let port: number;
  const waiting: (() => void)[] = [];
  beforeAll(async () => {
    app = Fastify({ bodyLimit: 10_000 });
    const log = createLog({ logLevel: 'silent' });
    installErrorReplies(app, log);
    overload = installOverload(app, { isDatabaseReachable: () => true, log, read: () => calm, maxBodyBytes: 20_000 });
    app.post('/keep', async () => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return { ok: true };
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    port = (app.server.address() as { port: number }).port;
  });
  afterAll(() => app?.close());

  const post = (bytes: number, isChunked: boolean) =>
    new Promise<{ status: number; retryAfter: string | undefined }>((resolve, reject) => {
      const body = JSON.stringify({ text: 'x'.repeat(bytes - 11) });
      const headers = { 'content-type': 'application/json', ...(!isChunked && { 'content-length': body.length }) };
      const sent = request({ host: '127.0.0.1', port, path: '/keep', method: 'POST', headers }, (response) => {
        response
          .resume()
          .on('end', () => resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] }));
      });
      sent.on('error', reject);
      if (isChunked) for (let at = 0; at < body.length; at += 1_000) sent.write(body.slice(at, at + 1_000));
      sent.end(isChunked ? undefined : body);
    });

  it.each([false, true])(
    'are refused beyond their share and given back when the answer is sent (chunked: %s)',
    async (isChunked) => {
      const held = [post(9_000, isChunked), post(9_000, isChunked)];
      await expect.poll(() => waiting.length).toBe(2);
      expect(overload.bodyBytes).toBe(18_000);
      expect(await post(9_000, isChunked)).toEqual({ status: 503, retryAfter: '1' });
      const small = post(1_000, isChunked);
      await expect.poll(() => waiting.length).toBe(3);
      for (const release of waiting.splice(0)) release();
      expect((await Promise.all([...held, small])).map(({ status }) => status)).toEqual([200, 200, 200]);
      await expect.poll(() => overload.bodyBytes).toBe(0);
    },
  );

  it('are given back when the sender goes away', async () => {
    const sent = request({
      host: '127.0.0.1',
      port,
      path: '/keep',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    sent.on('error', () => undefined);
    sent.write('{"text":"');
    sent.write('x'.repeat(5_000));
    await expect.poll(() => overload.bodyBytes).toBeGreaterThan(4_000);
    sent.destroy();
    await expect.poll(() => overload.bodyBytes).toBe(0);
  });
});

describe('strain', () => {
  it('begins above 500 ms of delay or 80 % of the heap', () => {
    expect(strainOf({ ...calm, loopDelayMs: 500, heapUsed: 80 })).toBeUndefined();
    expect(strainOf({ ...calm, loopDelayMs: 501 })).toBe('event_loop');
    expect(strainOf({ ...calm, heapUsed: 81 })).toBe('heap');
    // Before the first sample.
    expect(strainOf({ ...calm, loopDelayMs: Number.NaN })).toBeUndefined();
  });
});

describe('a database that the breaker has given up on', () => {
  it('turns requests away before sign-in, and health and metrics are answered', async () => {
    const log = createLog({ logLevel: 'silent' });
    const app = Fastify();
    installErrorReplies(app, log);
    const overload = installOverload(app, { isDatabaseReachable: () => false, log, read: () => calm });
    for (const url of ['/api/me', '/healthz', '/readyz', '/metrics']) app.get(url, async () => ({ ok: true }));
    const status = async (url: string) => (await app.inject({ url })).statusCode;
    try {
      expect([await status('/api/me'), await status('/healthz')]).toEqual([503, 200]);
      expect([await status('/readyz'), await status('/metrics')]).toEqual([200, 200]);
      expect(overload.refused.get('database')).toBe(1);
    } finally {
      await app.close();
    }
  });
});

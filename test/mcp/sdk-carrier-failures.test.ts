// What a failing upstream means to a call that needs a session: which failure, whether the tool may have run, and that nothing stays open.
// Speaks to real fixture upstreams without a gateway around it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostileUpstream, startHostileUpstream } from '../support/hostile-upstream.ts';
import {
  connectorAt,
  failureOf,
  methodOf,
  secret,
  startCarrier,
  startUpstream,
  toolCall,
  upstreamFor,
  within,
} from './carrier-fixture.ts';

let hostile: HostileUpstream;

beforeAll(async () => {
  hostile = await startHostileUpstream();
});
afterAll(() => hostile.close());

describe('failures', () => {
  it.each([
    [401, 'unauthorized', 'no'],
    [403, 'forbidden', 'no'],
    [429, 'rate_limited', 'no'],
    [500, 'broken', 'unknown'],
    [503, 'broken', 'unknown'],
  ] as const)('status %i of a call is %s, executed: %s', async (status, kind, executed) => {
    const upstream = await startUpstream({
      intercept: (request) =>
        methodOf(request) === 'tools/call'
          ? new Response('no', { status, headers: { 'retry-after': '7' } })
          : undefined,
    });
    const failure = await failureOf(
      startCarrier().request(upstreamFor('ada', connectorAt(upstream.url)), toolCall('test_simple_text')),
    );
    expect(failure).toMatchObject({ kind, executed, status });
    if (status === 429) expect(failure.retryAfterMs).toBe(7_000);
  });

  it.each([
    [401, 'unauthorized'],
    [500, 'broken'],
  ] as const)('status %i of the handshake is %s, and nothing was executed', async (status, kind) => {
    const upstream = await startUpstream({ intercept: () => new Response('no', { status }) });
    const failure = await failureOf(
      startCarrier().request(upstreamFor('ada', connectorAt(upstream.url)), toolCall('test_simple_text')),
    );
    expect(failure).toMatchObject({ kind, executed: 'no', status });
  });

  it('a closed port is unreachable, and nothing was executed', async () => {
    const failure = await failureOf(
      startCarrier().request(upstreamFor('ada', connectorAt('http://127.0.0.1:9/mcp')), toolCall('x')),
    );
    expect(failure).toMatchObject({ kind: 'unreachable', executed: 'no' });
  });

  it('a JSON-RPC error keeps its code and its scrubbed text', async () => {
    const upstream = await startUpstream();
    const failure = await failureOf(
      startCarrier().request(upstreamFor('ada', connectorAt(upstream.url)), toolCall(`no-such-${secret}`)),
    );
    expect(failure.rpc).toMatchObject({ code: -32602 });
    expect(failure.rpc?.message).toContain('no-such-[secret]');
  });

  it('a deadline is a timeout and a caller that is gone a cancellation, both of unknown outcome, and the tool hears of it', async () => {
    let [hasBegun, wasCancelled] = [0, 0];
    const upstream = await startUpstream({
      extend: (server) => {
        server.registerTool('wait', { description: 'Waits' }, (ctx) => {
          hasBegun++;
          return new Promise((resolve) => {
            ctx.mcpReq.signal.addEventListener('abort', () => {
              wasCancelled++;
              resolve({ content: [] });
            });
          });
        });
      },
    });
    const sdk = startCarrier();
    const ada = upstreamFor('ada', connectorAt(upstream.url));
    for (const [name, kind] of [
      ['TimeoutError', 'timeout'],
      ['AbortError', 'cancelled'],
    ] as const) {
      const before = hasBegun;
      const ends = new AbortController();
      const failing = failureOf(sdk.request(ada, toolCall('wait', {}, ends.signal)));
      await expect.poll(() => hasBegun).toBe(before + 1);
      ends.abort(new DOMException(kind, name));
      expect(await failing).toMatchObject({ kind, executed: 'unknown' });
    }
    await expect.poll(() => wasCancelled).toBe(2);
  });

  it.each(['wrongId', 'notJson', 'cutOff', 'sseWithoutAnswer'] as const)(
    'an answer that is %s fails long before the deadline',
    async (name) => {
      const answers: Record<typeof name, () => Response> = {
        wrongId: () => Response.json({ jsonrpc: '2.0', id: 987_654, result: { content: [] } }),
        notJson: () => new Response('<html>', { headers: { 'content-type': 'application/json' } }),
        cutOff: () => new Response('{"jsonrpc":"2.0","id":', { headers: { 'content-type': 'application/json' } }),
        sseWithoutAnswer: () => new Response(': nothing\n\n', { headers: { 'content-type': 'text/event-stream' } }),
      };
      const upstream = await startUpstream({
        intercept: (request) => (methodOf(request) === 'tools/call' ? answers[name]() : undefined),
      });
      const startedAt = performance.now();
      const failure = await failureOf(
        startCarrier().request(upstreamFor('ada', connectorAt(upstream.url)), toolCall('test_simple_text')),
      );
      expect(failure).toMatchObject({ kind: 'broken', executed: 'unknown' });
      expect(performance.now() - startedAt).toBeLessThan(7_000);
    },
  );

  it('a redirect is not followed', async () => {
    const target = await startUpstream();
    const upstream = await startUpstream({
      intercept: () => new Response(null, { status: 307, headers: { location: target.url } }),
    });
    const failure = await failureOf(
      startCarrier().request(upstreamFor('ada', connectorAt(upstream.url)), toolCall('test_simple_text')),
    );
    expect(failure.executed).toBe('no');
    expect(target.recorded).toEqual([]);
  });

  it.each(['huge-json', 'huge-sse', 'endless-sse', 'ping-forever', 'drip', 'silence', 'stall'] as const)(
    'an upstream that answers a call with %s is let go of, at the latest with the deadline',
    async (behaviour) => {
      const connector = connectorAt(hostile.urlFor(behaviour, 'tools/call'), { inject: null });
      const failure = await failureOf(
        startCarrier().request(upstreamFor('ada', connector), toolCall('any', {}, within(700))),
      );
      expect(['broken', 'timeout']).toContain(failure.kind);
      await expect.poll(() => hostile.open()).toBe(0);
    },
  );
});

// The raw carrier over real HTTP: exactly what leaves, for both eras.
import { envelopeKeys, modernVersion } from '@mcp-valet/shared';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { callOf, clientInfo, failureOf, rawCarrier, upstreamOf } from '../support/raw-upstream.ts';
import type { RecordedRequest } from '../support/recorded-request.ts';
import {
  type RecordingUpstream,
  type RecordingUpstreamOptions,
  startRecordingUpstream,
} from '../support/recording-upstream.ts';

const modern = { modern: true } as const;
const legacy = { modern: false, version: '2025-06-18' } as const;
const { egress, raw } = rawCarrier();
const opened: RecordingUpstream[] = [];
afterEach(async () => {
  for (const upstream of opened.splice(0)) await upstream.close();
});
afterAll(() => egress.close());

async function start(options: RecordingUpstreamOptions = {}): Promise<RecordingUpstream> {
  const upstream = await startRecordingUpstream({ record: true, modern: true, ...options });
  opened.push(upstream);
  return upstream;
}
const bodyOf = (request: RecordedRequest | undefined) =>
  JSON.parse(request?.body.toString() ?? 'null') as Record<string, unknown> & { id: number };
const textOf = (result: Record<string, unknown>): string => (result['content'] as { text: string }[])[0]?.text ?? '';

describe('a request of the modern era', () => {
  it('carries protocol headers that are computed from its body, and the envelope', async () => {
    const upstream = await start();
    const { result, status } = await raw.request(
      upstreamOf(upstream.url),
      {
        ...callOf('echo', { text: 'hi' }),
        paramHeaders: { 'mcp-param-region': 'eu' },
        clientCapabilities: { elicitation: {} },
        meta: { traceparent: '00-1', [envelopeKeys.protocolVersion]: 'forged', 'example.com/k': 1 },
      },
      modern,
    );
    expect([textOf(result), status]).toEqual(['hi', 200]);
    const [request] = upstream.recorded;
    expect(request?.headers).toMatchObject({
      'mcp-protocol-version': modernVersion,
      'mcp-method': 'tools/call',
      'mcp-name': 'echo',
      'mcp-param-region': 'eu',
    });
    expect(bodyOf(request)).toEqual({
      jsonrpc: '2.0',
      id: expect.any(Number),
      method: 'tools/call',
      params: {
        name: 'echo',
        arguments: { text: 'hi' },
        _meta: {
          traceparent: '00-1',
          'example.com/k': 1,
          [envelopeKeys.protocolVersion]: modernVersion,
          [envelopeKeys.clientInfo]: clientInfo,
          [envelopeKeys.clientCapabilities]: { elicitation: {} },
        },
      },
    });
  });

  it('names tool, prompt or URI in a header, encoded where it is no plain text, and nothing elsewhere', async () => {
    const answer = (request: RecordedRequest) => ({
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id: bodyOf(request).id, result: {} }),
    });
    const upstream = await start({ intercept: answer });
    const signal = AbortSignal.timeout(5_000);
    for (const [method, params] of [
      ['tools/call', { name: 'grüße\r\nEvil: 1' }],
      ['prompts/get', { name: 'p' }],
      ['resources/read', { uri: 'file:///a b', name: 'n' }],
      ['tools/list', { name: 'n', '': 'x' }],
      ['server/discover', {}],
    ] as const) {
      await raw.request(upstreamOf(upstream.url), { method, params, signal }, modern);
    }
    expect(upstream.recorded.map(({ headers }) => headers['mcp-name'])).toEqual([
      `=?base64?${Buffer.from('grüße\r\nEvil: 1').toString('base64')}?=`,
      'p',
      'file:///a b',
      undefined,
      undefined,
    ]);
  });
});

describe('a request of the 2025 era', () => {
  it('carries the negotiated version and no header or key of the modern era', async () => {
    const upstream = await start({ modern: false });
    await raw.request(
      upstreamOf(upstream.url),
      { ...callOf('echo', { text: 'x' }), paramHeaders: { 'mcp-param-region': 'eu' }, clientCapabilities: {} },
      legacy,
    );
    await raw.request(
      upstreamOf(upstream.url),
      { ...callOf('echo'), meta: { traceparent: '00-1' } },
      { modern: false, version: null },
    );
    const [first, second] = upstream.recorded;
    expect(Object.keys(first?.headers ?? {}).filter((name) => name.startsWith('mcp-'))).toEqual([
      'mcp-protocol-version',
    ]);
    expect(first?.headers['mcp-protocol-version']).toBe('2025-06-18');
    expect(bodyOf(first)['params']).toEqual({ name: 'echo', arguments: { text: 'x' } });
    expect(second?.headers['mcp-protocol-version']).toBeUndefined();
    expect(bodyOf(second)['params']).toEqual({ name: 'echo', arguments: {}, _meta: { traceparent: '00-1' } });
  });

  it('may be a notification: no id, and only its delivery is awaited', async () => {
    const upstream = await start({ modern: false });
    await raw.notify(upstreamOf(upstream.url), 'notifications/initialized', legacy, AbortSignal.timeout(5_000));
    expect(bodyOf(upstream.recorded[0])).toEqual({ jsonrpc: '2.0', method: 'notifications/initialized', params: {} });
  });
});

describe('what leaves', () => {
  it('has the headers of an allow-list and nothing else', async () => {
    const upstream = await start();
    await raw.request(upstreamOf(upstream.url), callOf('echo'), modern);
    const {
      host: _host,
      connection: _connection,
      'content-length': _length,
      ...headers
    } = upstream.recorded[0]?.headers ?? {};
    expect(headers).toEqual({
      accept: 'application/json, text/event-stream',
      'accept-encoding': 'identity',
      'content-type': 'application/json',
      'user-agent': 'MCP-Valet/9.9.9',
      'mcp-protocol-version': modernVersion,
      'mcp-method': 'tools/call',
      'mcp-name': 'echo',
    });
  });

  it("has the connector's fixed headers and the user's secrets in their slots, each name once", async () => {
    const upstream = await start();
    const target = upstreamOf(`${upstream.url}?fixed=1`, {
      secrets: { TOKEN: 'tok-12345678', KEY: 'k&y=1 2345' },
      headers: { 'X-Fixed': 'f', 'X-Tenant': 'fixed', 'User-Agent': 'mine', Accept: 'text/html' },
      inject: {
        headers: { Authorization: 'Bearer {{TOKEN}}', 'x-tenant': '{{user.username}}' },
        query: { key: '{{KEY}}' },
      },
    });
    await raw.request(target, callOf('echo', { text: 'x' }), modern);
    const [request] = upstream.recorded;
    expect(request?.headers).toMatchObject({
      authorization: 'Bearer tok-12345678',
      'x-fixed': 'f',
      'x-tenant': 'alice',
      accept: 'application/json, text/event-stream',
      'user-agent': 'MCP-Valet/9.9.9',
    });
    const names = request?.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()) ?? [];
    expect(new Set(names).size).toBe(names.length);
    expect([...new URL(request?.url ?? '', 'http://x').searchParams]).toEqual([
      ['fixed', '1'],
      ['key', 'k&y=1 2345'],
    ]);
    expect(request?.body.includes('tok-')).toBe(false);
  });

  it('is nothing at all when a secret cannot stand in a header, or the address is not allowed', async () => {
    const upstream = await start();
    for (const secret of ['line\r\nX-Evil: 1', 'ümlaut12', 'tab\tbed-']) {
      const target = upstreamOf(upstream.url, { secrets: { T: secret }, inject: { headers: { 'x-t': '{{T}}' } } });
      expect(await failureOf(raw.request(target, callOf('echo'), modern))).toMatchObject({
        kind: 'unreachable',
        executed: 'no',
      });
    }
    expect(await failureOf(raw.request(upstreamOf('http://10.0.0.1/mcp'), callOf('echo'), modern))).toMatchObject({
      kind: 'unreachable',
      executed: 'no',
    });
    expect(upstream.recorded).toEqual([]);
  });

  it('gets its own answer, however many are under way', async () => {
    const upstream = await start();
    const calls = Array.from({ length: 60 }, (_, i) =>
      raw.request(upstreamOf(upstream.url), callOf('echo', { text: `call ${i}` }), modern),
    );
    const texts = (await Promise.all(calls)).map(({ result }) => textOf(result));
    expect(texts).toEqual(Array.from({ length: 60 }, (_, i) => `call ${i}`));
    expect(new Set(upstream.recorded.map((request) => bodyOf(request).id)).size).toBe(60);
  });
});

// W3C trace context through the gateway, with and without a collector: one trace id from the caller's header or `_meta` to the upstream's, spans
// for request, decision and upstream, and nothing of users in them.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChildGateway, sharedEnvironment } from '../durability/support/child-gateway.ts';
import { addFixtures, canary, demoConnector, type Fixtures, type Rig, reach, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { type Collector, type SeenSpan, startCollector } from './collector.ts';

const newTrace = () => {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-01` };
};
const echo = { serverName: 'demo', methodName: 'echo', args: { text: 'x' } };

/** What the upstream got with the newest tools/call. */
function arrived({ upstream }: Pick<Fixtures, 'upstream'>): {
  header: unknown;
  state: unknown;
  meta: Record<string, unknown>;
  all: unknown;
} {
  const calls = upstream.recorded.filter(({ body }) => body.includes('"tools/call"'));
  const { headers, body } = calls.at(-1) ?? { headers: {}, body: '{}' };
  const { params } = JSON.parse(body.toString()) as { params?: { _meta?: Record<string, unknown> } };
  const read = headers as Record<string, unknown>;
  return { header: read['traceparent'], state: read['tracestate'], meta: params?._meta ?? {}, all: headers };
}

describe('with a collector', () => {
  let collector: Collector;
  let gateway: ChildGateway;
  let rig: Pick<Rig, 'send' | 'rpc' | 'sdk'>;
  let fixtures: { upstream: RecordingUpstream; alice: Known; bob: Known; admin: string; serverId: string };
  interface Known {
    userId: string;
    username: string;
    key: string;
    canary: string;
  }

  // A process of its own: the library's builds cannot all be loaded under the conditions of a test runner.
  beforeAll(async () => {
    collector = await startCollector();
    const upstream = await startRecordingUpstream({ record: true });
    const env = sharedEnvironment('pglite:memory');
    const admin = env['VALET_API_KEY'] as string;
    gateway = await new ChildGateway({
      ...env,
      LOG_LEVEL: 'info',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-collector=se%3Dcret+1',
      OTEL_SERVICE_NAME: 'valet-under-test',
    }).up();
    rig = reach(gateway.url);
    const manage = async (path: string, body: object) => (await rig.send(path, { key: admin, body })).body;
    await manage('/api/connectors', demoConnector(upstream.url));
    const person = async (username: string): Promise<Known> => {
      const { user_id: userId } = await manage('/users', { username });
      const { api_key: key } = await manage(`/users/${username}/keys`, { key_name: `${username}-key` });
      const secret = canary(username);
      await manage('/api/credentials', {
        userId: username,
        connectorId: 'demo',
        authenticationType: 'secrets',
        fields: { TOKEN: secret },
      });
      return { userId, username, key, canary: secret };
    };
    const [alice, bob] = [await person('alice'), await person('bob')];
    const { serverId } = await manage('/api/servers', { name: 'main' });
    fixtures = { upstream, alice, bob, admin, serverId };
  });
  afterAll(async () => {
    await gateway?.kill();
    await fixtures?.upstream.close();
    await collector?.close();
  });

  const spansOf = async (traceId: string, count: number): Promise<SeenSpan[]> => {
    const found = () => collector.spans().filter((span) => span.traceId === traceId);
    await expect.poll(() => found().length).toBe(count);
    return found();
  };

  it('makes one trace of the caller, the request, the decision and the upstream', async () => {
    const { traceId, spanId, traceparent } = newTrace();
    const answer = await rig.send('/mcp/tool/call', {
      key: fixtures.alice.key,
      headers: { traceparent, tracestate: 'vendor=1', baggage: 'user=alice', 'x-request-id': 'trace-1' },
      body: echo,
    });
    expect(answer.status).toBe(200);
    const spans = await spansOf(traceId, 3);
    const [request, decide, upstream] = ['POST /mcp/tool/call', 'decide', 'tools/call'].map((name) =>
      spans.find((span) => span.name === name),
    );
    expect(request).toMatchObject({
      parentSpanId: spanId,
      kind: 2,
      isError: false,
      attributes: { 'http.route': '/mcp/tool/call', 'valet.request_id': 'trace-1' },
    });
    expect(decide).toMatchObject({ parentSpanId: request?.spanId, attributes: { 'valet.allowed': true } });
    expect(upstream).toMatchObject({
      parentSpanId: request?.spanId,
      kind: 3,
      attributes: { 'valet.connector': 'demo', 'gen_ai.tool.name': 'echo', 'valet.outcome': 'ok' },
    });
    const { header, state, meta, all } = arrived(fixtures);
    const expected = `00-${traceId}-${upstream?.spanId}-01`;
    expect([header, state, meta['traceparent'], meta['tracestate']]).toEqual([
      expected,
      'vendor=1',
      expected,
      'vendor=1',
    ]);
    expect(JSON.stringify([all, meta])).not.toContain('baggage');
    expect(collector.headers()[0]).toMatchObject({ ':path': '/v1/traces', 'x-collector': 'se=cret+1' });
    expect(collector.text()).toContain('valet-under-test');
  });

  it('takes the context of an MCP message before that of its headers', async () => {
    const [inMeta, inHeader] = [newTrace(), newTrace()];
    const answer = await rig.rpc(
      `/mcp/${fixtures.serverId}`,
      {
        method: 'tools/call',
        params: {
          name: 'execute_action_alloy',
          arguments: { connectorId: 'demo', actionId: 'echo', parameters: { text: 'x' } },
          _meta: { traceparent: inMeta.traceparent },
        },
      },
      { key: fixtures.alice.key, headers: { traceparent: inHeader.traceparent } },
    );
    expect(answer.status).toBe(200);
    const spans = await spansOf(inMeta.traceId, 3);
    expect(spans.find(({ name }) => name === 'POST /mcp/:serverId')?.parentSpanId).toBe(inMeta.spanId);
    expect(String(arrived(fixtures).header)).toContain(inMeta.traceId);
  });

  it('carries the header that the SDK was given', async () => {
    const { traceId, spanId, traceparent } = newTrace();
    await rig.sdk(fixtures.alice.key).me({ headers: { traceparent } });
    const [span] = await spansOf(traceId, 1);
    expect(span).toMatchObject({ name: 'GET /api/me', parentSpanId: spanId });
  });

  it('marks what failed by a word of ours', async () => {
    const { traceId, traceparent } = newTrace();
    await rig.send('/mcp/tool/call', {
      key: fixtures.alice.key,
      headers: { traceparent },
      body: { serverName: 'nowhere', methodName: 'echo', args: {} },
    });
    const spans = await spansOf(traceId, 2);
    expect(spans.find(({ name }) => name === 'decide')).toMatchObject({
      isError: true,
      attributes: { 'error.type': 'NOT_FOUND', 'valet.allowed': false },
    });
  });

  it('says nothing of users, keys, arguments and secrets', async () => {
    const { alice, bob, admin } = fixtures;
    const { traceId, traceparent } = newTrace();
    await rig.send('/mcp/tool/call', {
      key: admin,
      headers: { traceparent, 'x-alloy-userid': 'bob' },
      body: { ...echo, args: { text: 'argument-canary' } },
    });
    await rig.send('/users/alice', { key: admin, headers: { traceparent } });
    await spansOf(traceId, 4);
    const text = collector.text();
    const never = [alice, bob].flatMap((person) => Object.values(person));
    for (const word of [...never, admin, 'argument-canary']) expect(text.includes(word), word).toBe(false);
  });
});

describe('without a collector', () => {
  let rig: Rig;
  let fixtures: Fixtures;
  beforeAll(async () => {
    rig = await startRig();
    fixtures = await addFixtures(rig);
  });
  afterAll(async () => {
    await rig?.close();
    await fixtures?.close();
  });
  const call = (headers: Record<string, string>) =>
    rig.send('/mcp/tool/call', { key: fixtures.home.alice.key, headers, body: echo });

  it('passes on a well-formed context as it came, and nothing where none came', async () => {
    const { traceparent } = newTrace();
    await call({ traceparent, tracestate: 'a=1' });
    const { header, state, meta } = arrived(fixtures);
    expect([header, state, meta]).toEqual([traceparent, 'a=1', { traceparent, tracestate: 'a=1' }]);
    await call({});
    expect(arrived(fixtures)).toMatchObject({ header: undefined, state: undefined, meta: {} });
  });

  it.each(['x', '00-1-2-01', `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`, `ff-${'1'.repeat(32)}-${'1'.repeat(16)}-01`])(
    'drops %s',
    async (traceparent) => {
      await call({ traceparent, tracestate: 'a=1' });
      expect(arrived(fixtures)).toMatchObject({ header: undefined, state: undefined });
    },
  );
});

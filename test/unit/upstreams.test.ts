// Who carries a request, and that it is sent again only when the upstream said by protocol that nothing ran, once. Over real HTTP; the
// SDK's carrier is a stand-in that records who is handed to it.
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { Carrier, Upstream, UpstreamRequest } from '../../packages/server/src/connectors/backend.ts';
import type { RestCarrier } from '../../packages/server/src/connectors/backends/http.ts';
import type { UpstreamKey } from '../../packages/server/src/connectors/upstream-key.ts';
import { createUpstreams } from '../../packages/server/src/connectors/upstreams.ts';
import { answerOn, json, messageOf, methodsOf, rpcError } from '../support/answer-on.ts';
import { type HostileUpstream, startHostileUpstream } from '../support/hostile-upstream.ts';
import { callOf, failureOf, rawCarrier, upstreamOf } from '../support/raw-upstream.ts';
import {
  type RecordingUpstream,
  type RecordingUpstreamOptions,
  startRecordingUpstream,
} from '../support/recording-upstream.ts';

const { egress, raw } = rawCarrier();
const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const upstream of opened.splice(0)) await upstream.close();
});
afterAll(() => egress.close());

async function start(options: RecordingUpstreamOptions = {}): Promise<RecordingUpstream> {
  const upstream = await startRecordingUpstream({ record: true, ...options });
  opened.push(upstream);
  return upstream;
}
async function startHostile(): Promise<HostileUpstream> {
  const upstream = await startHostileUpstream();
  opened.push(upstream);
  return upstream;
}

function setup() {
  const handed: [string, UpstreamRequest][] = [];
  const forgotten: UpstreamKey[] = [];
  const rest: RestCarrier = {
    list: async () => ({ items: [] }),
    request: async () => ({ result: { byRest: true }, status: 200 }),
    check: async () => undefined,
  };
  const sdk: Carrier = {
    request: async (upstream, request) => {
      handed.push([upstream.key, request]);
      return { result: { bySdk: true }, status: null };
    },
    capabilities: async () => ({ prompts: {} }),
    watch: () => ({ ready: Promise.resolve(), close: () => undefined }),
    forget: async (matches) => void (matches('k' as UpstreamKey) && forgotten.push('k' as UpstreamKey)),
    close: async () => undefined,
  };
  return {
    upstreams: createUpstreams({ raw, sdk, stdio: { ...sdk, forget: async () => undefined }, rest }),
    handed,
    forgotten,
  };
}
const textOf = (result: Record<string, unknown>): unknown =>
  (result['content'] as { text: string }[] | undefined)?.[0]?.text;

describe('a request', () => {
  it('leaves raw to a modern upstream and to one without sessions, else through the SDK', async () => {
    const { upstreams, handed } = setup();
    const modern = upstreamOf((await start({ modern: true })).url, { credentialId: 'a' });
    const plain = upstreamOf((await start()).url, { credentialId: 'b' });
    const minting = upstreamOf(
      (
        await start(
          answerOn('initialize', (id) => ({
            headers: { 'mcp-session-id': 's' },
            body: { id, result: { protocolVersion: '2025-06-18' } },
          })),
        )
      ).url,
      { credentialId: 'c' },
    );
    const sse = upstreamOf('http://127.0.0.1:1/sse', { credentialId: 'd', transport: 'sse' });
    expect([modern, plain, minting, sse].map((upstream) => upstreams.isRaw(upstream))).toEqual([
      false,
      false,
      false,
      false,
    ]);
    for (const upstream of [modern, plain])
      expect(textOf((await upstreams.request(upstream, callOf('echo', { text: 'hi' }))).result)).toBe('hi');
    for (const upstream of [minting, sse])
      expect((await upstreams.request(upstream, callOf('echo'))).result).toEqual({ bySdk: true });
    expect(handed.map(([key]) => key)).toEqual([minting.key, sse.key]);
    expect([modern, plain, minting, sse].map((upstream) => upstreams.isRaw(upstream))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it('waits for one probe per key, whoever else asks, and learns nothing for another key', async () => {
    const { upstreams } = setup();
    const upstream = await start({ modern: true });
    const [alice, bob] = [
      upstreamOf(upstream.url, { credentialId: 'a' }),
      upstreamOf(upstream.url, { credentialId: 'b' }),
    ];
    await Promise.all(Array.from({ length: 10 }, () => upstreams.request(alice, callOf('echo'))));
    expect(upstream.methods().get('server/discover')).toBe(1);
    expect(upstreams.peekVerdict(bob.key)).toBeUndefined();
    await upstreams.request(bob, callOf('echo'));
    expect(upstream.methods().get('server/discover')).toBe(2);
  });

  it('may give up waiting without ending the probe of the others', async () => {
    const { upstreams } = setup();
    const upstream = upstreamOf((await start({ modern: true })).url);
    const controller = new AbortController();
    const hasty = upstreams.request(upstream, callOf('echo', {}, controller.signal));
    const patient = upstreams.request(upstream, callOf('echo', { text: 'hi' }));
    controller.abort();
    expect(await failureOf(hasty)).toMatchObject({ kind: 'cancelled', executed: 'no' });
    expect(textOf((await patient).result)).toBe('hi');
  });

  it('ends when its caller is gone, however long the probe takes', async () => {
    const { upstreams } = setup();
    const silent = upstreamOf((await startHostile()).urlFor('silence'));
    const startedAt = performance.now();
    expect(await failureOf(upstreams.request(silent, callOf('echo', {}, AbortSignal.timeout(50))))).toMatchObject({
      kind: 'timeout',
      executed: 'no',
    });
    expect(performance.now() - startedAt).toBeLessThan(4_000);
  });

  it('certainly did not run when the probe failed, and the next one probes again', async () => {
    let isDown = true;
    const upstream = await start({ modern: true, intercept: () => (isDown ? { status: 500 } : undefined) });
    const { upstreams } = setup();
    const target = upstreamOf(upstream.url);
    expect(await failureOf(upstreams.request(target, callOf('count', { marker: 'm' })))).toMatchObject({
      kind: 'broken',
      executed: 'no',
      status: 500,
    });
    isDown = false;
    expect(textOf((await upstreams.request(target, callOf('count', { marker: 'm' }))).result)).toBe('1');
  });
});

describe('a call that failed', () => {
  /** A modern upstream whose answers to tool calls are first `answers`, then its own. */
  async function failing(...answers: { status: number; code?: number }[]) {
    let calls = 0;
    const upstream = await start({
      modern: true,
      intercept: (request) => {
        const { id, method } = messageOf(request);
        if (method !== 'tools/call') return undefined;
        const answer = answers[calls++];
        return (
          answer && {
            status: answer.status,
            headers: json,
            body: answer.code === undefined ? '' : JSON.stringify(rpcError(id, answer.code)),
          }
        );
      },
    });
    const { upstreams } = setup();
    return { upstream, upstreams, target: upstreamOf(upstream.url), calls: () => calls };
  }

  it.each([{ status: 404 }, { status: 405 }, { status: 400, code: -32_020 }, { status: 400, code: -32_022 }])(
    'is sent once more after %j, with a fresh verdict',
    async (answer) => {
      const { upstream, upstreams, target, calls } = await failing(answer);
      expect(textOf((await upstreams.request(target, callOf('echo', { text: 'hi' }))).result)).toBe('hi');
      expect(calls()).toBe(2);
      expect(upstream.methods().get('server/discover')).toBe(2);
    },
  );

  it('is sent once more and not twice', async () => {
    const { upstreams, target, calls } = await failing({ status: 404 }, { status: 404 }, { status: 404 });
    expect(await failureOf(upstreams.request(target, callOf('echo')))).toMatchObject({
      kind: 'wrong_era',
      executed: 'no',
    });
    expect(calls()).toBe(2);
  });

  it.each([
    { status: 500 },
    { status: 503 },
    { status: 401 },
    { status: 403 },
    { status: 429 },
    { status: 400 },
    { status: 404, code: -32_601 },
    { status: 200, code: -32_603 },
  ])('is never sent again after %j', async (answer) => {
    const { upstreams, target, calls } = await failing(answer);
    await failureOf(upstreams.request(target, callOf('echo')));
    expect(calls()).toBe(1);
  });

  it('is never sent again after a hang-up in the middle', async () => {
    const upstream = await start({ modern: true });
    const { upstreams } = setup();
    const hangUp = callOf('count', { marker: 'm', hangUp: true });
    expect(await failureOf(upstreams.request(upstreamOf(upstream.url), hangUp))).toMatchObject({
      kind: 'broken',
      executed: 'unknown',
    });
    expect([...upstream.counts()]).toEqual([['m', 1]]);
  });
});

describe('the state of an upstream', () => {
  it('is disconnected, connected, in error and connected again, in our own words', async () => {
    let status = 0;
    const upstream = await start({
      modern: true,
      intercept: () => (status === 0 ? undefined : { status, body: 'secret words' }),
    });
    const { upstreams } = setup();
    const target = upstreamOf(upstream.url);
    expect(upstreams.state(target.key)).toEqual({ status: 'disconnected', toolsAge: null });
    const asking = upstreams.request(target, callOf('echo'));
    expect(upstreams.state(target.key).status).toBe('connecting');
    await asking;
    expect(upstreams.state(target.key)).toEqual({ status: 'connected', toolsAge: null });
    for (const [code, words] of [
      [500, 'The upstream failed or answered nonsense'],
      [401, 'The upstream refused the credential'],
      [429, 'The upstream limits requests'],
    ] as const) {
      status = code;
      await failureOf(upstreams.request(target, callOf('echo')));
      expect(upstreams.state(target.key)).toEqual({ status: 'error', lastError: words, toolsAge: null });
    }
    expect(upstreams.connectorState('acc_1', 'fixture').status).toBe('error');
    status = 0;
    await upstreams.request(target, callOf('echo'));
    expect(upstreams.state(target.key)).toEqual({ status: 'connected', toolsAge: null });
  });

  it('is no error when a tool answers one, or the caller goes away', async () => {
    const { upstreams } = setup();
    const target = upstreamOf((await start({ modern: true })).url);
    await failureOf(upstreams.request(target, callOf('fail', { code: -32_602 })));
    const controller = new AbortController();
    const slow = upstreams.request(target, callOf('slow', { ms: 5_000 }, controller.signal));
    setTimeout(() => controller.abort(), 500);
    expect((await failureOf(slow)).kind).toBe('cancelled');
    expect(upstreams.state(target.key).status).toBe('connected');
  });
});

describe('lists', () => {
  it('are asked for by capability, kept under their key, and forgotten with it', async () => {
    const upstream = await start({ modern: true });
    const { upstreams, forgotten } = setup();
    const target: Upstream = upstreamOf(upstream.url);
    const source = { key: target.key, connector: target.connector, prepare: async () => target };
    const tools = await upstreams.list('tools', source);
    expect(tools.items.map((item) => item['name'])).toContain('echo');
    expect((await upstreams.list('prompts', source)).items).toEqual([]);
    expect(methodsOf(upstream)).toEqual(['server/discover', 'tools/list']);
    expect(upstreams.state(target.key).toolsAge).toBeGreaterThanOrEqual(0);
    await upstreams.forget(() => true);
    expect(forgotten).toHaveLength(1);
    expect(upstreams.state(target.key)).toEqual({ status: 'disconnected', toolsAge: null });
    expect(upstreams.peekVerdict(target.key)).toBeUndefined();
  });

  it('of a hostile upstream are cut down to what is usable', async () => {
    const hostile = await startHostile();
    const { upstreams } = setup();
    const listOf = (behaviour: 'bad-schemas' | 'many-tools', credentialId: string) => {
      const target = upstreamOf(hostile.urlFor(behaviour, 'tools/list'), { credentialId });
      return upstreams.list('tools', { key: target.key, connector: target.connector, prepare: async () => target });
    };
    const bad = await listOf('bad-schemas', 'a');
    expect(bad.items.map((item) => item['name'])).toContain('good');
    expect(bad.items.map((item) => item['name'])).not.toContain('too-deep');
    expect(bad.dropped.length).toBeGreaterThanOrEqual(6);
    expect(() => JSON.stringify(bad)).not.toThrow();
    expect((await listOf('many-tools', 'b')).items).toHaveLength(500);
  });
});

// Which protocol an upstream speaks is learned over real HTTP, without ever calling a tool and without guessing from a failure.
import { modernVersion } from '@mcp-valet/shared';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { probe } from '../../packages/server/src/connectors/verdict.ts';
import { answerOn, methodsOf, rpcError } from '../support/answer-on.ts';
import { type HostileUpstream, startHostileUpstream } from '../support/hostile-upstream.ts';
import { failureOf, rawCarrier, upstreamOf } from '../support/raw-upstream.ts';
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
const learn = (url: string, signal = AbortSignal.timeout(5_000)) => probe(raw, upstreamOf(url), signal, () => 42);

describe('what is learned of an upstream', () => {
  it('is modern when its discovery names the version, with what it declares', async () => {
    const upstream = await start({ modern: true });
    expect(await learn(upstream.url)).toMatchObject({
      modern: true,
      legacy: 'unknown',
      capabilities: { tools: {} },
      discover: { supportedVersions: [modernVersion] },
      learnedAt: 42,
    });
    expect(methodsOf(upstream)).toEqual(['server/discover']);
  });

  it('is a 2025 server without sessions when a bare list is answered', async () => {
    const upstream = await start();
    expect(await learn(upstream.url)).toMatchObject({
      modern: false,
      legacy: 'no_session',
      legacyVersion: '2025-11-25',
      capabilities: { tools: {} },
      discover: undefined,
    });
    expect(methodsOf(upstream)).toEqual(['server/discover', 'initialize', 'notifications/initialized', 'tools/list']);
  });

  it('is a 2025 server when discovery names older versions only', async () => {
    const upstream = await start(
      answerOn('server/discover', (id) => ({ body: { id, result: { supportedVersions: ['2025-11-25'] } } })),
    );
    expect(await learn(upstream.url)).toMatchObject({ modern: false, legacy: 'no_session' });
  });

  it('is one with sessions when it mints one, or refuses a bare list', async () => {
    const result = { protocolVersion: '2025-06-18', capabilities: {}, serverInfo: { name: 'x', version: '1' } };
    const minting = await start(
      answerOn('initialize', (id) => ({ headers: { 'mcp-session-id': 's' }, body: { id, result } })),
    );
    expect(await learn(minting.url)).toMatchObject({ legacy: 'session', legacyVersion: '2025-06-18' });
    expect(methodsOf(minting)).toEqual(['server/discover', 'initialize']);
    const refusing = await start(answerOn('tools/list', () => ({ status: 400 })));
    expect(await learn(refusing.url)).toMatchObject({ legacy: 'session' });
  });

  it('is no matter of sessions when it has no tools', async () => {
    const upstream = await start(answerOn('tools/list', (id) => ({ body: rpcError(id, -32_601) })));
    expect(await learn(upstream.url)).toMatchObject({ legacy: 'no_session' });
  });

  it('is nothing of the 2025 era when it refuses the handshake, or negotiates what nobody knows', async () => {
    const refusing = await start(answerOn('initialize', () => ({ status: 404 })));
    expect(await learn(refusing.url)).toMatchObject({ modern: false, legacy: 'refused' });
    for (const protocolVersion of ['2099-01-01', 'x\r\nEvil: 1', '']) {
      const strange = await start(
        answerOn('initialize', (id) => ({ body: { id, result: { protocolVersion, capabilities: {} } } })),
      );
      expect(await learn(strange.url)).toMatchObject({ legacy: 'refused', legacyVersion: null });
      expect(methodsOf(strange)).toEqual(['server/discover', 'initialize']);
    }
  });

  it.each([
    [400, -32_600],
    [400, -32_602],
    [400, -32_000],
    [400, -32_022],
    [404, -32_601],
    [200, -32_601],
    [404, undefined],
    [405, undefined],
    [406, undefined],
    [415, undefined],
  ])('is asked for in the 2025 way after %d with %s', async (status, code) => {
    const upstream = await start(
      answerOn('server/discover', (id) => ({ status, ...(code !== undefined && { body: rpcError(id, code) }) })),
    );
    expect(await learn(upstream.url)).toMatchObject({ modern: false, legacy: 'no_session' });
  });

  it.each([
    [400, -32_020, 'wrong_era'],
    [400, -32_021, 'rpc'],
    [401, undefined, 'unauthorized'],
    [403, undefined, 'forbidden'],
    [429, undefined, 'rate_limited'],
    [500, undefined, 'broken'],
    [503, undefined, 'broken'],
    [200, -32_603, 'rpc'],
    [200, undefined, 'broken'],
  ])('is nothing yet after %d with %s: no era is guessed', async (status, code, kind) => {
    const upstream = await start(
      answerOn('server/discover', (id) => ({ status, ...(code !== undefined && { body: rpcError(id, code) }) })),
    );
    expect((await failureOf(learn(upstream.url))).kind).toBe(kind);
    expect(methodsOf(upstream)).toEqual(['server/discover']);
  });

  it('is nothing yet when it is silent, hangs up, or redirects', async () => {
    const hostile = await startHostile();
    expect((await failureOf(learn(hostile.urlFor('silence'), AbortSignal.timeout(150)))).kind).toBe('timeout');
    expect((await failureOf(learn(hostile.urlFor('close-at-once')))).kind).toBe('broken');
    expect((await failureOf(learn(hostile.urlFor('redirect')))).kind).toBe('broken');
    expect(methodsOf(hostile)).toEqual(['server/discover', 'server/discover', 'server/discover']);
  });
});

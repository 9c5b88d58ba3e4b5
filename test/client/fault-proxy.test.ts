// Must-show of the client: executions through a proxy that cuts, resets, stalls, truncates, delays and answers by itself, at random and then at every
// byte. The upstream's own counter is the judge: once, or reported as unknown; never twice, whatever the server promises.
import type { MCPClient, ValetError } from '@mcp-valet/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../support/database.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { built } from './built.ts';
import { type Break, type Fault, type FaultProxy, proxyAnswer, randomOf, startFaultProxy } from './fault-proxy.ts';

const seed = process.env['VALET_FUZZ_SEED'] ?? String(Date.now() % 2 ** 31);
const executions = 1000;
const concurrency = 50;
const faultRate = 0.3;

const breaks: readonly Break[] = ['cut', 'reset', 'truncate'];
const soon = { 'retry-after-ms': '20' };
/** True of what never reached the server only. */
const instead = [proxyAnswer(429, soon), proxyAnswer(503, { ...soon, 'x-should-retry': 'true' })];
const either = [500, 502, 503, 504, 408, 200].map((status) => proxyAnswer(status, soon));

function pick<T>(random: () => number, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)] as T;
}

/** One fault in three or so, of every kind, at every place. */
function randomFault(random: () => number): Fault {
  if (random() >= faultRate) return { kind: 'none' };
  const [what, where] = [random(), random()];
  const at = (length: number) => Math.floor(where * (length + 1));
  // A stall costs the whole timeout of an attempt, so it is rarer than the others.
  const how = random() < 0.05 ? 'stall' : pick(random, breaks);
  if (what < 0.3) return { kind: 'break', side: 'request', how, at };
  if (what < 0.6) return { kind: 'break', side: 'answer', how, at };
  if (what < 0.7) return { kind: 'answer', text: pick(random, instead), forward: false };
  if (what < 0.9) return { kind: 'answer', text: pick(random, either), forward: where < 0.5 };
  return { kind: 'late', delayMs: 50 + where * 1500 };
}

/** Marker and attempt of a tools/call; undefined for everything else. */
const partsOf = (request: string) => {
  const marker = /"marker":"([^"]+)"/.exec(request)?.[1];
  return marker === undefined ? undefined : { marker, attempt: /\r\nx-retry-count: (\d+)/i.exec(request)?.[1] ?? '0' };
};

/** The rarest faults, which a seed in a hundred would leave out: one call each meets them whatever the seed. */
const half = (length: number): number => Math.floor(length / 2);
const certain: ReadonlyMap<string, Fault> = new Map([
  ['gateway-7', { kind: 'break', side: 'request', how: 'stall', at: half }],
  ['gateway-13', { kind: 'break', side: 'answer', how: 'stall', at: half }],
]);

const plan = (request: string): Fault => {
  const parts = partsOf(request);
  const always = parts?.attempt === '0' ? certain.get(parts.marker) : undefined;
  if (always !== undefined) return always;
  return parts ? randomFault(randomOf(`${seed} ${parts.marker} ${parts.attempt}`)) : { kind: 'none' };
};

interface Ended {
  marker: string;
  /** What the tool said; undefined: it failed. */
  text: string | undefined;
  error: ValetError | undefined;
}

async function runAll(
  markers: readonly string[],
  run: (marker: string, at: number) => Promise<Ended>,
): Promise<Ended[]> {
  const ended: Ended[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < markers.length; at = next++) ended.push(await run(markers[at] as string, at));
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return ended;
}

/** The call as a client with default retries makes it. A stalled attempt is given up after ten seconds instead of 45. */
async function execute(
  client: MCPClient,
  user: string,
  tool: string,
  marker: string,
  timeout = 10_000,
): Promise<Ended> {
  const result = await client.executeForUser(user, tool, { marker }, { timeout }).safe();
  return result.ok
    ? { marker, text: result.data.text(), error: undefined }
    : { marker, text: undefined, error: result.error };
}

/** What contradicts the counter of the upstream, in words. */
function contradictions(ended: readonly Ended[], counts: ReadonlyMap<string, number>): string[] {
  return ended.flatMap(({ marker, text, error }) => {
    const ran = counts.get(marker) ?? 0;
    const said = error === undefined ? `"${text}"` : `${error.name} ${error.code}, executed: ${error.executed}`;
    const fits =
      ran <= 1 &&
      (error === undefined
        ? ran === 1 && text === '1'
        : error instanceof built.OutcomeUnknownError ||
          (error.executed === 'yes' && ran === 1) ||
          (error.executed === 'no' && ran === 0));
    return fits ? [] : [`${marker} ran ${ran} times and ended as ${said} (VALET_FUZZ_SEED=${seed})`];
  });
}

/**
 * As a backend has it, but for two things that would spare the network the calls: the budget, which takes one fault in three for an outage and
 * stops repeating, and the limiter, which holds a user's calls back after a 429.
 */
const bare = { logLevel: 'off', retryBudget: false, rateLimit: false } as const;

async function clientOf(rig: Rig, proxy: FaultProxy, name: string): Promise<MCPClient> {
  const { serverId } = await rig.manage('POST', '/api/servers', { name, mode: 'direct' });
  const { api_key: apiKey } = await rig.manage('POST', '/users/default/keys', {
    key_name: serverId,
    kind: 'enterprise',
  });
  const client = new built.MCPClient({ baseUrl: proxy.url, apiKey, server: serverId, ...bare });
  // Fifty calls begin at once, and the first word of the promise should not depend on which of them was broken.
  await client.me();
  return client;
}

const markersOf = (what: string, count: number) => Array.from({ length: count }, (_, at) => `${what}-${at}`);

/** The same break once at every byte of request and answer, on the first attempt only. */
const everyByte = (lengths: { request: number; answer: number }) =>
  (['request', 'answer'] as const).flatMap((side) => markersOf(side, lengths[side] + 1));

function breakAt(request: string, lengths: { request: number; answer: number }): Fault {
  const parts = partsOf(request);
  if (parts?.marker === 'measure') {
    lengths.request = request.length;
    const at = (length: number) => {
      lengths.answer = length;
      return length + 1;
    };
    return { kind: 'break', side: 'answer', how: 'cut', at };
  }
  if (parts === undefined || parts.attempt !== '0') return { kind: 'none' };
  const [side = '', at = ''] = parts.marker.split('-');
  const how = pick(() => (Number(at) % 3) / 3, breaks);
  return { kind: 'break', side: side as 'request' | 'answer', how, at: () => Number(at) };
}

// Seconds on a quiet machine; the bound is for one that has other things to do.
describe(`1,000 executions through a broken network (VALET_FUZZ_SEED=${seed})`, { timeout: 240_000 }, () => {
  let upstream: RecordingUpstream;
  let rig: Rig;
  let proxy: FaultProxy;
  beforeAll(async () => {
    upstream = await startRecordingUpstream();
    rig = await startRig({ database: await openTestDatabase('postgres'), env: { VALET_RATE_LIMIT: '1000000' } });
    await rig.manage('POST', '/api/connectors', { connectorId: 'plain', kind: 'mcp-http', url: upstream.url });
    for (const user of users) await rig.manage('POST', '/users', { username: user });
  });
  afterAll(async () => {
    await proxy?.close();
    await rig?.close();
    await upstream?.close();
  });

  const users = markersOf('user', 20);

  it('before the gateway run once or are reported as unknown, never twice, and 95 in 100 resolve', async () => {
    proxy = await startFaultProxy(rig.url, plan);
    const client = await clientOf(rig, proxy, 'random');
    // How long as many calls take where nothing is broken: on a busy machine an attempt is given more than its ten seconds.
    const plain = rig.sdk(rig.admin, bare);
    const from = performance.now();
    await runAll(markersOf('warm', concurrency), (marker) => execute(plain, 'user-0', 'plain__count', marker, 60_000));
    const patienceMs = Math.max(10_000, 10 * (performance.now() - from));
    const ended = await runAll(markersOf('gateway', executions), (marker, at) =>
      execute(client, users[at % users.length] as string, 'plain__count', marker, patienceMs),
    );
    await proxy.settled();
    expect(contradictions(ended, upstream.counts())).toEqual([]);
    expect(ended.filter(({ error }) => error === undefined).length).toBeGreaterThanOrEqual(0.95 * executions);
    // Every kind of fault was met, or this would prove little.
    expect(proxy.fired.size).toBe(11);
  });

  it('before a server without idempotency run once or are reported as unknown, and nothing doubtful is sent again', async () => {
    const plain = await startRecordingUpstream();
    const broken = await startFaultProxy(plain.url.slice(0, -'/mcp'.length), plan);
    try {
      const client = new built.MCPClient({ baseUrl: broken.url, apiKey: 'k', ...bare });
      const ended = await runAll(markersOf('plain', executions), (marker) =>
        execute(client, 'u', 'count', marker, 5_000),
      );
      await broken.settled();
      expect(contradictions(ended, plain.counts())).toEqual([]);
      expect(ended.filter(({ error }) => error === undefined).length).toBeGreaterThanOrEqual(0.6 * executions);
    } finally {
      await broken.close();
      await plain.close();
    }
  });

  it('before the gateway resolve, wherever in the exchange it broke', async () => {
    const lengths = { request: 0, answer: 0 };
    const broken = await startFaultProxy(rig.url, (request) => breakAt(request, lengths));
    try {
      const client = await clientOf(rig, broken, 'every-byte');
      await execute(client, 'user-0', 'plain__count', 'measure');
      const markers = everyByte(lengths);
      expect(Math.min(lengths.request, lengths.answer)).toBeGreaterThan(200);
      const ended = await runAll(markers, (marker, at) =>
        execute(client, users[at % users.length] as string, 'plain__count', marker),
      );
      expect(contradictions(ended, upstream.counts())).toEqual([]);
      expect(ended.filter(({ text }) => text !== '1')).toEqual([]);
    } finally {
      await broken.close();
    }
  });

  it('before a server without idempotency run once at most, wherever in the exchange it broke', async () => {
    const plain = await startRecordingUpstream();
    const lengths = { request: 0, answer: 0 };
    const broken = await startFaultProxy(plain.url.slice(0, -'/mcp'.length), (request) => breakAt(request, lengths));
    try {
      const client = new built.MCPClient({ baseUrl: broken.url, apiKey: 'k', ...bare });
      await execute(client, 'u', 'count', 'measure');
      const ended = await runAll(everyByte(lengths), (marker) => execute(client, 'u', 'count', marker));
      expect(contradictions(ended, plain.counts())).toEqual([]);
      // An answer that is complete is one, whatever became of the connection; before that nobody can know.
      const known = ended.filter(({ error }) => error === undefined).map(({ marker }) => marker);
      expect(known).toEqual([`answer-${lengths.answer}`]);
    } finally {
      await broken.close();
      await plain.close();
    }
  });
});

// The two lanes answer alike: every request is sent to a gateway that is forced to the direct lane and to one that is forced to the SDK
// lane, each with upstreams of its own. Compared: HTTP status, decoded message, headers, what the upstreams received, and the journal.
// Allowed to differ: the lane's name in the journal, and what is masked below (ids, ports, sealed texts).
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import type { RecordedRequest } from '../support/recorded-request.ts';
import { type DirectGateway, startDirectGateway } from './direct-gateway.ts';
import { type LaneRequest, laneRequests, type Target } from './lane-requests.ts';

const goodToken = 'good-token-0123456789';
const lanes = ['direct', 'sdk'] as const;
type Lane = (typeof lanes)[number];

interface Side {
  lane: Lane;
  direct: DirectGateway;
  upstreams: Record<'open' | 'keyed' | 'old', EverythingUpstream>;
  urls: Record<Target, string>;
  /** Texts that differ between the sides for reasons that are not the lane's. */
  masks: [string, string][];
}

async function startSide(lane: Lane): Promise<Side> {
  const open = await startEverything({ record: true, ttlMs: 60_000 });
  const keyed = await startEverything({
    record: true,
    ttlMs: 60_000,
    intercept: ({ headers }) =>
      headers.authorization === `Bearer ${goodToken}` ? undefined : new Response('{}', { status: 401 }),
  });
  const old = await startEverything({ record: true, eras: ['legacy'], sessions: false });
  const direct = await startDirectGateway(
    [
      { id: 'open', url: open.url },
      {
        id: 'keyed',
        url: keyed.url,
        fields: { secretNames: ['KEYED_TOKEN'], inject: { headers: { authorization: 'Bearer {{KEYED_TOKEN}}' } } },
      },
      { id: 'old', url: old.url },
      { id: 'down', url: 'http://127.0.0.1:9/mcp' },
    ],
    { forceLane: lane },
  );
  const { api } = direct;
  for (const username of ['connected', 'stale', 'unconnected', 'blocked', 'disabled'])
    await api('POST', '/users', { username });
  const secret = (username: string, secretValue: string) =>
    api('POST', '/secrets/set', { username, serverName: 'keyed', secretName: 'KEYED_TOKEN', secretValue });
  await secret('connected', goodToken);
  await secret('stale', 'bad-token-0123456789');
  await secret('blocked', goodToken);
  await api('PUT', '/users/blocked/mcp-access', { blocked_mcps: ['open'] });
  await api('PATCH', '/users/disabled/enable', { enabled: false });
  const connectors = ['open', 'keyed', 'old', 'down'];
  const published = {
    direct: await direct.publish({ connectors, sessions: 'never' }),
    connectivity: await direct.publish({ connectors, mode: 'connectivity', sessions: 'never' }),
    narrow: await direct.publish({
      connectors,
      sessions: 'never',
      restrictions: {
        actions: { mode: 'allowlist', allowedActions: ['open.test_simple_text', 'keyed.test_simple_text'] },
      },
      rateLimit: { max: 3, windowSeconds: 3600 },
    }),
  };
  const masks: [string, string][] = Object.values(published).map(({ serverId }, at) => [serverId, `server-${at}`]);
  const urls = Object.fromEntries(
    Object.entries(published).map(([target, { plainUrl }]) => [target, plainUrl]),
  ) as Side['urls'];
  return { lane, direct, upstreams: { open, keyed, old }, urls, masks };
}

let sides: Side[];

beforeAll(async () => {
  sides = [];
  for (const lane of lanes) sides.push(await startSide(lane));
});
afterAll(async () => {
  for (const { direct, upstreams } of sides) {
    await direct.close();
    await Promise.all(Object.values(upstreams).map((upstream) => upstream.close()));
  }
});

/** Headers that every answer of the endpoint carries, whichever lane. Numbers of a rate limit move with the clock, so only their kind counts. */
const comparedHeaders = [
  'cache-control',
  'content-type',
  'referrer-policy',
  'ratelimit-policy',
  'x-ratelimit-limit',
  'x-should-retry',
  'www-authenticate',
  'idempotent-replayed',
  'mcp-session-id',
  'location',
  'allow',
];

function masked(side: Side, text: string): unknown {
  let clean = text.replace(/req_[A-Za-z0-9]+/g, 'req').replace(/call_[A-Za-z0-9]+/g, 'call');
  clean = clean
    .replace(/"requestState":"[^"]+"/g, '"requestState":"sealed"')
    .replace(/cred_[A-Za-z0-9]+/g, 'cred')
    .replace(/usr_[A-Za-z0-9]+/g, 'usr')
    // Digests are keyed, and each gateway has a key of its own.
    .replace(/"argsDigest":"[0-9a-f]{64}"/g, '"argsDigest":"digest"')
    // Each gateway gives out links of its own.
    .replace(/http:[^"\\]*\/connect\/[\w-]+/g, 'link');
  clean = clean
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z/g, 'time')
    .replace(/\\?"retryAfterMs\\?":\d+/g, '"retryAfterMs":0');
  for (const [own, common] of side.masks) clean = clean.replaceAll(own, common);
  return clean === '' ? '' : JSON.parse(clean);
}

/** One message: JSON, or the only event of a stream. */
function messageIn(type: string | null, text: string): string {
  if (!type?.startsWith('text/event-stream')) return text;
  return (
    text
      .split('\n')
      .find((line) => line.startsWith('data: '))
      ?.slice(6) ?? ''
  );
}

function received({ method, url, headers, body }: RecordedRequest): unknown {
  const { host: _, 'content-length': __, ...rest } = headers;
  return { method, url, headers: rest, body: body.toString('utf8').replace(/"id":\d+/, '"id":0') };
}

interface Observed {
  status: number;
  headers: Record<string, string | null>;
  hasRequestId: boolean;
  hasRetryAfter: boolean;
  message: unknown;
  upstream: unknown;
}

async function send(
  side: Side,
  request: LaneRequest,
  before: unknown,
): Promise<{ observed: Observed; answer: unknown }> {
  const counts = Object.values(side.upstreams).map(({ recorded }) => recorded.length);
  const body =
    typeof request.body === 'function' ? (request.body as (before: unknown) => unknown)(before) : request.body;
  const response = await fetch(side.urls[request.target], {
    method: 'POST',
    headers: {
      authorization: `Bearer ${side.direct.gateway.apiKey}`,
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      ...(request.user !== undefined && { 'x-alloy-userid': request.user }),
      ...request.headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = messageIn(response.headers.get('content-type'), await response.text());
  const upstream = Object.values(side.upstreams).map(({ recorded }, at) => recorded.slice(counts[at]).map(received));
  return {
    answer: text === '' ? undefined : JSON.parse(text),
    observed: {
      status: response.status,
      headers: Object.fromEntries(comparedHeaders.map((name) => [name, response.headers.get(name)])),
      hasRequestId: response.headers.has('x-request-id'),
      hasRetryAfter: response.headers.has('retry-after'),
      message: masked(side, text),
      upstream,
    },
  };
}

describe('both lanes', () => {
  it('answer, send on and journal at least 150 requests alike', { timeout: 240_000 }, async () => {
    const requests = laneRequests();
    expect(requests.length).toBeGreaterThanOrEqual(150);
    const differences: { name: string; direct: unknown; sdk: unknown }[] = [];
    const statuses = new Map<number, number>();
    let before: unknown[] = [];
    for (const request of requests) {
      const [a, b] = await Promise.all(sides.map((side, at) => send(side, request, before[at])));
      if (a === undefined || b === undefined) throw new Error('there are two sides');
      before = [a.answer, b.answer];
      statuses.set(a.observed.status, (statuses.get(a.observed.status) ?? 0) + 1);
      try {
        expect(b.observed).toEqual(a.observed);
      } catch {
        differences.push({ name: request.name, direct: a.observed, sdk: b.observed });
      }
    }
    expect(differences).toEqual([]);
    // The set is only worth something while it meets refusals as well as results.
    for (const status of [200, 202, 400, 403, 404, 406, 415, 429])
      expect([status, statuses.get(status) ?? 0]).not.toEqual([status, 0]);

    const journals = await Promise.all(
      sides.map(async (side) => {
        const { calls } = await side.direct.api<{ calls: Record<string, unknown>[] }>('GET', '/api/calls?limit=1000');
        const rows = calls.map(({ lane: _, ...row }) => ({
          ...(masked(side, JSON.stringify(row)) as object),
          latencyMs: null,
          actorKeyId: null,
        }));
        return { lanes: new Set(calls.map(({ lane }) => lane)), rows };
      }),
    );
    expect(journals.map((journal) => [...journal.lanes])).toEqual([['direct'], ['sdk']]);
    expect(journals[0]?.rows.length).toBeGreaterThan(60);
    expect(journals[1]?.rows).toEqual(journals[0]?.rows);
  });
});

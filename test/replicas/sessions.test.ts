// Official clients behind a balancer that sends each request to the next of two replicas: 2025-era clients are served without a session, 2026-era
// clients need none. A session that one replica was told to keep is not there for the other.
import { setTimeout as sleep } from 'node:timers/promises';
import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import type { Rig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { startReplicas } from '../support/replicas.ts';

let database: TestDatabase;
let upstream: RecordingUpstream;
let replicas: Rig[] = [];
const paths: Record<string, string> = {};

beforeAll(async () => {
  database = await openTestDatabase('postgres');
  upstream = await startRecordingUpstream();
  replicas = await startReplicas(database, 2);
  const one = replicas[0] as Rig;
  await one.manage('POST', '/api/connectors', { connectorId: 'demo', kind: 'mcp-http', url: upstream.url });
  for (const sessions of ['auto', 'always']) {
    const { accessUrl } = await one.manage('POST', '/api/servers', { name: sessions, mode: 'direct', sessions });
    paths[sessions] = new URL(accessUrl).pathname;
  }
  // The first heard of the second by its own next beat.
  while (replicas.some((rig) => rig.gateway.gateway.parts.replicas.live() < 2)) await sleep(50);
}, 120_000);
afterAll(async () => {
  await Promise.all(replicas.map((rig) => rig.close()));
  replicas = [];
  await upstream?.close();
  await database?.close();
});

interface Seen {
  /** Requests that each replica got. */
  asked: [number, number];
  sessions: Set<string>;
}

/** A balancer without memory: each request to the next. */
function roundRobin(): { fetch: typeof fetch; seen: Seen } {
  const seen: Seen = { asked: [0, 0], sessions: new Set() };
  let next = 0;
  return {
    seen,
    fetch: async (input, init) => {
      const at = next++ % 2;
      seen.asked[at as 0 | 1]++;
      const url = new URL(input instanceof Request ? input.url : input);
      const response = await fetch(new URL(url.pathname + url.search, replicas[at]?.url), init);
      const id = response.headers.get('mcp-session-id');
      if (id !== null) seen.sessions.add(id);
      return response;
    },
  };
}

const info = { name: 'behind-a-balancer', version: '1.0.0' };
const interactive = { elicitation: {}, sampling: {}, roots: {} };
type Connect = (path: string, by: typeof fetch) => Promise<ClientV1 | ClientV2>;

const v2 =
  (versionNegotiation: object): Connect =>
  async (path, by) => {
    const client = new ClientV2(info, { capabilities: interactive, versionNegotiation });
    onTestFinished(() => client.close());
    await client.connect(new TransportV2(new URL(path, replicas[0]?.url), { fetch: by }));
    return client;
  };
const v1: Connect = async (path, by) => {
  const client = new ClientV1(info, { capabilities: interactive });
  onTestFinished(() => client.close());
  await client.connect(new TransportV1(new URL(path, replicas[0]?.url), { fetch: by }));
  return client;
};
const clients: [string, Connect][] = [
  ['v1', v1],
  ['v2 legacy', v2({ mode: 'legacy' })],
  ['v2 auto', v2({ mode: 'auto' })],
  ['v2 pinned', v2({ mode: { pin: '2026-07-28' } })],
];

describe.each(clients)('the official client %s behind two replicas', (name, connect) => {
  it('lists and calls over both, whatever it declares to be able to answer', async () => {
    const { fetch: by, seen } = roundRobin();
    const client = await connect(paths['auto'] as string, by);
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name)).toContain('demo__count');
    for (let n = 0; n < 10; n++) {
      const called = await client.callTool({ name: 'demo__count', arguments: { marker: `${name} ${n}` } });
      expect(called).toMatchObject({ content: [{ type: 'text', text: '1' }] });
    }
    expect(Math.min(...seen.asked)).toBeGreaterThanOrEqual(5);
    expect(seen.sessions.size).toBe(0);
  });
});

describe('a session that a server keeps although there are two replicas', () => {
  const initialize = {
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: info },
  };

  it('is 404 at the other replica, so that a client begins anew, and works on where it was made', async () => {
    const [one, other] = replicas as [Rig, Rig];
    const path = paths['always'] as string;
    const opened = await one.rpc(path, initialize);
    const id = opened.headers.get('mcp-session-id') as string;
    expect(id).toMatch(/^[\x21-\x7e]{22,}$/);
    const headers = { 'mcp-session-id': id, 'mcp-protocol-version': '2025-06-18' };
    const foreign = await other.rpc(path, { method: 'tools/list' }, { headers });
    expect(foreign.status).toBe(404);
    expect((await one.rpc(path, { method: 'tools/list' }, { headers })).status).toBe(200);
    const again = await other.rpc(path, initialize);
    expect(again.status).toBe(200);
    expect(again.headers.get('mcp-session-id')).not.toBe(id);
  });
});

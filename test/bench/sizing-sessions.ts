// What an open session of a 2025-era client takes of the gateway's memory, without and with the stream that the client holds open: resident memory and
// what is alive after full collections, at two counts, so that what the first ones load is not counted.
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEmptyPostgres } from '../support/database.ts';
import { connector, prepare, settings } from './prepared.ts';
import { builtGateway, type GatewayChild, startGateway } from './processes.ts';
import { eachOf, names, type Stage, table } from './sizing-stage.ts';

const counts = [500, 1_500] as const;
/** Streams that a user may hold. */
const perUser = 5;
const users = names(counts[1] / perUser);
const protocolVersion = '2025-11-25';
const settleMs = 3_000;

interface Held {
  user: string;
  session: string;
}
interface Level {
  what: string;
  rssMb: number;
  aliveMb: number;
}

export async function measureSessions(stage: Stage): Promise<void> {
  const database = await openEmptyPostgres();
  const agent = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });
  const streams: ClientRequest[] = [];
  try {
    const { env, key } = settings(database.url, { VALET_RATE_LIMIT_STORE: 'memory' });
    const gateway = await startGateway(builtGateway, env);
    try {
      const path = await prepare(gateway.url, key, stage.upstreamUrl, { users, sessions: 'always' });
      const place = { url: gateway.url + path, key };
      const levels: Level[] = [];
      const level = async (what: string): Promise<void> => void levels.push(await measured(gateway, what));
      const held: Held[] = [];
      // Code and connections that the first sessions bring are there before anything is counted.
      await eachOf(users.slice(0, 50), 10, async (user) => close(place, await openSession(place, user)));
      await level('no session');
      for (const count of counts) {
        const more = Array.from({ length: count - held.length }, (_, i) => users[(held.length + i) % users.length]);
        await eachOf(more, 10, async (user) => held.push(await openSession(place, user ?? '')));
        await level(`${count} sessions`);
      }
      for (const count of counts) {
        await eachOf(held.slice(streams.length, count), 10, async (one) => {
          streams.push(await openStream(place, agent, one));
        });
        await level(`${counts[1]} sessions, ${count} streams`);
      }
      report(stage, levels);
    } finally {
      for (const stream of streams) stream.destroy();
      await gateway.stop();
    }
  } finally {
    agent.destroy();
    await database.close();
  }
}

interface Place {
  url: string;
  key: string;
}

const headersFor = ({ key }: Place, user: string, session?: string): Record<string, string> => ({
  authorization: `Bearer ${key}`,
  'x-alloy-userid': user,
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  ...(session !== undefined && { 'mcp-session-id': session, 'mcp-protocol-version': protocolVersion }),
});

async function send(place: Place, user: string, message: object, session?: string): Promise<Response> {
  const body = JSON.stringify({ jsonrpc: '2.0', ...message });
  const response = await fetch(place.url, { method: 'POST', headers: headersFor(place, user, session), body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${JSON.stringify(message)}: ${response.status} ${text}`);
  return response;
}

/** As a client does it: the handshake, then a call. */
async function openSession(place: Place, user: string): Promise<Held> {
  const clientInfo = { name: 'bench', version: '1.0.0' };
  const params = { protocolVersion, capabilities: {}, clientInfo };
  const response = await send(place, user, { id: 1, method: 'initialize', params });
  const session = response.headers.get('mcp-session-id');
  if (session === null) throw new Error('the gateway gave no session');
  await send(place, user, { method: 'notifications/initialized' }, session);
  const call = { name: `${connector}__echo`, arguments: { text: 'hello' } };
  await send(place, user, { id: 2, method: 'tools/call', params: call }, session);
  return { user, session };
}

async function close(place: Place, { user, session }: Held): Promise<void> {
  const response = await fetch(place.url, { method: 'DELETE', headers: headersFor(place, user, session) });
  if (!response.ok) throw new Error(`DELETE: ${response.status} ${await response.text()}`);
}

/** On a connection of its own, as a client that holds one. */
function openStream(place: Place, agent: Agent, { user, session }: Held): Promise<ClientRequest> {
  return new Promise((resolve, reject) => {
    const stream = request(place.url, { agent, headers: headersFor(place, user, session) });
    stream.once('response', (response: IncomingMessage) => {
      response.resume();
      // Ended with the gateway, or by us.
      response.on('error', () => undefined);
      if (response.statusCode === 200) resolve(stream);
      else reject(new Error(`GET: ${response.statusCode}`));
    });
    stream.on('error', reject);
    stream.end();
  });
}

async function measured(gateway: GatewayChild, what: string): Promise<Level> {
  await sleep(settleMs);
  const { rss, heapUsed, external } = await gateway.memory();
  return { what, rssMb: rss / 1024 ** 2, aliveMb: (heapUsed + external) / 1024 ** 2 };
}

function report({ say }: Stage, levels: readonly Level[]): void {
  const rows = levels.map(({ what, rssMb, aliveMb }) => [what, rssMb.toFixed(1), aliveMb.toFixed(1)]);
  say(table(['', 'resident, MB', 'alive after collection, MB'], rows));
  const [, fewSessions, sessions, fewStreams, streams] = levels;
  const slope = (from: Level | undefined, to: Level | undefined, part: 'rssMb' | 'aliveMb'): string =>
    ((((to?.[part] ?? Number.NaN) - (from?.[part] ?? Number.NaN)) * 1024) / (counts[1] - counts[0])).toFixed(0);
  const slopes = (name: string, from: Level | undefined, to: Level | undefined): string[] => [
    name,
    slope(from, to, 'rssMb'),
    slope(from, to, 'aliveMb'),
  ];
  say(
    `\n${table(
      ['kB each', 'resident', 'alive after collection'],
      [slopes('session', fewSessions, sessions), slopes('stream of a session', fewStreams, streams)],
    )}`,
  );
}

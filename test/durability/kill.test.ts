// DUR-1 and DUR-4: kill -9 at random moments under load, thirty times over both engines. What was acknowledged is there afterwards, nothing is
// half there, and a call that is sent again under its key has run once at most.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../packages/server/src/db/client.ts';
import { type Reader, withReader } from '../security/support/dump.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { ChildGateway, sharedEnvironment } from './support/child-gateway.ts';
import { openDirectory } from './support/data-directory.ts';
import { halfStates } from './support/half-states.ts';
import {
  acknowledged,
  type Ledger,
  load,
  newLedger,
  type Send,
  sender,
  type ToolCall,
  toolCall,
} from './support/load.ts';

interface Engine {
  kind: 'pglite' | 'postgres';
  kills: number;
  open(): Promise<TestDatabase>;
}

const engines: Engine[] = [
  // A restart of the embedded database costs seconds of processor time, one on PostgreSQL a fraction of that.
  { kind: 'pglite', kills: 6, open: openDirectory },
  { kind: 'postgres', kills: 24, open: () => openTestDatabase('postgres') },
];

/** What a repetition may come to besides success: the first attempt is not known to have ended, or it is known to have failed. */
const honest = new Set(['OUTCOME_UNKNOWN', 'IDEMPOTENCY_IN_PROGRESS', 'UPSTREAM_TIMEOUT', 'UPSTREAM_UNREACHABLE']);

describe.each(engines)('kill -9 under load on $kind', ({ kind, kills, open }) => {
  let database: TestDatabase;
  let upstream: RecordingUpstream;
  let env: Record<string, string>;
  let gateway: ChildGateway;
  let send: Send;
  const ledger: Ledger = newLedger();
  const lost: string[] = [];
  let output = '';

  beforeAll(async () => {
    upstream = await startRecordingUpstream({ record: true });
    database = await open();
    env = sharedEnvironment(database.url);
    await start();
    await send('POST', '/api/connectors', {
      connectorId: 'demo',
      kind: 'mcp-http',
      url: upstream.url,
      secretNames: ['TOKEN'],
      inject: { headers: { 'x-token': '{{TOKEN}}' } },
    });
    await send('POST', '/secrets/set', { serverName: 'demo', secretName: 'TOKEN', secretValue: 'value-first' });
    ledger.secrets.set('default', { acknowledged: 'value-first', later: ['value-first'] });
  });
  afterAll(async () => {
    await gateway?.kill();
    await upstream?.close();
    await database?.close();
  });

  async function start(): Promise<void> {
    gateway = await new ChildGateway(env).up();
    send = sender(gateway.url, env['VALET_API_KEY'] as string);
  }

  async function must(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
    const reply = await send(method, path, body, headers);
    if (reply === undefined) throw new Error(`no answer to ${method} ${path}: ${gateway.output.slice(-500)}`);
    return reply;
  }

  /** What was acknowledged since the last look. */
  const seen = { users: 0, keys: 0, servers: 0, calls: 0, deleted: 0 };

  async function look(): Promise<void> {
    for (const username of ledger.users.slice(-40))
      if ((await must('GET', `/users/${username}`)).status !== 200) lost.push(`user ${username}`);
    for (const username of ledger.deleted.slice(seen.deleted))
      if ((await must('GET', `/users/${username}`)).status !== 404) lost.push(`deleted user ${username} is back`);
    for (const { username, text } of ledger.keys.slice(seen.keys)) {
      const me = await sender(gateway.url, text)('GET', '/api/me');
      if (me?.status !== 200 || me.body.effectiveUser.username !== username)
        lost.push(`key of ${username}: ${me?.status}`);
    }
    for (const { serverId } of ledger.servers.slice(seen.servers))
      if ((await must('GET', `/api/servers/${serverId}`)).status !== 200) lost.push(`server ${serverId}`);
    for (const call of ledger.calls.slice(seen.calls)) await again(call);
    for (const { key, username } of ledger.open.splice(0)) {
      // The creation had no answer: sent again it is done once, whether or not it was done then.
      const reply = await must('POST', '/users', { username }, { 'idempotency-key': key });
      if (reply.status === 201) ledger.users.push(username);
      else lost.push(`creation of ${username} under its key: ${reply.status} ${JSON.stringify(reply.body)}`);
    }
    Object.assign(seen, {
      users: ledger.users.length,
      keys: ledger.keys.length,
      servers: ledger.servers.length,
      calls: ledger.calls.length,
      deleted: ledger.deleted.length,
    });
  }

  const acknowledgedCalls = (): number => ledger.calls.filter(({ first }) => first === 'ok').length;

  /**
   * A random moment, counted in answers and not in seconds: machines differ in speed. Every second round waits for a few calls as well, which
   * are slower than the other writes until the new gateway has its upstream's lists.
   */
  async function someWork(round: number): Promise<void> {
    const enough = acknowledged(ledger) + 10 + Math.floor(Math.random() * 50);
    const enoughCalls = acknowledgedCalls() + (round % 2 === 0 ? 1 + Math.floor(Math.random() * 5) : 0);
    const from = performance.now();
    while ((acknowledged(ledger) < enough || acknowledgedCalls() < enoughCalls) && performance.now() - from < 30_000)
      await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
  }

  const outcomes = { replayed: 0, executed: 0, unknown: 0 };

  /** The same call under the same key: done before, done now, or honestly unknown; never done twice. */
  async function again(call: ToolCall): Promise<void> {
    const before = upstream.counts().get(call.marker) ?? 0;
    const reply = await must('POST', '/mcp/tool/call', toolCall(call), { 'idempotency-key': call.key });
    const count = upstream.counts().get(call.marker) ?? 0;
    const told = `${call.marker} (${call.first} at first, ${before} before): ${reply.status} ${JSON.stringify(reply.body).slice(0, 160)}, ${count} executions`;
    if (count > 1) lost.push(`executed twice: ${told}`);
    if (call.first === 'ok' && before !== 1) lost.push(`acknowledged but not executed once: ${told}`);
    const code = String(reply.body.code).toUpperCase();
    if (reply.status === 200) {
      if (count !== 1 || reply.body.data?.content?.[0]?.text !== '1')
        lost.push(`success without one execution: ${told}`);
      if (reply.replayed) outcomes.replayed++;
      else if (before === 0) outcomes.executed++;
      else lost.push(`not marked as a replay: ${told}`);
    } else if (honest.has(code)) {
      if (count !== before) lost.push(`unknown, and executed now: ${told}`);
      outcomes.unknown++;
    } else lost.push(`neither done nor unknown: ${told}`);
  }

  it(`keeps every acknowledged write and executes nothing twice over ${kills} kills`, async () => {
    for (let round = 0; round < kills; round++) {
      const writers = new AbortController();
      const writing = load(send, ledger, writers.signal);
      await someWork(round);
      await gateway.kill();
      writers.abort();
      await writing;
      output += gateway.output;
      await start();
      await look();
      expect(lost).toEqual([]);
    }
    expect(ledger.odd).toEqual([]);
    // Enough happened for the kills to hit something.
    expect(acknowledged(ledger)).toBeGreaterThan(kills * 9);
    expect(ledger.users.length).toBeGreaterThan(kills / 2);
    expect(ledger.calls.some(({ first }) => first === 'none')).toBe(true);
    expect(outcomes.replayed).toBeGreaterThanOrEqual(kills / 2);
  }, 600_000);

  it('opens every secret afterwards, in a value that was sent last', async () => {
    const wrong: string[] = [];
    const still = new Set([...ledger.users, 'default']);
    for (const [username, { acknowledged, later }] of ledger.secrets) {
      if (!still.has(username) || acknowledged === undefined) continue;
      const marker = `secret-${username}`;
      const reply = await must('POST', '/mcp/tool/call', {
        username,
        serverName: 'demo',
        methodName: 'whoami',
        args: { marker },
      });
      const request = upstream.recorded.find(({ body }) => body.includes(`"${marker}"`));
      const value = String(request?.headers['x-token']);
      // Acknowledged, or sent after that and written without its answer coming through.
      if (later.indexOf(value) < later.indexOf(acknowledged))
        wrong.push(`${username}: ${value} instead of ${acknowledged} (${reply.status})`);
    }
    expect(ledger.secrets.size).toBeGreaterThan(3);
    expect(wrong).toEqual([]);
  }, 60_000);

  it('leaves no half states behind', async () => {
    await gateway.kill();
    const check = (read: Reader) => halfStates(read);
    const db = kind === 'pglite' ? await openDatabase({ url: database.url }) : undefined;
    const found =
      db === undefined
        ? await readPostgres(database, check)
        : await withReader({ ...database, kind: 'pglite' }, db, check).finally(() => db.close());
    expect(found.rows).toBeGreaterThan(kills * 9);
    expect(found.problems).toEqual([]);
  }, 60_000);

  it('has printed no secret and no key in all its lives', () => {
    const { VALET_API_KEY = '', VALET_MASTER_KEY = '' } = env;
    for (const text of [VALET_API_KEY, VALET_MASTER_KEY, 'value-', ...ledger.keys.map((key) => key.text.slice(14, 40))])
      expect(output.includes(text)).toBe(false);
    expect(output).not.toContain('last_resort');
  });
});

/** Past row-level security, as only a test may. */
function readPostgres<T>(database: TestDatabase, work: (read: Reader) => Promise<T>): Promise<T> {
  return withReader(database, undefined as never, work);
}

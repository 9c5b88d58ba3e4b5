// OPS-1 in small: SIGTERM with a stream open and calls in flight. Calls end with their answers, the stream ends, the journal has no open row,
// and the process is gone with exit code 0 within 15 seconds.
import { get } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../packages/server/src/db/client.ts';
import { withReader } from '../security/support/dump.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { ChildGateway, sharedEnvironment } from './support/child-gateway.ts';
import { openDirectory } from './support/data-directory.ts';
import { type Send, sender } from './support/load.ts';

const engines = [
  { kind: 'pglite', open: openDirectory },
  { kind: 'postgres', open: (): Promise<TestDatabase> => openTestDatabase('postgres') },
];

interface Stream {
  status: number;
  ended: Promise<void>;
}

function openStream(url: string, headers: Readonly<Record<string, string>>): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { accept: 'text/event-stream', ...headers } }, (response) => {
      const ended = new Promise<void>((done) => {
        response.on('end', done);
        response.on('error', () => done());
        response.on('close', done);
      });
      response.resume();
      resolve({ status: response.statusCode ?? 0, ended });
    });
    request.on('error', reject);
  });
}

describe.each(engines)('SIGTERM on $kind', ({ kind, open }) => {
  let database: TestDatabase;
  let upstream: RecordingUpstream;
  let gateway: ChildGateway;
  let send: Send;
  let key: string;

  beforeAll(async () => {
    upstream = await startRecordingUpstream();
    database = await open();
    const env: Record<string, string> = { ...sharedEnvironment(database.url), VALET_SHUTDOWN_DELAY_MS: '2500' };
    key = env['VALET_API_KEY'] as string;
    gateway = await new ChildGateway(env).up();
    send = sender(gateway.url, key);
    await send('POST', '/api/connectors', { connectorId: 'demo', kind: 'mcp-http', url: upstream.url });
  });
  afterAll(async () => {
    await gateway?.kill();
    await upstream?.close();
    await database?.close();
  });

  it('ends streams, answers what runs, and leaves with exit code 0 within 15 s', async () => {
    const server = await send('POST', '/api/servers', { name: 'with sessions', mode: 'direct', sessions: 'always' });
    const url = `${gateway.url}/mcp/${server?.body.serverId}`;
    const headers = {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    };
    const hello = await fetch(url, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } },
      }),
    });
    const session = hello.headers.get('mcp-session-id');
    await hello.text();
    expect(session).toMatch(/\S{16,}/);
    const stream = await openStream(url, {
      authorization: headers.authorization,
      'mcp-session-id': String(session),
      'mcp-protocol-version': '2025-11-25',
    });
    expect(stream.status).toBe(200);

    const call = (marker: string, ms: number) =>
      send('POST', '/mcp/tool/call', { serverName: 'demo', methodName: 'count', args: { marker, ms } });
    await call('first', 0);
    const running = [call('short', 1_500), call('longer', 3_000)];
    // Both have reached the upstream before the signal.
    while (upstream.counts().size < 3) await new Promise((resolve) => setTimeout(resolve, 20));
    const from = performance.now();
    gateway.signal('SIGTERM');
    // For as long as it was told to it takes new connections, so that a balancer can read there that it is to go.
    await expect.poll(async () => (await fetch(`${gateway.url}/readyz`)).status).toBe(503);
    expect((await send('GET', '/api/me'))?.status).toBe(200);
    const answers = await Promise.all(running);
    expect(answers.map((answer) => answer?.status)).toEqual([200, 200]);
    await stream.ended;
    const exit = await gateway.exited;
    expect(exit).toEqual({ code: 0, signal: null });
    expect(performance.now() - from).toBeLessThan(15_000);
    expect(gateway.output).not.toContain('last_resort');
  }, 40_000);

  it('leaves no open call in the journal', async () => {
    const question = `select (select count(*) from calls where outcome is null) as open, (select count(*) from calls) as calls`;
    const db = kind === 'pglite' ? await openDatabase({ url: database.url }) : undefined;
    const [row] = await withReader(database, db as never, (read) => read(question)).finally(() => db?.close());
    expect([Number(row?.['open']), Number(row?.['calls'])]).toEqual([0, 3]);
  }, 30_000);
});

describe('a second SIGTERM', () => {
  it('ends the process at once with exit code 1', async () => {
    const upstream = await startRecordingUpstream();
    const database = await openTestDatabase('postgres');
    const env = sharedEnvironment(database.url);
    const gateway = await new ChildGateway(env).up();
    try {
      const send = sender(gateway.url, env['VALET_API_KEY'] as string);
      await send('POST', '/api/connectors', { connectorId: 'demo', kind: 'mcp-http', url: upstream.url });
      const running = send('POST', '/mcp/tool/call', {
        serverName: 'demo',
        methodName: 'count',
        args: { marker: 'x', ms: 8_000 },
      });
      while (upstream.counts().size < 1) await new Promise((resolve) => setTimeout(resolve, 20));
      const from = performance.now();
      gateway.signal('SIGTERM');
      // Two signals that arrive while a busy machine does not run the process are one.
      const again = setInterval(() => gateway.signal('SIGTERM'), 300);
      const { code } = await gateway.exited;
      clearInterval(again);
      expect(code).toBe(1);
      expect(performance.now() - from).toBeLessThan(6_000);
      expect(await running).toBeUndefined();
    } finally {
      await gateway.kill();
      await upstream.close();
      await database.close();
    }
  }, 40_000);
});

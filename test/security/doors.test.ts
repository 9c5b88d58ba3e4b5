// NET-2 and NET-6: JSON bombs, and requests that a web page could make somebody's browser send (Host, Origin, media types). Each is refused by
// the first check that can, in the envelope of its route, without holding up the process.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../support/database.ts';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';
import { restFault, rpcFault } from './support/envelopes.ts';
import { exchange, head } from './support/raw-socket.ts';
import { inParallel, type Received, type Sent, Wire } from './support/wire.ts';
import { noLimits } from './support/world.ts';

interface Door {
  method: string;
  path: string;
  isMcp: boolean;
  body?: string;
}

describe('the doors of the gateway', () => {
  let rig: Rig;
  let fixtures: Fixtures;
  let wire: Wire;
  let doors: Door[];
  let host: string;

  beforeAll(async () => {
    rig = await startRig({ database: await openTestDatabase('pglite'), env: noLimits });
    fixtures = await addFixtures(rig);
    wire = new Wire(rig.url, 8);
    host = new URL(rig.url).host;
    const { server } = fixtures.home;
    const ping = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
    const rest = (method: string, path: string, body?: unknown): Door => ({
      method,
      path,
      isMcp: false,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    doors = [
      rest('GET', '/api/me'),
      rest('GET', '/health'),
      rest('GET', '/openapi.json'),
      rest('GET', '/nowhere'),
      rest('DELETE', '/api/keys/none'),
      rest('POST', '/users', { username: 'made-by-a-page' }),
      rest('POST', '/secrets/set', { serverName: 'demo', secretName: 'A', secretValue: 'x' }),
      rest('POST', '/mcp/tool/call', { serverName: 'demo', methodName: 'count', args: { marker: 'made-by-a-page' } }),
      { method: 'POST', path: '/mcp', isMcp: true, body: ping },
      { method: 'POST', path: `/mcp/${server.serverId}`, isMcp: true, body: ping },
      { method: 'POST', path: `/mcp/${server.serverId}/${server.accessToken}`, isMcp: true, body: ping },
    ];
  });
  afterAll(async () => {
    await wire?.close();
    await rig?.close();
    await fixtures?.close();
  });

  const knock = (door: Door, headers: readonly string[]): Promise<Received> => {
    const key = door.path.includes('mcpv_') ? [] : ['authorization', `Bearer ${rig.admin}`];
    const type =
      door.body === undefined || headers.includes('content-type') ? [] : ['content-type', 'application/json'];
    return wire.send({ method: door.method, path: door.path, headers: [...key, ...type, ...headers], body: door.body });
  };
  /** With a Host header that no HTTP client would send. */
  async function knockAs(door: Door, name: string): Promise<Received> {
    const { body = '' } = door;
    const key = door.path.includes('mcpv_') ? {} : { authorization: `Bearer ${rig.admin}` };
    const type =
      door.body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const { text, status } = await exchange(Number(new URL(rig.url).port), [
      head(door.method, door.path, { host: name, ...key, ...type, connection: 'close' }) + body,
    ]);
    const [top = '', ...rest] = text.split('\r\n\r\n');
    const headers = Object.fromEntries(
      top
        .split('\r\n')
        .slice(1)
        .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
    );
    return { status, headers, text: rest.join('\r\n\r\n') };
  }
  const faultOf = (door: Door, answer: Received) => (door.isMcp ? rpcFault(answer) : restFault(answer));

  it('serves no host name but its own', async () => {
    const strange = [
      'evil.test',
      'evil.test:80',
      `evil.test@${'x'}`,
      '127.0.0.1.evil.test',
      'localhost.evil.test',
      'xlocalhost',
      '192.168.0.1',
      '0.0.0.0',
      '[::2]',
      '[::1',
      'a b',
      '',
      '*',
      'evil.test/127.0.0.1',
      'evil.test#localhost',
      'localhost, evil.test',
      '%6cocalhost.evil.test',
    ];
    const faults: string[] = [];
    for (const door of doors) {
      await inParallel(strange, 4, async (name) => {
        const answer = await knockAs(door, name);
        const fault = answer.status === 403 ? faultOf(door, answer) : `not 403`;
        if (fault !== undefined)
          faults.push(
            `${door.method} ${door.path} for ${name}: ${fault}: ${answer.status} ${answer.text.slice(0, 150)}`,
          );
      });
      for (const name of [host, 'localhost', 'LOCALHOST:80', '127.0.0.1', '[::1]:443']) {
        const answer = await knockAs(door.body === undefined ? door : (doors[0] as Door), name);
        if (answer.status === 403) faults.push(`${name} is refused`);
      }
    }
    expect(faults.slice(0, 10)).toEqual([]);
  }, 30_000);

  it('takes no request from a web page of another origin, and never invites one', async () => {
    const strange = [
      'null',
      'http://evil.test',
      'https://evil.test',
      'http://localhost.evil.test',
      'http://evil.test:8787',
      'file://',
      'javascript:alert(1)',
      'chrome-extension://abcdef',
      'http://',
      'x',
      '',
      'http://evil.test/http://localhost',
      'ftp://localhost',
      'http://localhost http://evil.test',
      '//localhost',
    ];
    const faults: string[] = [];
    for (const door of doors) {
      await inParallel(strange, 4, async (origin) => {
        const answer = await knock(door, ['origin', origin]);
        const fault = answer.status === 403 ? faultOf(door, answer) : 'not 403';
        if (fault !== undefined)
          faults.push(
            `${door.method} ${door.path} from ${origin}: ${fault}: ${answer.status} ${answer.text.slice(0, 150)}`,
          );
        if (Object.keys(answer.headers).some((name) => name.startsWith('access-control')))
          faults.push(`${door.path} answers CORS to ${origin}`);
      });
      const preflight = await wire.send({
        method: 'OPTIONS',
        path: door.path,
        headers: [
          'origin',
          'http://localhost',
          'access-control-request-method',
          'POST',
          'access-control-request-headers',
          'authorization',
        ],
      });
      if (preflight.status < 400 || Object.keys(preflight.headers).some((name) => name.startsWith('access-control')))
        faults.push(`${door.path} answers a preflight`);
      const own = await knock({ ...door, ...(door.body !== undefined && { body: '{}' }) }, [
        'origin',
        `http://${host}`,
      ]);
      if (own.status === 403) faults.push(`${door.path} refuses its own origin`);
    }
    expect(faults.slice(0, 10)).toEqual([]);
  }, 30_000);

  it('reads application/json only: what a form can send without asking is not read', async () => {
    const types = [
      'text/plain',
      'text/plain; application/json',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=application/json',
      'application/octet-stream',
      'application/jsonp',
      'text/json',
      'application/json-patch+json',
      'json',
      '',
    ];
    const faults: string[] = [];
    for (const door of doors.filter(({ body }) => body !== undefined)) {
      for (const type of types) {
        const answer = await knock(door, ['content-type', type]);
        const fault = answer.status === 415 ? faultOf(door, answer) : 'not 415';
        if (fault !== undefined)
          faults.push(
            `${door.method} ${door.path} as ${type}: ${fault}: ${answer.status} ${answer.text.slice(0, 150)}`,
          );
      }
    }
    expect(faults.slice(0, 10)).toEqual([]);
  }, 30_000);

  it('has carried out nothing of all that', async () => {
    const names = (await rig.manage('GET', '/users?limit=1000')).users.map(
      ({ username }: { username: string }) => username,
    );
    expect(names).not.toContain('made-by-a-page');
    expect((await rig.manage('GET', '/secrets?serverName=demo')).secrets).toEqual([]);
    expect(fixtures.upstream.counts().size).toBe(0);
  });

  it('refuses JSON bombs at once', async () => {
    const nest = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth);
    const mib = 1024 * 1024;
    const bombs: [string, string][] = [
      ...[100, 5_000, 100_000, 400_000].map((depth): [string, string] => [
        `${depth} arrays in each other`,
        nest('[', ']', depth),
      ]),
      ['objects in each other', nest('{"a":', '}', 50_000)],
      ['arrays that do not end', '['.repeat(900_000)],
      ['100,000 keys', `{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":1`).join(',')}}`],
      ['many small arrays', `[${'[],'.repeat(300_000)}[]]`],
      ['many numbers', `[${'0,'.repeat(450_000)}0]`],
      ['a number beyond all', `{"a":${'9'.repeat(900_000)}}`],
      ['1e400', '{"a":1e400,"b":-1e400}'],
      ['one long string', `{"a":"${'x'.repeat(900_000)}"}`],
      ['a string of escapes', `{"a":"${'\\u0041'.repeat(150_000)}"}`],
      ['a string of surrogates', `{"a":"${'\\ud800'.repeat(150_000)}"}`],
      ['a string of quotes', `{"a":"${'\\"'.repeat(400_000)}"}`],
      ['backslashes without end', `{"a":"${'\\'.repeat(899_999)}`],
      ['quotes without end', '"'.repeat(900_000)],
      ['one key many times', `{${'"a":1,'.repeat(40_000)}"a":2}`],
    ];
    const larger: [string, string][] = [
      ['10 MiB of arrays', `[${'[],'.repeat(3 * mib)}[]]`],
      ['10 MiB of depth', '['.repeat(10 * mib - 10)],
      ['10 MiB of string', `"${'x'.repeat(10 * mib - 10)}"`],
      ['10 MiB of escapes', `"${'\\\\'.repeat(5 * mib - 10)}"`],
      ['11 MiB', `"${'x'.repeat(11 * mib)}"`],
    ];
    const faults: string[] = [];
    const send = async (door: Door, [name, body]: [string, string]) => {
      const sent: Sent = {
        method: 'POST',
        path: door.path,
        headers: ['authorization', `Bearer ${rig.admin}`, 'content-type', 'application/json'],
        body,
      };
      const from = performance.now();
      const answer = await wire.send(sent);
      const ms = performance.now() - from;
      const fault = answer.status >= 400 && answer.status < 500 ? faultOf(door, answer) : `status ${answer.status}`;
      if (fault !== undefined) faults.push(`${name} at ${door.path}: ${fault} ${answer.text.slice(0, 150)}`);
      if (ms > 2_000) faults.push(`${name} at ${door.path} took ${Math.round(ms)} ms`);
    };
    const posts = doors.filter(({ method, path }) => method === 'POST' && !path.includes('mcpv_'));
    for (const door of posts) for (const bomb of bombs) await send(door, bomb);
    for (const door of posts.filter(({ path }) => path.startsWith('/mcp')))
      for (const bomb of larger) await send(door, bomb);
    expect(faults).toEqual([]);
  }, 60_000);
});

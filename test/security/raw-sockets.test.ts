// NET-1 below HTTP and NET-4: bytes that are no requests, framing that two parsers would read differently, and clients that are too slow.
// Each is answered with our envelope or cut; others do not notice, and what was smuggled is not carried out.
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../support/database.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type Exchange, exchange, head, type Move } from './support/raw-socket.ts';
import { inParallel, json } from './support/wire.ts';
import { noLimits } from './support/world.ts';

const seed = Number(process.env['VALET_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

describe('bytes on the socket', () => {
  let rig: Rig;
  let port: number;
  let auth: { host: string; authorization: string };
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);

  beforeAll(async () => {
    process.on('unhandledRejection', note);
    process.on('uncaughtException', note);
    rig = await startRig({ database: await openTestDatabase('pglite'), env: noLimits });
    port = Number(new URL(rig.url).port);
    auth = { host: `127.0.0.1:${port}`, authorization: `Bearer ${rig.admin}` };
  });
  afterAll(async () => {
    process.off('unhandledRejection', note);
    process.off('uncaughtException', note);
    await rig?.close();
  });

  const usernames = async (): Promise<string[]> =>
    (await rig.manage('GET', '/users?limit=1000')).users.map(({ username }: { username: string }) => username);
  const createUser = (username: string) => JSON.stringify({ username });
  const bodyOf = (text: string) =>
    json(text.slice(text.indexOf('\r\n\r\n') + 4)) as { error?: { code?: string }; requestId?: string } | undefined;
  const json1 = { 'content-type': 'application/json' };

  it('answers what is no HTTP with an envelope, or ends the connection, and never with a 5xx', async () => {
    const ok = head('GET', '/api/me', auth);
    const line = (text: string) => `${text}\r\nhost: 127.0.0.1\r\n\r\n`;
    const cases: Record<string, Move[]> = {
      'bytes that are no request': [Buffer.from([0, 1, 2, 3, 0xff, 0xfe, 13, 10, 13, 10])],
      'a TLS hello': [Buffer.from('160301020001000100', 'hex')],
      'an HTTP/2 preface': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
      'HTTP/0.9': ['GET /\r\n\r\n'],
      'an unknown version': [line('GET / HTTP/9.9')],
      'an unknown method': [line('BREW /pot HTTP/1.1')],
      'a method in small letters': [line('get / HTTP/1.1')],
      'no path': [line('GET  HTTP/1.1')],
      'a path with a NUL': [line('GET /a\u0000b HTTP/1.1')],
      'a path with raw UTF-8': [line('GET /\u00e9\u{1f511} HTTP/1.1')],
      'a path with a space': [line('GET /a b HTTP/1.1')],
      'an absolute path of another host': [line('GET http://evil.test/api/me HTTP/1.1')],
      CONNECT: [line('CONNECT evil.test:443 HTTP/1.1')],
      'OPTIONS *': [line('OPTIONS * HTTP/1.1')],
      'a header without a colon': ['GET / HTTP/1.1\r\nhost 127.0.0.1\r\n\r\n'],
      'a header with a space before the colon': ['GET / HTTP/1.1\r\nhost : 127.0.0.1\r\n\r\n'],
      'a folded header': ['GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: b\r\n c\r\n\r\n'],
      'a NUL in a header': ['GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: b\u0000c\r\n\r\n'],
      'a bare carriage return': ['GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: b\rc\r\n\r\n'],
      'bare line feeds': ['GET / HTTP/1.1\nhost: 127.0.0.1\n\n'],
      'no host': ['GET /api/me HTTP/1.1\r\n\r\n'],
      'two hosts': [`GET /api/me HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.test\r\n\r\n`],
      'headers over the limit': [head('GET', '/api/me', { ...auth, 'x-long': 'a'.repeat(20_000) })],
      'thousands of headers': [
        `GET / HTTP/1.1\r\n${Array.from({ length: 3_000 }, (_, i) => `x-${i}: 1\r\n`).join('')}\r\n`,
      ],
      'a path over the limit': [line(`GET /${'a'.repeat(20_000)} HTTP/1.1`)],
      'a length that is no number': [head('POST', '/users', { ...auth, ...json1, 'content-length': 'x' })],
      'a negative length': [head('POST', '/users', { ...auth, ...json1, 'content-length': -1 })],
      'a length beyond all numbers': [head('POST', '/users', { ...auth, ...json1, 'content-length': '9'.repeat(30) })],
      'two lengths': ['POST /users HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd'],
      'length and chunks at once': [
        `${head('POST', '/users', { ...auth, ...json1, 'content-length': 4, 'transfer-encoding': 'chunked' })}0\r\n\r\n`,
      ],
      'an unknown transfer coding': [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'xchunked' })}0\r\n\r\n`,
      ],
      'chunked twice': [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'chunked, identity' })}0\r\n\r\n`,
      ],
      'a chunk size that is no number': [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'chunked' })}zz\r\nabc\r\n0\r\n\r\n`,
      ],
      'a chunk size beyond all numbers': [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'chunked' })}${'f'.repeat(40)}\r\nabc`,
      ],
      'a chunk longer than it says': [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'chunked' })}2\r\nabcdef\r\n0\r\n\r\n`,
      ],
      'an endless chunk extension': [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'chunked' })}1;${'a'.repeat(100_000)}`,
      ],
      'trailers over the limit': [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'chunked' })}0\r\n${'x: y\r\n'.repeat(10_000)}\r\n`,
      ],
      'a broken percent-encoding': [line('GET /users/%zz HTTP/1.1'), 50, ok],
      'a broken percent-encoding on an MCP path': [line('POST /mcp/%E0%A4%A/mcpv_url_x HTTP/1.1')],
    };
    const results = new Map<string, Exchange>();
    await inParallel(
      Object.entries(cases),
      8,
      async ([name, moves]) =>
        void results.set(name, await exchange(port, moves, { patienceMs: 10_000, halfClose: true })),
    );
    const faults = [...results].flatMap(([name, { status, text, ended }]) => {
      if (status >= 500 || /HTTP\/1\.1 5\d\d/.test(text)) return [`${name}: ${text.slice(0, 200)}`];
      if (status === 0) return ended && text === '' ? [] : [`${name}: ${text.slice(0, 100)}`];
      if (status < 400) return [`${name} was carried out: ${text.slice(0, 100)}`];
      const isFramed =
        /\r\nx-request-id: \S+/i.test(text) && /"(code|error)":/.test(text) && /"(requestId|request_id)":/.test(text);
      return isFramed ? [] : [`${name} has no envelope: ${text.slice(0, 300)}`];
    });
    expect(faults).toEqual([]);
    expect([...results.values()].filter(({ status }) => status >= 400).length).toBeGreaterThan(25);
  }, 60_000);

  it('carries out nothing that is smuggled in a body, behind one, or in a trailer', async () => {
    const inner = (name: string) =>
      `${head('POST', '/users', { ...auth, ...json1, 'content-length': createUser(name).length })}${createUser(name)}`;
    const before = await usernames();
    const outer = createUser('outer1');
    const attacks: Move[][] = [
      [
        `${head('POST', '/users', { ...auth, ...json1, 'content-length': 6, 'transfer-encoding': 'chunked' })}0\r\n\r\n${inner('smuggled1')}`,
      ],
      [
        `POST /users HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: ${auth.authorization}\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n${inner('smuggled2')}`,
      ],
      [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'chunked' })}${'0'.repeat(5)}zz\r\n\r\n${inner('smuggled3')}`,
      ],
      [
        `${head('POST', '/users', { ...auth, ...json1, 'content-length': outer.length + inner('smuggled4').length })}${outer}${inner('smuggled4')}`,
      ],
      [
        `${head('POST', '/users', { ...auth, ...json1, 'transfer-encoding': 'chunked', trailer: 'x' })}0\r\nx: 1\r\n\rPOST /users HTTP/1.1\r\n\r\n`,
      ],
    ];
    for (const moves of attacks) await exchange(port, moves, { patienceMs: 800 });
    expect((await usernames()).sort()).toEqual(before.sort());
  }, 30_000);

  it('does not carry out a request whose body ends early', async () => {
    const text = createUser('cut-short');
    for (const end of [true, false]) {
      const answer = await exchange(
        port,
        [`${head('POST', '/users', { ...auth, ...json1, 'content-length': text.length + 10 })}${text}`],
        { halfClose: end, patienceMs: 500 },
      );
      expect(answer.status === 0 || answer.status >= 400).toBe(true);
    }
    expect(await usernames()).not.toContain('cut-short');
  });

  it('refuses a stranger before the body is read', async () => {
    for (const path of ['/users', '/mcp', '/mcp/tool/call', '/mcp/nowhere-00000000/garbage', '/secrets/set']) {
      const withKey = path.includes('garbage') ? {} : { authorization: 'Bearer nobody' };
      const answer = await exchange(
        port,
        [head('POST', path, { host: auth.host, ...withKey, ...json1, 'content-length': 5_000_000 })],
        { patienceMs: 5_000, until: /\r\n\r\n/ },
      );
      expect([path, answer.status]).toEqual([path, 401]);
    }
  });

  it('survives streams of random bytes', async () => {
    const words = [
      'GET ',
      'POST ',
      '/mcp',
      '/users',
      ' HTTP/1.1\r\n',
      'host: 127.0.0.1\r\n',
      '\r\n',
      '\r\n\r\n',
      'content-length: ',
      '10',
      'transfer-encoding: chunked\r\n',
      '5\r\nhello\r\n',
      '0\r\n\r\n',
      '{"a":1}',
      '\u0000',
      'authorization: Bearer x\r\n',
      ': ',
      '\n',
      '\r',
      '%zz',
      '?',
    ];
    const piece = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...words).map((word) => Buffer.from(word)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)) },
    );
    const sample = fc.sample(fc.array(piece, { minLength: 1, maxLength: 25 }), { numRuns: 300, seed });
    const faults: string[] = [];
    await inParallel(sample, 16, async (pieces) => {
      const { text } = await exchange(port, [Buffer.concat(pieces)], { halfClose: true, patienceMs: 400 });
      if (/HTTP\/1\.1 5\d\d/.test(text))
        faults.push(`${Buffer.concat(pieces).toString('latin1')} -> ${text.slice(0, 200)}`);
    });
    expect(faults, `seed ${seed}`).toEqual([]);
    expect((await rig.send('/healthz')).status).toBe(200);
    expect(unhandled).toEqual([]);
  }, 60_000);

  it('cuts slow headers after 12 s and slow bodies after 17 s, while others are served', async () => {
    const slowHead: Move[] = [
      `GET /api/me HTTP/1.1\r\nhost: ${auth.host}\r\n`,
      ...Array.from({ length: 30 }, (_, i) => [700, `x-${i}: 1\r\n`]).flat(),
    ];
    const slowBody: Move[] = [
      head('POST', '/users', { ...auth, ...json1, 'content-length': 1_000 }),
      ...Array.from({ length: 40 }, () => [600, ' ']).flat(),
    ];
    const slowMcpBody: Move[] = [
      head('POST', '/mcp', { ...auth, ...json1, 'transfer-encoding': 'chunked' }),
      ...Array.from({ length: 40 }, () => [600, '1\r\n \r\n']).flat(),
    ];
    const times = (n: number, moves: Move[]) =>
      Array.from({ length: n }, () => exchange(port, moves, { patienceMs: 20_000 }));
    const heads = Promise.all([...times(20, slowHead), exchange(port, [], { patienceMs: 20_000 })]);
    const bodies = Promise.all([...times(10, slowBody), ...times(10, slowMcpBody)]);
    const waits: number[] = [];
    for (let n = 0; n < 60; n++) {
      const from = performance.now();
      expect((await rig.send('/api/me', { key: rig.admin })).status).toBe(200);
      waits.push(performance.now() - from);
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    const [slowHeads, slowBodies] = await Promise.all([heads, bodies]);
    expect(slowHeads.map(({ ended }) => ended)).not.toContain(false);
    // With what a busy machine adds, and below the time of a whole request.
    expect(Math.max(...slowHeads.map(({ ms }) => ms))).toBeLessThan(14_800);
    expect(slowBodies.map(({ ended }) => ended)).not.toContain(false);
    expect(Math.max(...slowBodies.map(({ ms }) => ms))).toBeLessThan(19_800);
    expect(new Set([...slowHeads, ...slowBodies].map(({ status }) => status)).has(200)).toBe(false);
    for (const { text } of slowBodies) if (text !== '') expect(bodyOf(text)?.requestId).toMatch(/^req_/);
    expect(waits.sort((x, y) => x - y)[57]).toBeLessThan(4_000);
  }, 90_000);
});

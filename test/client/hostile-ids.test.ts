// Ids of users, servers, connectors and secrets come from other people's databases. Whatever is in them reaches the intended place exactly as
// given, or is refused before anything is sent: no other route, no other user, no other header.
import { createServer } from 'node:http';
import { MCPClient, ValidationError } from '@mcp-valet/client';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';

interface Arrived {
  method: string;
  /** As it stood in the request line. */
  path: string;
  user: string | undefined;
  body: Record<string, unknown>;
}

interface Place {
  /** A call that carries the value in one place. */
  send(client: MCPClient, value: string): PromiseLike<unknown>;
  /** The value as it arrived there; throws when the request is not the intended one. */
  read(arrived: Arrived): unknown;
}

/** The one segment of a path that is not fixed. */
function segment(path: string, prefix: string): string {
  const rest = path.startsWith(prefix) ? path.slice(prefix.length) : '/';
  if (/[/?#\\]/.test(rest)) throw new Error(`another route was reached: ${path}`);
  return decodeURIComponent(rest);
}
function at<T>(path: string, wanted: string, value: T): T {
  if (path !== wanted) throw new Error(`another route was reached: ${path}`);
  return value;
}

const places: Record<string, Place> = {
  user: {
    send: (client, value) => client.executeForUser(value, 'echo'),
    read: ({ path, user }) => at(path, '/prefix/mcp', user),
  },
  'user of a view': {
    send: async (client, value) => client.forUser(value).history(),
    read: ({ path }) =>
      new URLSearchParams(at(path.split('?')[0] ?? '', '/prefix/api/calls', path.split('?')[1])).get('userId'),
  },
  server: {
    send: (client, value) => client.executeForUser('alice', 'echo', {}, { server: value }),
    read: ({ path, user }) => at(String(user), 'alice', segment(path, '/prefix/mcp/')),
  },
  connector: {
    send: (client, value) => client.connectors.get(value),
    read: ({ path }) => segment(path, '/prefix/api/connectors/'),
  },
  'secret name': {
    send: (client, value) => client.setSecret({ userId: 'alice', connector: 'crm', name: value, value: 'v' }),
    read: ({ path, body }) =>
      at(
        path + JSON.stringify([body['username'], body['serverName']]),
        '/prefix/secrets/set["alice","crm"]',
        body['secretName'],
      ),
  },
};

const naughty = [
  [
    'constructor',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'valueOf',
    'then',
    'prototype',
    'null',
    'undefined',
    'NaN',
  ],
  [
    '.',
    '..',
    '...',
    './',
    '../',
    '../../admin',
    '..;/',
    '%2e%2e',
    '%2e%2e%2fusers',
    '%252e',
    '..%00',
    '%',
    '%zz',
    '%c0%ae',
  ],
  [
    '/',
    '//',
    '//evil.example',
    '/api/keys',
    'a/b',
    'a/../b',
    'a\\b',
    '\\\\evil',
    'http://evil.example',
    'a?x=1',
    'a#b',
    'a;b=c',
    '@evil',
    ':8080',
  ],
  [
    'a\r\nx-alloy-userid: bob',
    'a\nb',
    'a\tb',
    'a\u0000b',
    '\u007f',
    ' ',
    ' alice',
    'alice ',
    'a b',
    '\u00a0',
    '\u2028',
    '\ufeff',
    '\u200b',
  ],
  ['ä', 'a\u0308', 'İ', 'ﬀ', '用户', '👩‍👩‍👧', '🏳️‍🌈', '\u202egnp', 'Ａ', '\ud800', '\udc00x', 'a\ud83d'],
  [
    '{serverId}',
    '{}',
    '$(x)',
    '{{TOKEN}}',
    "' or 1=1 --",
    '<script>',
    '$(id)',
    '`id`',
    '{"$ne":1}',
    '[]',
    '*',
    '-1',
    '0',
    '1e9',
    '',
    'x'.repeat(600),
  ],
].flat();

it('reach the place they are meant for as they are, over a socket, or are refused', async () => {
  const seen: Arrived[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Record<string, unknown>;
    const { method = '', url: path = '', headers } = request;
    seen.push({ method, path, user: headers['x-alloy-userid'] as string | undefined, body });
    response.writeHead(200, { 'content-type': 'application/json' }).end(answerTo(body));
  });
  const baseUrl = `http://127.0.0.1:${await listenOnLoopback(server)}/prefix`;
  const tally = await tryAll(new MCPClient({ baseUrl, apiKey: 'k', ...plain }), seen, naughty);
  await closeServer(server);
  expect(tally.sent + tally.refused).toBe(naughty.length * Object.keys(places).length);
  expect(tally.sent).toBeGreaterThan(150);
  expect(tally.refused).toBeGreaterThan(50);
});

it('reach it whatever they are made of: 10,000 generated ones', { timeout: 120_000 }, async () => {
  const seen: Arrived[] = [];
  // The platform's own Request, which trims and normalises as a socket's would; nothing leaves the process.
  const fake: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const { pathname, search } = new URL(request.url);
    const body = JSON.parse((await request.text()) || '{}') as Record<string, unknown>;
    const user = request.headers.get('x-alloy-userid') ?? undefined;
    seen.push({ method: request.method, path: pathname + search, user, body });
    return new Response(answerTo(body), { headers: { 'content-type': 'application/json' } });
  };
  const client = new MCPClient({ baseUrl: 'https://valet.example/prefix', apiKey: 'k', fetch: fake, ...plain });
  const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 12 });
  const any = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme-ascii' }),
    units.map((codes) => String.fromCharCode(...codes)),
    fc.array(fc.constantFrom(...naughty), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('')),
  );
  const tally = await tryAll(client, seen, fc.sample(any, { numRuns: 10_000, seed: 5 }), 1);
  expect(tally.sent + tally.refused).toBe(10_000);
  expect(tally.sent).toBeGreaterThan(4_000);
});

const plain = { logLevel: 'off', rateLimit: false, maxRetries: 0 } as const;

/** Something that every route here takes for an answer. */
function answerTo({ id }: Record<string, unknown>): string {
  return JSON.stringify({ jsonrpc: '2.0', id, result: { content: [] }, calls: [], secret: {} });
}

/** Sends every value to every place, or to so many in turn, and throws on the first that arrives changed or somewhere else. */
async function tryAll(
  client: MCPClient,
  seen: Arrived[],
  values: readonly string[],
  each = Object.keys(places).length,
) {
  const tally = { sent: 0, refused: 0 };
  const all = Object.entries(places);
  for (const [index, value] of values.entries()) {
    for (const [name, { send, read }] of [...all, ...all].slice(index % all.length, (index % all.length) + each)) {
      const before = seen.length;
      // A view is refused when it is made, a call when it is made: both within this function.
      const error = await (async () => send(client, value))().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      const arrived = seen.slice(before);
      if (error instanceof ValidationError && arrived.length === 0) {
        tally.refused++;
        continue;
      }
      const [one] = arrived;
      if (arrived.length !== 1 || one === undefined || read(one) !== value) {
        throw new Error(`${name} ${JSON.stringify(value)} arrived as ${JSON.stringify(arrived)}`, { cause: error });
      }
      tally.sent++;
    }
  }
  return tally;
}

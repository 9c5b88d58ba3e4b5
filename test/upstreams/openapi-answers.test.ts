// What becomes of the answers of a REST API, over real HTTP: results of every kind, failures told apart, secrets taken out, one request per
// call whatever comes back.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RestCarrier } from '../../packages/server/src/connectors/backends/http.ts';
import type { Egress } from '../../packages/server/src/connectors/egress.ts';
import { importDocument } from '../../packages/server/src/connectors/openapi/import.ts';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import { callOf, failureOf } from '../support/raw-upstream.ts';
import { type RestUpstreamOptions, restCarrier, restUpstreamOf } from '../support/rest-upstream.ts';

const get = (operationId: string, security: object[] = []) => ({ get: { operationId, security } });
const { compiled } = importDocument({
  openapi: '3.1.0',
  paths: {
    '/open': get('open'),
    '/basic': get('basic', [{ basic: [] }]),
    '/bearer': get('bearer', [{ bearer: [] }]),
    '/key': get('key', [{ key: [] }]),
    '/optional': get('optional', [{ bearer: [] }, {}]),
  },
  components: {
    securitySchemes: {
      basic: { type: 'http', scheme: 'basic' },
      bearer: { type: 'http', scheme: 'bearer' },
      key: { type: 'apiKey', in: 'query', name: 'api key' },
    },
  },
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
let answer: Answer = (_, response) => void response.end();
const seen: { url: string; authorization: string | undefined; userAgent: string | undefined }[] = [];
const server = createServer((request, response) => {
  const { authorization, 'user-agent': userAgent } = request.headers;
  seen.push({ url: request.url ?? '', authorization, userAgent });
  answer(request, response);
});
let url = '';
let egress: Egress;
let rest: RestCarrier;
beforeAll(async () => {
  url = `http://127.0.0.1:${await listenOnLoopback(server)}`;
  ({ egress, rest } = restCarrier(compiled, 100_000));
});
afterAll(async () => {
  await egress.close();
  await closeServer(server);
});
afterEach(() => {
  seen.length = 0;
});

const replies = (status: number, body: string | Buffer, headers: Record<string, string> = {}): void => {
  answer = (_, response) => void response.writeHead(status, headers).end(body);
};
const call = async (
  name = 'open',
  options: RestUpstreamOptions = {},
  args: Record<string, unknown> = {},
  signal?: AbortSignal,
) => rest.request(restUpstreamOf(url, options), callOf(name, args, signal));
const json = { 'content-type': 'application/json; charset=utf-8' };

describe('an answer', () => {
  it('of JSON is text and structured content, with its status', async () => {
    replies(201, '{"id": 1, "tags": ["a"]}', json);
    expect(await call()).toEqual({
      status: 201,
      result: {
        content: [{ type: 'text', text: '{"id":1,"tags":["a"]}' }],
        structuredContent: { id: 1, tags: ['a'] },
        _meta: { 'mcp-valet/http': { status: 201, contentType: json['content-type'] } },
      },
    });
  });

  it.each([
    ['a JSON list', '[1,2]', json, [{ type: 'text', text: '[1,2]' }]],
    ['JSON that is none', '{"a":', json, [{ type: 'text', text: '{"a":' }]],
    ['text', 'a,b\n1,2', { 'content-type': 'text/csv' }, [{ type: 'text', text: 'a,b\n1,2' }]],
    [
      'text in another charset',
      Buffer.from('grün', 'latin1'),
      { 'content-type': 'text/plain; charset=iso-8859-1' },
      [{ type: 'text', text: 'grün' }],
    ],
    ['nothing', '', {}, [{ type: 'text', text: '{"status":200}' }]],
    [
      'an image',
      Buffer.from([1, 255]),
      { 'content-type': 'image/png' },
      [{ type: 'image', data: 'Af8=', mimeType: 'image/png' }],
    ],
    [
      'bytes',
      Buffer.from([0, 255]),
      { 'content-type': 'application/zip' },
      [{ type: 'resource', resource: { uri: 'valet-result:///open', mimeType: 'application/zip', blob: 'AP8=' } }],
    ],
    [
      'bytes without a type',
      Buffer.from([0, 255]),
      {},
      [
        {
          type: 'resource',
          resource: { uri: 'valet-result:///open', mimeType: 'application/octet-stream', blob: 'AP8=' },
        },
      ],
    ],
  ])('of %s is content of its kind', async (_, body, headers, content) => {
    replies(200, body, headers);
    const { result } = await call();
    expect(result['content']).toEqual(content);
    expect(result['structuredContent']).toBeUndefined();
  });

  it.each([400, 403, 404, 409, 422])(
    'with status %i is a failed result with the words of the upstream',
    async (status) => {
      replies(status, '{"message":"no such pet"}', json);
      const { result } = await call();
      expect(result).toMatchObject({
        isError: true,
        content: [{ type: 'text', text: `{"status":${status},"body":{"message":"no such pet"}}` }],
      });
    },
  );

  it('that fails at length is cut', async () => {
    replies(400, 'x'.repeat(90_000));
    const { result } = await call();
    expect(JSON.stringify(result).length).toBeLessThan(66_000);
  });
});

describe('a failure', () => {
  it.each([
    [401, {}, { kind: 'unauthorized', executed: 'no', status: 401 }],
    [429, { 'retry-after': '7' }, { kind: 'rate_limited', executed: 'no', retryAfterMs: 7_000 }],
    [429, { 'retry-after': 'Thu, 01 Jan 2099 00:00:00 GMT' }, { kind: 'rate_limited', retryAfterMs: 3_600_000 }],
    [429, { 'retry-after': 'soon' }, { kind: 'rate_limited', retryAfterMs: undefined }],
    [500, {}, { kind: 'broken', executed: 'unknown', status: 500 }],
    [503, { 'retry-after': '1' }, { kind: 'broken', executed: 'unknown', retryAfterMs: 1_000 }],
    [302, { location: 'http://127.0.0.1/' }, { kind: 'broken', executed: 'unknown' }],
  ])('by status %i with %j is told as what it is, and sent once', async (status, headers, expected) => {
    replies(status, 'secret words of the upstream', headers);
    const failure = await failureOf(call());
    expect(failure).toMatchObject(expected);
    expect(failure.message).not.toContain('words');
    expect(seen).toHaveLength(1);
  });

  it.each([
    [
      'cut off',
      (_: unknown, response: ServerResponse) =>
        void response.writeHead(200, { 'content-length': '10' }).write('x', () => response.destroy()),
    ],
    ['too large', (_: unknown, response: ServerResponse) => void response.end('x'.repeat(100_001))],
    ['closed without a word', (request: IncomingMessage) => void request.socket.destroy()],
  ] as [string, Answer][])('by an answer %s is broken with unknown outcome, and sent once', async (_, how) => {
    answer = how;
    expect(await failureOf(call())).toMatchObject({ kind: 'broken', executed: 'unknown' });
    expect(seen).toHaveLength(1);
  });

  it('by silence is a timeout', async () => {
    answer = () => undefined;
    expect(await failureOf(call('open', {}, {}, AbortSignal.timeout(1_000)))).toMatchObject({
      kind: 'timeout',
      executed: 'unknown',
    });
  });

  it('to reach anybody sent nothing', async () => {
    const closed = rest.request(restUpstreamOf('http://127.0.0.1:1'), callOf('open'));
    expect(await failureOf(closed)).toMatchObject({ kind: 'unreachable', executed: 'no' });
    const forbidden = rest.request(restUpstreamOf('http://169.254.169.254'), callOf('open'));
    expect(await failureOf(forbidden)).toMatchObject({ kind: 'unreachable', executed: 'no' });
    const nowhere = rest.request(restUpstreamOf(''), callOf('open'));
    expect(await failureOf(nowhere)).toMatchObject({ executed: 'no', words: expect.stringContaining('baseUrl') });
  });

  it('to find the action, or to understand the arguments, sent nothing', async () => {
    await expect(call('nothing')).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'Action not found' });
    await expect(call('open', {}, { a: 1 })).rejects.toMatchObject({
      code: 'UNPROCESSABLE',
      executed: 'no',
      message: 'Invalid parameters: a is not known',
      details: { issues: [{ path: 'a' }] },
    });
    expect(seen).toEqual([]);
  });
});

describe('secrets', () => {
  const username = 'alice@example.com';
  const password = 'pass-word-of-alice';
  it('go where the scheme says and come back from nowhere', async () => {
    answer = (request, response) => {
      const echo = { header: request.headers.authorization, url: request.url, password, [password]: 'key' };
      response.writeHead(200, { ...json, 'x-echo': password }).end(JSON.stringify(echo));
    };
    const { result } = await call('basic', { secrets: { username, password } });
    const encoded = Buffer.from(`${username}:${password}`).toString('base64');
    expect(seen[0]?.authorization).toBe(`Basic ${encoded}`);
    for (const hidden of [password, username, encoded]) expect(JSON.stringify(result)).not.toContain(hidden);
    await call('key', { secrets: { ANY: 'k/1 and more' } });
    expect(seen[1]?.url).toBe('/key?api%20key=k%2F1%20and%20more');
  });

  it('that are short are taken out where they travel as one text', async () => {
    answer = (request, response) => void response.end(`you sent ${request.headers.authorization}`);
    const { result } = await call('basic', { secrets: { username: 'bob', password: 'pw' } });
    expect(JSON.stringify(result)).not.toContain(Buffer.from('bob:pw').toString('base64'));
  });

  it('are taken out of failed results and of bytes', async () => {
    const secrets = { bearer: 'token-of-alice-123' };
    replies(403, `{"error":"token ${secrets.bearer} lacks a scope"}`, json);
    expect(JSON.stringify((await call('bearer', { secrets })).result)).not.toContain(secrets.bearer);
    replies(200, Buffer.concat([Buffer.from([0, 200]), Buffer.from(secrets.bearer)]), {
      'content-type': 'application/x-thing',
    });
    const { result } = await call('bearer', { secrets });
    const [{ resource }] = result['content'] as [{ resource: { blob: string } }];
    expect(Buffer.from(resource.blob, 'base64').toString('latin1')).toBe('\0È[secret]');
  });

  it('that are missing are named, and nothing is sent; where the document allows it the call is anonymous', async () => {
    replies(200, '');
    await expect(call('bearer')).rejects.toThrow('The connector needs the secret bearer');
    expect(seen).toEqual([]);
    await call('optional');
    await call('optional', { secrets: { T: 'token' } });
    expect(seen.map(({ authorization }) => authorization)).toEqual([undefined, 'Bearer token']);
  });

  it('go where the connector injects them instead of where the document says', async () => {
    replies(200, '');
    const inject = { headers: { Authorization: 'Custom {{K}}' }, query: { who: '{{user.username}}' } };
    await call('bearer', { secrets: { K: 'value', more: 'x' }, inject });
    expect(seen).toEqual([{ url: '/bearer?who=alice', authorization: 'Custom value', userAgent: 'MCP-Valet/9.9.9' }]);
  });

  it('are not merged into the arguments', async () => {
    replies(200, '');
    await call('open', { secrets: { a: 'token-of-alice-123' } });
    expect(seen).toEqual([expect.objectContaining({ url: '/open', authorization: undefined })]);
  });
});

// Sessions of 2025-era clients at the gateway: whose they are, what they are for, and when they end. Raw HTTP, as a careless or hostile
// client would send it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import { type DirectGateway, startDirectGateway } from './direct-gateway.ts';

let upstream: EverythingUpstream;
let direct: DirectGateway;
let url: string;
let otherUrl: string;

beforeAll(async () => {
  upstream = await startEverything();
  direct = await startDirectGateway([{ id: 'everything', url: upstream.url }]);
  const fields = { connectors: ['everything'], prefix: 'none', sessions: 'always' };
  url = (await direct.publish(fields)).plainUrl;
  otherUrl = (await direct.publish(fields)).plainUrl;
  for (const username of ['ada', 'bob', 'carol', 'dora', 'eve', 'mary'])
    await direct.api('POST', '/users', { username });
});
afterAll(async () => {
  await direct.close();
  await upstream.close();
});

interface Answer {
  status: number;
  sessionId: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: JSON as it came
  message: any;
}

interface SendOptions {
  method?: string;
  to?: string;
  key?: string;
  user?: string;
  session?: string | null;
  headers?: Record<string, string>;
}

async function open(
  body: unknown,
  { method = 'POST', to = url, key = direct.gateway.apiKey, user, session, headers }: SendOptions = {},
): Promise<Response> {
  return fetch(to, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      accept: 'application/json, text/event-stream',
      ...(user !== undefined && { 'x-alloy-userid': user }),
      ...(session && { 'mcp-session-id': session }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

async function send(body: unknown, options: SendOptions = {}): Promise<Answer> {
  const response = await open(body, options);
  const text = await response.text();
  const line = text.startsWith('event:')
    ? text
        .split('\n')
        .find((each) => each.startsWith('data: '))
        ?.slice(6)
    : text;
  return {
    status: response.status,
    sessionId: response.headers.get('mcp-session-id'),
    message: line ? JSON.parse(line) : undefined,
  };
}

const initialize = (protocolVersion = '2025-11-25', capabilities: Record<string, unknown> = {}) => ({
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion, capabilities, clientInfo: { name: 'raw', version: '1' } },
});
const request = (method: string, params: Record<string, unknown> = {}, id: string | number = 1) => ({
  jsonrpc: '2.0',
  id,
  method,
  params,
});

async function openSession(options: SendOptions = {}, protocolVersion?: string): Promise<string> {
  const answer = await send(initialize(protocolVersion), options);
  expect(answer.status).toBe(200);
  if (answer.sessionId === null) throw new Error('no session was minted');
  return answer.sessionId;
}

const neverEnds = async (response: Response, ms: number): Promise<boolean> => {
  const reader = response.body?.getReader();
  const timer = new Promise<'open'>((resolve) => setTimeout(() => resolve('open'), ms));
  const ended = (async () => {
    for (;;) if ((await reader?.read())?.done !== false) return 'ended' as const;
  })();
  const first = await Promise.race([ended, timer]);
  if (first === 'open') void reader?.cancel();
  return first === 'open';
};

describe('initialize', () => {
  it('mints a session that later requests use', async () => {
    const session = await openSession({ user: 'ada' });
    const { status, message } = await send(request('tools/list'), { user: 'ada', session });
    expect(status).toBe(200);
    expect(message.result.tools.length).toBeGreaterThan(5);
  });

  it('mints none on a server that never does, whatever the client declares', async () => {
    const { plainUrl } = await direct.publish({ connectors: ['everything'], prefix: 'none', sessions: 'never' });
    const answer = await send(initialize('2025-11-25', { elicitation: {} }), { to: plainUrl });
    expect(answer).toMatchObject({ status: 200, sessionId: null });
    expect(answer.message.result.capabilities).toEqual({ tools: {}, prompts: {}, resources: {}, completions: {} });
  });

  it('is refused on a session that is initialized', async () => {
    const session = await openSession({ user: 'ada' });
    expect(await send(initialize(), { user: 'ada', session })).toMatchObject({
      status: 400,
      message: { id: 0, error: { code: -32600 } },
    });
  });
});

describe('a session id', () => {
  it.each([
    ['another user', { user: 'bob' }],
    ['nobody named', {}],
  ])('of one user does not exist for %s', async (_, options) => {
    const session = await openSession({ user: 'ada' });
    expect(await send(request('tools/list'), { ...options, session })).toMatchObject({ status: 404 });
    expect((await send(undefined, { ...options, session, method: 'DELETE' })).status).toBe(404);
    expect((await send(request('tools/list'), { user: 'ada', session })).status).toBe(200);
  });

  it('does not exist for another key of the same user, on another server, or once it has ended', async () => {
    const { key } = await direct.mintKey('ada');
    const session = await openSession({ user: 'ada' });
    expect((await send(request('tools/list'), { key, session })).status).toBe(404);
    expect((await send(request('tools/list'), { user: 'ada', session, to: otherUrl })).status).toBe(404);
    expect((await send(undefined, { user: 'ada', session, method: 'DELETE' })).status).toBe(200);
    expect((await send(request('tools/list'), { user: 'ada', session })).status).toBe(404);
    expect((await send(request('tools/list'), { user: 'ada', session: 'made-up' })).status).toBe(404);
  });

  it('is no credential', async () => {
    const session = await openSession({ user: 'ada' });
    expect((await send(request('tools/list'), { key: 'wrong', session })).status).toBe(401);
  });
});

describe('a stream of a session', () => {
  it('is one per session, needs the right Accept, and ends with the session', async () => {
    const session = await openSession({ user: 'ada' });
    const options = { user: 'ada', session, method: 'GET' };
    expect((await send(undefined, { ...options, headers: { accept: 'application/json' } })).status).toBe(406);
    const stream = await open(undefined, options);
    expect(stream.headers.get('content-type')).toBe('text/event-stream');
    expect(stream.headers.get('cache-control')).toBe('no-cache, no-transform');
    expect((await send(undefined, options)).status).toBe(409);
    await send(undefined, { user: 'ada', session, method: 'DELETE' });
    expect(await neverEnds(stream, 8_000)).toBe(false);
  });

  it('is refused to a user who holds five', async () => {
    const streams: Response[] = [];
    for (let i = 0; i < 5; i++)
      streams.push(
        await open(undefined, { user: 'dora', session: await openSession({ user: 'dora' }), method: 'GET' }),
      );
    const sixth = await send(undefined, { user: 'dora', session: await openSession({ user: 'dora' }), method: 'GET' });
    expect(sixth).toMatchObject({ status: 429, message: { error: { code: 429 } } });
    for (const stream of streams) await stream.body?.cancel();
  });
});

describe('requests in a session', () => {
  it('with the id of one in flight are refused', async () => {
    const session = await openSession({ user: 'ada' });
    const call = request('tools/call', { name: 'test_tool_with_progress', arguments: {} }, 'twice');
    const [first, second] = await Promise.all([
      send(call, { user: 'ada', session }),
      send(call, { user: 'ada', session }),
    ]);
    expect([first.status, second.status].toSorted()).toEqual([200, 400]);
  });

  it('that are refused keep their HTTP status', async () => {
    const { plainUrl } = await direct.publish({
      connectors: ['everything'],
      prefix: 'none',
      sessions: 'always',
      rateLimit: { max: 1, windowSeconds: 600 },
    });
    const session = await openSession({ user: 'ada', to: plainUrl });
    const call = (id: number) =>
      send(request('tools/call', { name: 'test_simple_text', arguments: {} }, id), {
        user: 'ada',
        session,
        to: plainUrl,
      });
    expect((await call(1)).status).toBe(200);
    expect(await call(2)).toMatchObject({ status: 429, message: { id: 2, error: { code: 429 } } });
  });

  it('in a batch are answered by an array, in the one revision that has batches', async () => {
    const batch = [
      request('ping', {}, 'a'),
      request('tools/call', { name: 'test_simple_text', arguments: {} }, 'b'),
      request('no/such', {}, 'c'),
    ];
    const old = await openSession({ user: 'ada' }, '2025-03-26');
    const { status, message } = await send(batch, { user: 'ada', session: old });
    expect(status).toBe(200);
    expect(message).toMatchObject([
      { id: 'a', result: {} },
      { id: 'b', result: {} },
      { id: 'c', error: { code: -32601 } },
    ]);
    const current = await openSession({ user: 'ada' });
    expect((await send(batch, { user: 'ada', session: current })).status).toBe(400);
  });

  it('set a log level that only admits what is at or above it', async () => {
    const session = await openSession({ user: 'ada' });
    const logs = async () => {
      const response = await open(request('tools/call', { name: 'test_tool_with_logging', arguments: {} }, 'log'), {
        user: 'ada',
        session,
      });
      return (await response.text()).split('notifications/message').length - 1;
    };
    expect(await logs()).toBe(3);
    expect(
      (await send(request('logging/setLevel', { level: 'error' }), { user: 'ada', session })).message.result,
    ).toEqual({});
    expect(await logs()).toBe(0);
    expect(
      (await send(request('logging/setLevel', { level: 'loud' }), { user: 'ada', session })).message.error.code,
    ).toBe(-32602);
  });
});

describe('the end of a session', () => {
  it('closes the upstream session that belonged to it', async () => {
    const session = await openSession({ user: 'bob' });
    await send(request('tools/call', { name: 'test_simple_text', arguments: {} }), { user: 'bob', session });
    const before = upstream.sessionCount();
    await send(undefined, { user: 'bob', session, method: 'DELETE' });
    await expect.poll(() => upstream.sessionCount()).toBe(before - 1);
  });

  it('comes at once when its key is revoked or its user disabled', async () => {
    const { key, keyId } = await direct.mintKey('carol');
    const byKey = await open(undefined, { key, session: await openSession({ key }), method: 'GET' });
    const byUser = await open(undefined, { user: 'eve', session: await openSession({ user: 'eve' }), method: 'GET' });
    const stays = await open(undefined, { user: 'bob', session: await openSession({ user: 'bob' }), method: 'GET' });
    expect([byKey.status, byUser.status, stays.status]).toEqual([200, 200, 200]);
    await direct.api('DELETE', `/api/keys/${keyId}`);
    await direct.api('PATCH', '/users/eve/enable', { enabled: false });
    expect(await Promise.all([neverEnds(byKey, 8_000), neverEnds(byUser, 8_000), neverEnds(stays, 1_000)])).toEqual([
      false,
      false,
      true,
    ]);
  });

  it('comes for a user’s oldest session with the twenty-first', async () => {
    const sessions: string[] = [];
    for (let i = 0; i < 21; i++) sessions.push(await openSession({ user: 'mary' }));
    const statuses = await Promise.all(
      sessions.map(async (session) => (await send(request('ping'), { user: 'mary', session })).status),
    );
    expect(statuses).toEqual([404, ...Array.from({ length: 20 }, () => 200)]);
  });
});

// The SDK before a hosted Alloy server, of which we have only pages: whatever they leave open, and where they contradict themselves, it must
// do the right thing either way. With the vendor's sample flows as they are printed.
import type {
  MCPClient as Client,
  ClientOptions,
  UserFallbackError as Fallback,
  NotFoundError as NotFound,
} from '@mcp-valet/client';
import { afterEach, describe, expect, it } from 'vitest';
import { example, exampleJson, runNode } from '../seeds/example.ts';
import { built } from './built.ts';
import { type AlloyHabits, type AlloyServer, alloy, startAlloy } from './hosted-alloy.ts';

const {
  APIError,
  AuthenticationError,
  ConfigError,
  MCPClient,
  NotFoundError,
  OutcomeUnknownError,
  PermissionError,
  RateLimitError,
  RpcError,
  UserFallbackError,
} = built;
const [alice = '', bob = ''] = alloy.users;
const seed = (file: string) => `alloy-user-management/${file}`;
const post = { connectorId: 'slack', actionId: 'chat_postMessage' };
const running: AlloyServer[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
});

async function start(habits: AlloyHabits = {}, options: ClientOptions = {}) {
  const server = await startAlloy(habits);
  running.push(server);
  const { key: apiKey, serverId } = alloy;
  const client = new MCPClient({ baseUrl: server.url, apiKey, server: serverId, logLevel: 'off', ...options });
  return { ...server, client };
}

/** What a curl example of the guide sends. */
async function bodyOf(file: string) {
  const [, body = ''] = /-d '([\s\S]*)'/.exec(await example(seed(file))) ?? [];
  return JSON.parse(body);
}
const failure = (call: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(call).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('the sample flows of the vendor', () => {
  it.each(['json', 'sse'] as const)('run over %s: a server for many users, then a call as each', async (reply) => {
    const { client, seen, url } = await start({ reply, create: { status: 201, accessUrl: 'present' } });
    const created = await client.createServer(await bodyOf('create-enterprise-server.sh'));
    expect(created.accessUrl).toBe(`${url}/mcp/${alloy.serverId}/${alloy.token}`);
    expect(seen[0]?.json).toEqual(await bodyOf('create-enterprise-server.sh'));

    const calls = new MCPClient({ accessUrl: created.accessUrl ?? '' });
    for (const [user, file] of [
      [alice, 'execute-for-alice.sh'],
      [bob, 'execute-for-bob.sh'],
    ] as const) {
      const { name, arguments: args } = (await bodyOf(file)).params;
      expect((await calls.executeForUser(user, name, args)).json()).toEqual({ ok: true, user, ...args });
      expect((await client.forUser(user).execute(name, args)).json()).toEqual({ ok: true, user, ...args });
    }
    expect(seen.slice(1).map(({ headers }) => headers.authorization ?? 'none')).toEqual([
      'none',
      `Bearer ${alloy.key}`,
      'none',
      `Bearer ${alloy.key}`,
    ]);
  });

  it('run as printed, with the SDK in place of the sample class', { timeout: 30_000 }, async () => {
    const server = await start();
    const address = {
      'https://mcp.runalloy.com/mcp/enterprise-123': `${server.url}/mcp/${alloy.serverId}`,
      your_token_here: alloy.token,
    };
    const [, usage = ''] = (await example(seed('node-client.mjs'), address)).split('// Usage');
    const script = [
      "import { MCPClient } from '@mcp-valet/client';",
      usage,
      `const mcpClient = mcp; const alice = { userId: '${alice}' }; const bob = { userId: '${bob}' };`,
      await example(seed('saas-platform.mjs')),
      await example(seed('team-collaboration.mjs')),
    ];
    await runNode(script.join('\n'), { tsx: true });
    expect(server.ran).toEqual([
      [alice, 'list_connectors_alloy'],
      [bob, 'list_connectors_alloy'],
      [alice, 'execute_action_alloy'],
      [bob, 'execute_action_alloy'],
      ['team_sales_john', 'execute_action_alloy'],
      ['team_marketing_jane', 'execute_action_alloy'],
    ]);
  });
});

describe('creating a server', () => {
  it.each([200, 201] as const)('takes %d, with the URL, without it, and with null', async (status) => {
    for (const accessUrl of ['present', 'null', undefined] as const) {
      const { client } = await start({ create: { status, ...(accessUrl && { accessUrl }) } });
      const created = await client.createServer({ name: 'enterprise' });
      expect(created.serverId).toBe(alloy.serverId);
      expect(created.accessUrl ?? undefined).toEqual(
        accessUrl === 'present' ? expect.stringContaining(alloy.token) : undefined,
      );
    }
  });
});

describe('an error', () => {
  it.each(['object', 'string', 'success'] as const)(
    'is the class of its status in the envelope "%s"',
    async (error) => {
      const { client } = await start({ error, limit: 0 }, { rateLimit: false, maxRetries: 0 });
      expect(await failure(client.servers.get('gone'))).toMatchObject({
        constructor: NotFoundError,
        status: 404,
        message: 'Server not found',
      });
      const stranger = client.withOptions({ apiKey: 'wrong' });
      expect(await failure(stranger.createServer({ name: 'x' }))).toMatchObject({
        constructor: AuthenticationError,
        message: 'Invalid API key',
        executed: 'no',
      });
      expect(await failure(client.executeForUser(alice, 'list_connectors_alloy'))).toMatchObject({
        constructor: RateLimitError,
        source: 'server',
        status: 429,
      });
    },
  );

  it('inside a 200 is an RpcError when it is JSON-RPC, and a result when it is text, whatever the text says', async () => {
    for (const reply of ['json', 'sse'] as const) {
      const { client } = await start({ reply });
      const user = client.forUser(alice);
      const rpc = await failure(user.execute('no_such_tool'));
      expect(rpc).toMatchObject({ constructor: RpcError, rpcCode: -32602 });
      const denied = await user.execute('execute_action_alloy', { connectorId: 'slack', actionId: 'channels_delete' });
      expect(denied.isError).toBe(false);
      expect(Object.keys(denied.json<object>())).toEqual(
        Object.keys(await exampleJson(seed('permission-denied.json'))),
      );
      const missing = await user.execute('execute_action_alloy', { ...post, credentialId: 'none' });
      expect(missing.json()).toEqual(await exampleJson(seed('missing-credentials.json')));
    }
  });

  it('never is a PermissionError by its words alone', async () => {
    const { client } = await start({ error: 'string' });
    const error = await failure(client.servers.get('gone'));
    expect(error).toBeInstanceOf(APIError);
    expect(error).not.toBeInstanceOf(PermissionError);
  });
});

describe('a user whom the server does not know', () => {
  const places = ['body', 'result', 'text'] as const;
  it.each(places)('is told to the caller when the warning is in the %s, over JSON and SSE', async (fallback) => {
    const printed = await exampleJson(seed('invalid-user-id.json'));
    for (const reply of ['json', 'sse'] as const) {
      const { client, ran } = await start({ fallback, reply });
      const error = await failure(client.executeForUser(printed.attempted, 'list_connectors_alloy'));
      expect(error).toBeInstanceOf(UserFallbackError);
      expect(error).toMatchObject({
        attempted: printed.attempted,
        fallback: printed.fallback,
        executed: 'yes',
        retryable: false,
      });
      // It has happened: the error reports it, and nothing is sent again.
      expect(ran).toEqual([[alloy.primary, 'list_connectors_alloy']]);
      expect((error as Fallback).result).toBeDefined();
    }
  });

  it.each(['result', 'text'] as const)('is accepted on request, with the answer (%s)', async (fallback) => {
    const { client } = await start({ fallback }, { onUserFallback: 'return' });
    expect((await client.executeForUser('ghost', 'list_connectors_alloy')).isError).toBe(false);
  });
});

describe('a server that promises nothing', () => {
  it('gets a lost call once', async () => {
    const { client, ran, seen } = await start({ loses: true });
    const error = await failure(client.executeForUser(alice, 'execute_action_alloy'));
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(ran.filter(([, tool]) => tool === 'execute_action_alloy')).toHaveLength(1);
    expect(seen.filter(({ json }) => json.method === 'tools/call')).toHaveLength(1);
  });

  it('has its silent limit learned per user from the first 429', async () => {
    const { client, seen } = await start({ limit: 3 }, { rateLimit: { mode: 'reject' } });
    for (let i = 0; i < 3; i++) await client.executeForUser(alice, 'list_connectors_alloy');
    expect(await failure(client.executeForUser(alice, 'list_connectors_alloy'))).toBeInstanceOf(RateLimitError);
    const sent = seen.length;
    expect(await failure(client.executeForUser(alice, 'list_connectors_alloy'))).toMatchObject({ source: 'local' });
    expect(seen).toHaveLength(sent);
    expect((await client.executeForUser(bob, 'list_connectors_alloy')).isError).toBe(false);
  });
});

describe('what only the gateway has', () => {
  const absent: [string, (client: Client) => PromiseLike<unknown>][] = [
    ['tokens', (client) => client.tokens.create({ userId: alice })],
    ['users', (client) => client.users.list()],
    ['audit', (client) => client.audit.list()],
    ['groups', (client) => client.groups.list()],
  ];
  it.each(absent)('is NotFoundError, and its hint names %s', async (noun, call) => {
    const { client } = await start();
    const error = await failure(call(client));
    expect(error).toBeInstanceOf(NotFoundError);
    expect((error as NotFound).hint).toMatch(new RegExp(`no ${noun}\\b`));
    expect(((await failure(client.servers.get('gone'))) as NotFound).hint).toBeUndefined();
  });

  it('leaves settings for a provider to a token that the caller has', async () => {
    const { client, url, seen } = await start();
    // Providers are given public https addresses only; the stand-in answers for one.
    const outside: typeof fetch = (input, init) => {
      const request = new Request(input, init);
      return fetch(new Request(url + new URL(request.url).pathname, request));
    };
    const user = client.withOptions({ baseUrl: 'https://mcp.example.com', fetch: outside }).forUser(alice);
    const hint = expect.stringContaining('no tokens') as string;
    expect(await failure(user.hosted('openai'))).toMatchObject({ name: 'NotFoundError', hint });
    const sent = seen.length;
    expect(await user.hosted('openai', { token: 'token-of-alice' })).toMatchObject({
      server_url: `https://mcp.example.com/mcp/${alloy.serverId}`,
      authorization: 'token-of-alice',
    });
    const tokenized = new MCPClient({ accessUrl: `https://mcp.example.com/mcp/s/${alloy.token}` }).forUser(alice);
    expect(await failure(tokenized.hosted('openai', { token: 't' }))).toBeInstanceOf(ConfigError);
    expect(seen).toHaveLength(sent);
  });
});

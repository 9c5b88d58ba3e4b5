// `forUser({ token })`: which headers say who calls, what stands for the user at the gate and in caches, and that a token is printed nowhere.
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { AuthenticationError, ConfigError, MCPClient, Secret, ValidationError } from './index.ts';
import { clientOf, json, rpcResult, type Seen, standIn, textResult } from './stand-in.test-support.ts';

const token = 'eyJ.canary-of-alice.sig';
const who = (seen: Seen) => ({ key: seen.headers.authorization, user: seen.headers['x-alloy-user-token'] });
const me = { effectiveUser: { userId: 'usr_alice', username: 'alice' } };

/** Answers what these tests ask. */
const answers = (seen: Seen, response: Parameters<typeof json>[0]) => {
  if (seen.path === '/api/me') return json(response, 200, me);
  if (seen.path.startsWith('/api/')) return json(response, 200, { calls: [], credentials: [], secrets: [] });
  if (seen.path === '/mcp/tool/call') return json(response, 200, { success: true, data: textResult('ok') });
  if (seen.path.startsWith('/secrets')) return json(response, 200, { success: true, secrets: [] });
  if (seen.json?.method === 'tools/list') return rpcResult(seen, response, { tools: [] });
  return rpcResult(seen, response, textResult('ok'));
};

describe('a user with a token of their own', () => {
  it('is named by it alone when the client has no key, beside the key when it has one, and never by a user header', async () => {
    const server = await standIn(answers);
    await new MCPClient({ baseUrl: server.url }).forUser({ token }).execute('t');
    await new MCPClient({ baseUrl: server.url, apiKey: 'k-canary' }).forUser({ token: new Secret(token) }).execute('t');
    await new MCPClient({ accessUrl: `${server.url}/mcp/s1/t0ken` }).forUser({ token }).execute('t');
    expect(server.seen.map(who)).toEqual([
      { key: `Bearer ${token}`, user: undefined },
      { key: 'Bearer k-canary', user: token },
      { key: undefined, user: token },
    ]);
    for (const { headers } of server.seen) expect(headers).not.toHaveProperty('x-alloy-userid');
  });

  it('is named the same way in every part of the view', async () => {
    const { client, seen } = await clientOf(answers);
    const user = client.forUser({ token });
    await user.tools.all();
    await user.runAction('mail', 'send');
    await user.secrets.list({ connector: 'mail' });
    await user.history();
    await user.credentials.list();
    await user.mcp.fetch(user.mcp.url, { method: 'POST', body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' });
    for (const each of seen) expect(who(each), each.path).toEqual({ key: 'Bearer k-canary', user: token });
    expect(await user.mcp.headers()).toEqual({ authorization: `Bearer ${token}` });
    expect(await user.mcp.headers({ use: 'key' })).toEqual({
      authorization: 'Bearer k-canary',
      'x-alloy-user-token': token,
    });
  });

  it('asks once whom the token proves, and never lists without that name', async () => {
    const { client, seen } = await clientOf(answers);
    const user = client.forUser({ token });
    await user.history();
    await user.credentials.list();
    expect(seen.map(({ path }) => path)).toEqual([
      '/api/me',
      '/api/calls?userId=usr_alice',
      '/api/credentials?userId=usr_alice',
    ]);
    await expect(user.history({ userId: 'bob' } as never)).rejects.toThrowError(ValidationError);
    expect(seen).toHaveLength(3);
  });

  it('lists nothing when the token is not good, and asks anew afterwards', async () => {
    const { client, seen } = await clientOf((each, response, count) =>
      count === 1 ? json(response, 401, { error: { code: 'UNAUTHORIZED', message: 'no' } }) : answers(each, response),
    );
    const user = client.forUser({ token });
    await expect(user.history()).rejects.toThrowError(AuthenticationError);
    await user.history();
    expect(seen.map(({ path }) => path)).toEqual(['/api/me', '/api/me', '/api/calls?userId=usr_alice']);
  });

  it('is asked for the token before every attempt, and once more after a refusal', async () => {
    const { client, seen } = await clientOf((each, response) =>
      each.headers['x-alloy-user-token'] === 't2'
        ? rpcResult(each, response, textResult('ok'))
        : json(response, 401, { error: { code: 'UNAUTHORIZED', message: 'no' } }),
    );
    let asked = 0;
    const user = client.forUser({ token: async () => `t${++asked}` });
    expect((await user.execute('t')).text()).toBe('ok');
    expect(seen.map(({ headers }) => headers['x-alloy-user-token'])).toEqual(['t1', 't2']);
  });

  it('waits at a gate of their own: the same token or function is the same user, another is another', async () => {
    const { client } = await clientOf((each, response) =>
      rpcResult(each, response, textResult('ok'), {
        'ratelimit-policy': '"user";q=100;w=60',
        ratelimit: '"user";r=40;t=60',
      }),
    );
    const source = async () => token;
    await client.forUser({ token }).execute('t');
    expect(client.forUser({ token }).limits().remaining).toBe(40);
    expect(client.forUser({ token: new Secret(token) }).limits().remaining).toBe(40);
    expect(client.forUser({ token: 'of-bob' }).limits().remaining).toBeUndefined();
    expect(client.self().limits().remaining).toBeUndefined();
    expect(client.forUser({ token: source }).limits().remaining).toBeUndefined();
    await client.forUser({ token: source }).execute('t');
    expect(client.forUser({ token: source }).limits().remaining).toBe(40);
    expect(client.forUser({ token: async () => token }).limits().remaining).toBeUndefined();
  });

  it('never sees the tools that were kept for another token', async () => {
    const { client } = await clientOf((seen, response) =>
      rpcResult(seen, response, {
        tools: [{ name: `of-${seen.headers['x-alloy-user-token']}`, inputSchema: { type: 'object' } }],
        ttlMs: 60_000,
      }),
    );
    const names = async (text: string) => (await client.forUser({ token: text }).tools.all()).map(({ name }) => name);
    expect(await names('alice')).toEqual(['of-alice']);
    expect(await names('bob')).toEqual(['of-bob']);
    expect(await names('alice')).toEqual(['of-alice']);
  });

  it('is not printed: neither view, nor errors, nor logs hold the token', async () => {
    const lines: string[] = [];
    const log = (line: string) => lines.push(line);
    const logger = { debug: log, info: log, warn: log, error: log };
    const { client } = await clientOf(
      (_, response) => json(response, 400, { error: { code: 'INVALID_REQUEST', message: `bad ${token}` } }),
      { logger, logLevel: 'debug' },
    );
    const user = client.forUser({ token });
    const failed = await user.execute('t').safe();
    const shown = [user, user.mcp, failed, lines, (failed as { error: Error }).error.message];
    for (const each of shown) {
      expect(inspect(each, { depth: 9, showHidden: true })).not.toContain('canary-of-alice');
      expect(JSON.stringify(each) ?? '').not.toContain('canary-of-alice');
    }
  });

  it('is refused before anything is sent when the token cannot be one', async () => {
    const { client, seen } = await clientOf(answers);
    for (const wrong of ['', 'a b', 'a\r\nx: y', 7, undefined, null]) {
      expect(() => client.forUser({ token: wrong as never }), String(wrong)).toThrowError(ConfigError);
    }
    const failing = client.forUser({ token: () => Promise.reject(new Error('canary-of-alice')) });
    const { error } = (await failing.execute('t').safe()) as { error: Error };
    expect(error).toBeInstanceOf(ConfigError);
    expect(inspect(error, { depth: 9 })).not.toContain('canary-of-alice');
    expect(seen).toEqual([]);
  });

  it('is closed with its client', async () => {
    const { client } = await clientOf(answers);
    const user = client.forUser({ token });
    await client.close();
    await expect(user.execute('t')).rejects.toThrowError(/closed/);
  });
});

it('a client without a key says so at the first call that would need one, and sends nothing', async () => {
  const server = await standIn(answers);
  const client = new MCPClient({ baseUrl: server.url });
  for (const call of [client.executeForUser('alice', 't'), client.users.list(), client.self().execute('t')]) {
    await expect(call).rejects.toThrowError(/apiKey is missing/);
  }
  expect(server.seen).toEqual([]);
});

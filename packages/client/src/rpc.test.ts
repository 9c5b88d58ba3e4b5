// Executions on the wire, and every way in which a server may answer one.
import { describe, expect, it } from 'vitest';
import { type ClientOptions, ConfigError, MCPClient, ToolError, ValetError } from './index.ts';
import { clientOf, type Handler, json, rpcResult, standIn, textResult } from './stand-in.test-support.ts';

const ok: Handler = (s, r) => rpcResult(s, r, textResult('hi'));

const once = (handler: Handler, options: ClientOptions = {}) => clientOf(handler, { maxRetries: 0, ...options });

describe('the wire form of an execution', () => {
  it('is one bare tools/call to the server, as the user', async () => {
    const { client, seen } = await once(ok);
    await client.executeForUser(
      'alice',
      'echo',
      { a: 1 },
      { server: 'crm-1a2b3c4d', credentialId: 'cred_1', redirectUri: 'https://x/y' },
    );
    expect(seen).toHaveLength(1);
    const [request] = seen;
    expect(request).toMatchObject({ method: 'POST', path: '/mcp/crm-1a2b3c4d' });
    expect(request?.headers).toMatchObject({
      authorization: 'Bearer k-canary',
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'x-alloy-userid': 'alice',
      'x-valet-strict-user': 'true',
      'x-credential-id': 'cred_1',
      'x-redirect-uri': 'https://x/y',
      'user-agent': 'mcp-valet-client/0.1.0',
    });
    expect(request?.headers['idempotency-key']).toMatch(/^[0-9a-f]{32}$/);
    expect(request?.json).toEqual({
      jsonrpc: '2.0',
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      method: 'tools/call',
      params: { name: 'echo', arguments: { a: 1 } },
    });
  });

  it('goes to the aggregate endpoint without a server, and to the default server of the client', async () => {
    const { client, seen } = await once(ok);
    await client.executeForUser('alice', 'echo');
    await client.withOptions({ server: 'main' }).forUser('alice').execute('echo');
    await client.forUser('alice', { server: 'view' }).execute('echo');
    await client.self().execute('echo');
    expect(seen.map((s) => s.path)).toEqual(['/mcp', '/mcp/main', '/mcp/view', '/mcp']);
    expect(seen.map((s) => s.headers['x-alloy-userid'])).toEqual(['alice', 'alice', 'alice', undefined]);
    expect(seen[3]?.headers['x-valet-strict-user']).toBeUndefined();
    expect(seen[0]?.json.params.arguments).toEqual({});
  });

  it('posts to the tokenized URL without Authorization in both forms of the constructor', async () => {
    const server = await standIn(ok);
    const guide = new MCPClient(`${server.url}/mcp/enterprise-123`, 'token-canary');
    const url = new MCPClient({ accessUrl: `${server.url}/mcp/enterprise-123/token-canary` });
    for (const client of [guide, url]) await client.executeForUser('user_alice_123', 'list_connectors_alloy', {});
    expect(server.seen.map((s) => s.path)).toEqual([
      '/mcp/enterprise-123/token-canary',
      '/mcp/enterprise-123/token-canary',
    ]);
    expect(server.seen.map((s) => s.headers.authorization)).toEqual([undefined, undefined]);
    expect(server.seen.map((s) => s.headers['x-alloy-userid'])).toEqual(['user_alice_123', 'user_alice_123']);
    await expect(guide.servers.list()).rejects.toBeInstanceOf(ConfigError);
    await expect(guide.executeForUser('a', 't', {}, { server: 's' })).rejects.toBeInstanceOf(ConfigError);
    expect(server.seen).toHaveLength(2);
  });

  it('lets code written for the raw envelope go on working', async () => {
    const server = await standIn(ok);
    const call = new MCPClient(`${server.url}/mcp/s`, 'token').executeForUser('a', 'list_connectors_alloy', {});
    const response = await call;
    expect(response.result.content).toEqual([{ type: 'text', text: 'hi' }]);
    expect(Object.keys(response)).not.toContain('result');
    expect(await (await call.raw()).json()).toEqual({
      jsonrpc: '2.0',
      id: server.seen[0]?.json.id,
      result: textResult('hi'),
    });
    expect(server.seen).toHaveLength(1);
  });

  it.each(['', ' alice', undefined, null, 5, 'a\nb'])('never sends the user id %j', async (userId) => {
    const { client, seen } = await once(ok);
    await expect(client.executeForUser(userId as string, 'echo')).rejects.toMatchObject({
      name: 'ValidationError',
      executed: 'no',
    });
    expect(() => client.forUser(userId as string)).toThrow(/userId/);
    expect(seen).toHaveLength(0);
  });

  it('runs an action through the server, or directly without one', async () => {
    const { client, seen } = await once((s, r) =>
      s.path === '/mcp/tool/call' ? json(r, 200, { success: true, data: textResult('direct') }) : ok(s, r, 1),
    );
    const alice = client.forUser('alice');
    expect((await alice.runAction('slack', 'post', { text: 'x' })).text()).toBe('direct');
    expect((await alice.runAction('slack', 'post', { text: 'x' }, { server: 's1' })).text()).toBe('hi');
    expect(seen[0]).toMatchObject({
      path: '/mcp/tool/call',
      json: { username: 'alice', serverName: 'slack', methodName: 'post', args: { text: 'x' } },
      headers: { 'x-alloy-userid': 'alice', 'x-valet-strict-user': 'true' },
    });
    expect(seen[1]?.json.params).toEqual({
      name: 'execute_action_alloy',
      arguments: { connectorId: 'slack', actionId: 'post', parameters: { text: 'x' } },
    });
  });

  it('writes a Secret in the arguments in clear, and only there', async () => {
    const { client, seen } = await once(ok);
    const { Secret } = await import('./index.ts');
    await client.executeForUser('a', 't', { list: [{ token: new Secret('s3cret') }], same: '[secret]' });
    expect(seen[0]?.json.params.arguments).toEqual({ list: [{ token: 's3cret' }], same: '[secret]' });
  });

  it('refuses arguments that are no object or no JSON before anything is sent', async () => {
    const { client, seen } = await once(ok);
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    for (const args of [[], 'x', 5, cycle, { big: 1n }]) {
      await expect(client.executeForUser('a', 't', args as never)).rejects.toMatchObject({ name: 'ValidationError' });
    }
    expect(seen).toHaveLength(0);
  });
});

describe('answers', () => {
  it('are read from JSON and from a stream, whatever the type of the id', async () => {
    const { client } = await once((s, r, n) => {
      const message = JSON.stringify({ jsonrpc: '2.0', id: s.json.id, result: textResult(`${n}`) });
      if (n === 1) return void r.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(message);
      r.writeHead(200, { 'content-type': 'text/event-stream' });
      r.write(': priming\n\nevent: message\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n');
      r.write(`event: message\ndata: ${message}\n\n`);
      // The stream stays open: the answer is enough.
    });
    expect((await client.executeForUser('a', 't')).text()).toBe('1');
    expect((await client.executeForUser('a', 't')).text()).toBe('2');
  });

  it('keep a tool that says no as a result, unless told to throw', async () => {
    const { client } = await once((s, r) => rpcResult(s, r, { ...textResult('no such row'), isError: true }));
    const result = await client.executeForUser('a', 't');
    expect(result.isError).toBe(true);
    expect(() => result.orThrow()).toThrow(ToolError);
    await expect(client.executeForUser('a', 't', {}, { throwOnToolError: true })).rejects.toMatchObject({
      name: 'ToolError',
      executed: 'yes',
    });
  });

  it('are read as text, as JSON and as structured content', async () => {
    const content = [
      { type: 'text', text: '{"a":' },
      { type: 'image', data: '' },
      { type: 'text', text: '1}' },
    ];
    const { client } = await once((s, r, n) =>
      rpcResult(
        s,
        r,
        n === 1 ? { content } : n === 2 ? { content: [], structuredContent: { b: 2 } } : textResult('no json'),
      ),
    );
    const first = await client.executeForUser('a', 't');
    expect([first.text(), first.json(), first.isError]).toEqual(['{"a":\n1}', { a: 1 }, false]);
    expect((await client.executeForUser('a', 't')).json()).toEqual({ b: 2 });
    const third = await client.executeForUser('a', 't');
    expect(() => third.json()).toThrow(/no JSON/);
  });

  it('cannot replace the methods of a result or a prototype', async () => {
    const hostile = '{"content":[],"text":"x","orThrow":1,"__proto__":{"isError":true},"constructor":5}';
    const { client } = await once(
      (s, r) =>
        void r
          .writeHead(200, { 'content-type': 'application/json' })
          .end(`{"jsonrpc":"2.0","id":"${s.json.id}","result":${hostile}}`),
    );
    const result = await client.executeForUser('a', 't');
    expect(result.text()).toBe('');
    expect(result.orThrow()).toBe(result);
    expect(({} as { isError?: boolean }).isError).toBeUndefined();
  });
});

describe('progress', () => {
  it('that the caller cannot bear does not end the call', async () => {
    const lines: string[] = [];
    const logger = {
      debug: () => undefined,
      info: () => undefined,
      error: () => undefined,
      warn: (m: string) => void lines.push(m),
    };
    const { client } = await once(
      (s, r) => {
        const params = { progressToken: s.json.params._meta.progressToken, progress: 1 };
        r.writeHead(200, { 'content-type': 'text/event-stream' });
        r.write(`data: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params })}\n\n`);
        r.end(`data: ${JSON.stringify({ jsonrpc: '2.0', id: s.json.id, result: textResult('ok') })}\n\n`);
      },
      { logger },
    );
    const onProgress = () => {
      throw new Error('secret-canary');
    };
    expect((await client.executeForUser('a', 't', {}, { onProgress })).text()).toBe('ok');
    expect(lines).toEqual(['[mcp-valet] onProgress threw Error']);
  });
});

describe('Call', () => {
  it('is sent once however often it is looked at, and never reports an unhandled rejection once looked at', async () => {
    const { client, seen } = await once((_, r) => json(r, 403, {}));
    const call = client.executeForUser('a', 't');
    const [one, two] = await Promise.all([call.safe(), call.safe()]);
    expect(one).toEqual(two);
    await expect(call.withMeta()).rejects.toBeInstanceOf(ValetError);
    await expect(call).rejects.toBeInstanceOf(ValetError);
    expect((await call.raw()).status).toBe(403);
    expect(seen).toHaveLength(1);
  });

  it('is an ordinary promise after then', async () => {
    const { client } = await once(ok);
    const chained = client.executeForUser('a', 't').then((r) => r.text());
    expect(chained.constructor).toBe(Promise);
    expect(await chained).toBe('hi');
  });
});

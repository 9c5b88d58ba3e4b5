// Canaries in every secret place, then everything that prints: no canary may appear, raw, encoded or cut.
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { MCPClient, Secret, ValetError } from './index.ts';
import { type Handler, json, reset, rpcResult, standIn, textResult } from './stand-in.test-support.ts';

const canaries = {
  key: 'mcpv_ent_KeyCanary0123456789abcdefghijk/+=',
  token: 'mcpv_url_TokenCanary0123456789abcdefg',
  secret: 'SecretCanary0123456789abcdefgh+/=',
  header: 'HeaderCanary0123456789',
  query: 'QueryCanary0123456789',
  argument: 'ArgumentCanary0123456789',
  user: 'user_canary_0123456789',
  answer: 'AnswerCanary0123456789',
};

/** Every way in which people print things. */
function printed(value: unknown): string {
  const error = value as Error;
  const chain = error?.cause === undefined ? '' : printed(error.cause);
  const json = (): string => JSON.stringify(value) ?? '';
  const deep = { depth: 20, showHidden: false, getters: true } as const;
  return [
    inspect(value, deep),
    inspect({ nested: [value] }, deep),
    json(),
    String(value),
    error?.stack ?? '',
    chain,
  ].join('\n');
}

function expectNoLeak(text: string, allowed: readonly (keyof typeof canaries)[] = []): void {
  for (const [name, canary] of Object.entries(canaries)) {
    if (allowed.includes(name as keyof typeof canaries)) continue;
    const forms = [canary, encodeURIComponent(canary), Buffer.from(canary).toString('base64'), canary.slice(0, 12)];
    for (const form of forms) expect(text.includes(form), `${name} as ${form}`).toBe(false);
  }
}

const echoing: Record<string, Handler> = {
  // A server that repeats everything it was sent is the worst case for an error message.
  'an echoing 400': (s, r) =>
    json(r, 400, {
      error: {
        code: 'INVALID_REQUEST',
        message: `bad: ${s.headers.authorization} ${s.path} ${s.body}`,
        details: { saw: s.headers.authorization },
      },
    }),
  'an echoing 500': (s, r) => void r.writeHead(500).end(`${s.headers.authorization} ${s.body}`),
  'a reset': (_, r) => reset(r),
  garbage: (s, r) => void r.end(`<p>${s.headers.authorization} ${s.body}`),
  'a redirect': (s, r) => void r.writeHead(302, { location: `/x?${s.headers.authorization}` }).end(),
  stalling: () => undefined,
};

const headers = { 'x-custom': canaries.header };

describe('errors', () => {
  for (const [what, handler] of Object.entries(echoing)) {
    it(`print no key, token, secret, header or user after ${what}`, async () => {
      const server = await standIn(handler);
      const lines: string[] = [];
      const write = (line: string) => void lines.push(line);
      const logger = { debug: write, info: write, warn: write, error: write };
      const common = { headers, timeout: 150, maxRetries: 1, logger, logLevel: 'debug' } as const;
      const client = new MCPClient({ baseUrl: server.url, apiKey: canaries.key, ...common });
      const tokenized = new MCPClient({ accessUrl: `${server.url}/mcp/s/${canaries.token}`, ...common });
      const calls = [
        client.setSecret({ userId: canaries.user, connector: 'c', name: 'T', value: new Secret(canaries.secret) }),
        client.credentials.deposit({
          userId: canaries.user,
          connectorId: 'c',
          authenticationType: 'api_key',
          fields: { T: canaries.secret },
        }),
        client.me(),
        tokenized.executeForUser(canaries.user, 't'),
        client.forUser(canaries.user).runAction('c', 't'),
      ];
      for (const end of await Promise.all(calls.map((call) => call.safe()))) {
        expect(end.ok).toBe(false);
        if (end.ok) continue;
        expect(end.error).toBeInstanceOf(ValetError);
        // What the server itself writes about a user it was told is the server's message; all else is ours.
        expectNoLeak(printed(end.error), what === 'an echoing 400' ? ['user'] : []);
        expect(end.error.userId === undefined || end.error.userId === canaries.user).toBe(true);
      }
      expect(lines.length).toBeGreaterThan(0);
      expectNoLeak(lines.join('\n'));
    });
  }
});

describe('objects', () => {
  it('print no secret: client, view, Secret, call', async () => {
    const server = await standIn((s, r) => rpcResult(s, r, textResult('x')));
    const client = new MCPClient({ baseUrl: server.url, apiKey: canaries.key, headers });
    const tokenized = new MCPClient(`${server.url}/mcp/s`, canaries.token);
    const view = client.forUser(canaries.user);
    const call = view.execute('t', { a: canaries.argument });
    await call;
    const secret = new Secret(canaries.secret);
    expect(`${secret}`).toBe('[secret]');
    expect(JSON.stringify({ secret })).toBe('{"secret":"[secret]"}');
    expect(secret.reveal()).toBe(canaries.secret);
    for (const object of [
      client,
      tokenized,
      view,
      call,
      secret,
      { deep: { secret } },
      client.withOptions({}),
      client.users,
    ]) {
      expectNoLeak(printed(object));
    }
    expect(inspect(client)).toContain(server.url);
  });

  it('show what is shown once only to whoever reads the property', async () => {
    const server = await standIn((s, r) =>
      s.path === '/api/servers'
        ? json(r, 201, { serverId: 's', accessToken: canaries.token, accessUrl: `https://h/mcp/s/${canaries.token}` })
        : s.path === '/api/accounts'
          ? json(r, 201, { accountId: 'a', apiKey: canaries.key })
          : json(r, 201, { status: 'created', key_id: 'k', api_key: canaries.key }),
    );
    const client = new MCPClient({ baseUrl: server.url, apiKey: 'other-key' });
    const created = await client.createServer({ name: 'x' });
    const key = await client.keys.create('al', { keyName: 'k' });
    const account = await client.accounts.create({ name: 'a' });
    expect([created.accessToken, key.apiKey, account.apiKey]).toEqual([canaries.token, canaries.key, canaries.key]);
    for (const object of [created, key, account, { list: [created] }]) expectNoLeak(printed(object));
    expect(JSON.parse(JSON.stringify(created))).toEqual({
      serverId: 's',
      accessToken: '[secret]',
      accessUrl: '[secret]',
    });
    expect(Object.keys(created)).toEqual(['serverId', 'accessToken', 'accessUrl']);
  });

  it('keep the reason out of a failing token function, whose message may hold the key', async () => {
    const server = await standIn(() => undefined);
    const apiKey = () => Promise.reject(new TypeError(`vault said ${canaries.key}`));
    const end = await new MCPClient({ baseUrl: server.url, apiKey }).me().safe();
    expect(end.ok).toBe(false);
    if (!end.ok) expectNoLeak(printed(end.error));
    expect(server.seen).toHaveLength(0);
  });

  it('hide results and answers inside errors from printing', async () => {
    const server = await standIn((s, r) => rpcResult(s, r, { ...textResult(canaries.answer), isError: true }));
    const client = new MCPClient({ baseUrl: server.url, apiKey: canaries.key });
    const end = await client
      .executeForUser(canaries.user, 't', { a: canaries.argument }, { throwOnToolError: true })
      .safe();
    expect(end.ok).toBe(false);
    if (end.ok) return;
    expectNoLeak(printed(end.error));
    expect((end.error as { result?: { text(): string } }).result?.text()).toBe(canaries.answer);
  });
});

describe('log lines', () => {
  it('hold method, template, status, time and request id, and nothing else', async () => {
    const server = await standIn((_, r) => json(r, 200, { calls: [] }, { 'x-request-id': 'req_1' }));
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    const logger = { debug: write, info: write, warn: write, error: write };
    const client = new MCPClient({ baseUrl: server.url, apiKey: canaries.key, headers, logger, logLevel: 'debug' });
    await client.calls.list({ tool: canaries.query });
    await client.users.get(canaries.user).safe();
    expect(lines[0]).toMatch(/^\[mcp-valet\] GET \/api\/calls: 200, \d+ ms, 12 bytes, attempt 1, req_1$/);
    expect(lines[1]).toContain('GET /users/{username}');
    expectNoLeak(lines.join('\n'));
  });
});

// Canaries in every secret place, then everything that prints: no canary may appear, raw, encoded or cut.
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { MCPClient, Secret, ValetError } from './index.ts';
import { type Handler, json, reset, rpcResult, standIn, textResult } from './stand-in.test-support.ts';
import { validation } from './validation/index.ts';

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

/** What each of the ways to look at a client from beside its calls was given. */
function watchers() {
  const events: unknown[] = [];
  const contexts: unknown[] = [];
  const lines: string[] = [];
  const note = (event: unknown) => void events.push(event);
  const write = (line: string) => void lines.push(line);
  const options = {
    hooks: { request: note, response: note, retry: note, rateLimit: note, error: note },
    middleware: [
      (_: unknown, next: () => Promise<Response>, context: unknown) => {
        contexts.push(context);
        return next();
      },
    ],
    logger: { debug: write, info: write, warn: write, error: write },
    logLevel: 'debug' as const,
  };
  return { events, contexts, lines, options };
}

describe('hooks, the context of middleware and debug logs', () => {
  for (const [what, handler] of Object.entries(echoing)) {
    it(`hold no key, token, secret, header, query value, argument, answer or user after ${what}`, async () => {
      const server = await standIn(handler);
      const { events, contexts, lines, options } = watchers();
      // The limits, so that their events are told too: one call goes, the next is refused in front of it.
      const rateLimit = { mode: 'reject', quota: { limit: 1, windowMs: 60_000 } } as const;
      const common = { headers, timeout: 100, maxRetries: 1, rateLimit, ...options };
      const client = new MCPClient({ baseUrl: server.url, apiKey: () => canaries.key, ...common });
      const tokenized = new MCPClient({ accessUrl: `${server.url}/mcp/s/${canaries.token}`, ...common });
      const user = client.forUser(canaries.user);
      const text = JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'prompts/get',
        params: { name: canaries.argument },
      });
      await Promise.allSettled([
        client.setSecret({ userId: canaries.user, connector: 'c', name: 'T', value: new Secret(canaries.secret) }),
        client.calls.list({ tool: canaries.query }, { rateLimit: 'off' }),
        client.users.get(canaries.user, { rateLimit: 'off' }),
        client.request('POST', `/api/x/${canaries.user}`, { query: { q: canaries.query }, body: [canaries.secret] }),
        tokenized.executeForUser(canaries.user, canaries.argument, { a: canaries.argument }),
        user.execute(canaries.argument, { a: canaries.argument }),
        user.execute(canaries.argument, { a: canaries.argument }),
        user.runAction('c', canaries.argument, { a: canaries.argument }, { rateLimit: 'off' }),
        user.mcp.fetch(user.mcp.url, { method: 'POST', body: text }),
      ]);
      const names = (events as { operation: string }[]).map(({ operation }) => operation);
      expect(new Set(names)).toEqual(
        new Set(['secrets.set', 'calls.list', 'users.get', 'request', 'execute', 'runAction', 'mcp.fetch']),
      );
      expect(contexts.length).toBeGreaterThan(5);
      expect(lines.length).toBeGreaterThan(5);
      for (const each of [...events, ...contexts]) expectNoLeak(printed(each));
      expectNoLeak(lines.join('\n'));
    });
  }

  it('hold nothing of what a hook or a middleware throws', async () => {
    const server = await standIn((_, r) => json(r, 200, {}));
    const { events, lines, options } = watchers();
    const fail = () => {
      const error = new Error(`failed with ${canaries.key}`);
      error.name = canaries.secret;
      throw error;
    };
    const client = new MCPClient({ baseUrl: server.url, apiKey: canaries.key, ...options, maxRetries: 0 });
    const ends = await Promise.all([
      client
        .withOptions({ hooks: { request: fail, response: fail } })
        .me()
        .safe(),
      client
        .withOptions({ middleware: [fail] })
        .me()
        .safe(),
      client
        .withOptions({
          middleware: [
            async (_, next) => {
              await next();
              return fail();
            },
          ],
        })
        .executeForUser(canaries.user, 't')
        .safe(),
    ]);
    expect(ends.map((end) => end.ok)).toEqual([true, false, false]);
    for (const end of ends) if (!end.ok) expectNoLeak(printed(end.error));
    for (const event of events) expectNoLeak(printed(event));
    expect(lines.filter((line) => line.includes('hooks.'))).toHaveLength(2);
    expectNoLeak(lines.join('\n'));
  });

  it('hold nothing of a reply that the contract does not know', async () => {
    const server = await standIn((_, r) =>
      json(r, 200, { users: [{ [canaries.user]: canaries.answer, metadata: canaries.answer }], [canaries.key]: 1 }),
    );
    const { events, lines, options } = watchers();
    const of = { baseUrl: server.url, apiKey: canaries.key, ...options };
    await new MCPClient({ ...of, responseValidation: validation('warn') }).users.list();
    const end = await new MCPClient({ ...of, responseValidation: validation('strict') }).users.list().safe();
    if (!end.ok) expectNoLeak(printed(end.error));
    expect(end).toMatchObject({ ok: false, error: { code: 'MISMATCHED_ANSWER' } });
    for (const event of events) expectNoLeak(printed(event));
    expect(lines.some((line) => line.includes('users.[].metadata'))).toBe(true);
    expectNoLeak(lines.join('\n'));
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

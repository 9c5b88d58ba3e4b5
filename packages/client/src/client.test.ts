// Making a client: which options are taken, which are refused, what is shared. And the errors as classes.
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import * as sdk from './index.ts';
import { ConfigError, MCPClient, NotFoundError, RateLimitError, ValetError } from './index.ts';
import { json, rpcResult, standIn, textResult } from './stand-in.test-support.ts';
import { version } from './version.ts';

const base = { baseUrl: 'https://gw.example.com', apiKey: 'k-canary' };

describe('options', () => {
  it('are taken from the environment when they are not given', async () => {
    const server = await standIn((_, r) => json(r, 200, {}));
    vi.stubEnv('MCP_VALET_BASE_URL', server.url);
    vi.stubEnv('MCP_VALET_API_KEY', 'from-env');
    await new MCPClient().me();
    await new MCPClient({ apiKey: 'given' }).me();
    expect(server.seen.map((s) => s.headers.authorization)).toEqual(['Bearer from-env', 'Bearer given']);
    vi.stubEnv('MCP_VALET_API_KEY', '');
    await expect(new MCPClient().me()).rejects.toThrow(/apiKey is missing/);
  });

  it('have no default address', () => {
    vi.stubEnv('MCP_VALET_BASE_URL', '');
    expect(() => new MCPClient({ apiKey: 'k' })).toThrow(/baseUrl is missing/);
  });

  it.each([
    [{ ...base, accessUrl: 'https://h/mcp/s/t' }],
    [{ accessUrl: 'https://h/mcp/s/t', server: 's' }],
    [{ ...base, apiKey: 'a b' }],
    [{ ...base, apiKey: 'a\r\nx: y' }],
    [{ ...base, baseUrl: 'http://example.com' }],
    [{ ...base, baseUrl: 'https://u:p@h' }],
    [{ ...base, timeout: 0 }],
    [{ ...base, timeout: Number.NaN }],
    [{ ...base, deadline: -1 }],
    [{ ...base, maxRetries: 1.5 }],
    [{ ...base, maxResponseBytes: 0 }],
    [{ ...base, logLevel: 'loud' as 'off' }],
    [{ ...base, headers: { Authorization: 'x' } }],
    [{ ...base, headers: { 'X-Alloy-UserId': 'bob' } }],
    [{ ...base, headers: { 'a b': 'x' } }],
    [{ ...base, headers: { a: 'x\r\ny: z' } }],
    [{ ...base, baseURL: 'https://other.example.com' }],
    [{ ...base, rateLimit: JSON.parse('{"maxWait":5}') as object }],
  ])('that contradict or break something are refused: %j', (options) => {
    expect(() => new MCPClient(options)).toThrow(ConfigError);
  });

  it('of a call cannot name another user, key or framing', async () => {
    const server = await standIn((_, r) => json(r, 200, {}));
    const client = new MCPClient({ ...base, baseUrl: server.url });
    for (const name of [
      'x-alloy-userid',
      'Authorization',
      'Idempotency-Key',
      'X-Valet-Strict-User',
      'x-credential-id',
      'Cookie',
    ]) {
      await expect(client.executeForUser('a', 't', {}, { headers: { [name]: 'x' } })).rejects.toBeInstanceOf(
        ConfigError,
      );
    }
    expect(server.seen).toHaveLength(0);
  });

  it('of a call that do not exist are refused, and undefined is left out', async () => {
    const server = await standIn((s, r) => rpcResult(s, r, textResult('x')));
    const client = new MCPClient({ ...base, baseUrl: server.url, timeout: undefined, rateLimit: { mode: undefined } });
    for (const options of [{ idempotency_key: 'job-1' }, { timeoutMs: 5 }])
      await expect(client.executeForUser('a', 't', {}, options as object)).rejects.toThrow(
        /There is no option (idem|timeoutMs)/,
      );
    expect(server.seen).toHaveLength(0);
    const view = client.forUser('a', { idempotencyKey: 'of-the-view' });
    await view.execute('t', {}, { idempotencyKey: undefined });
    expect(server.seen[0]?.headers['idempotency-key']).toBe('of-the-view');
  });

  it('add and remove headers', async () => {
    const server = await standIn((_, r) => json(r, 200, {}));
    const client = new MCPClient({
      ...base,
      baseUrl: server.url,
      headers: { 'X-App': 'one', 'X-Gone': 'x', 'User-Agent': null },
    });
    await client.me({ headers: { 'x-gone': null, traceparent: '00-1-2-01' } });
    const { headers } = server.seen[0]!;
    expect([headers['x-app'], headers['x-gone'], headers['traceparent']]).toEqual(['one', undefined, '00-1-2-01']);
    expect(headers['user-agent']).not.toContain('mcp-valet');
  });

  it('pass fetch and its options through', async () => {
    const inits: unknown[] = [];
    const fetch = (async (request: Request, init: unknown) => {
      inits.push(init);
      expect(request.redirect).toBe('manual');
      return new Response('{}', { headers: { 'content-type': 'application/json' } });
    }) as unknown as typeof globalThis.fetch;
    await new MCPClient({ ...base, fetch, fetchOptions: { dispatcher: 'd' } }).me();
    expect(inits).toEqual([expect.objectContaining({ dispatcher: 'd' })]);
  });
});

describe('a browser', () => {
  it('gets no API key, unless somebody insists; jsdom is no browser', () => {
    vi.stubGlobal('window', { document: {} });
    expect(() => new MCPClient(base)).not.toThrow();
    vi.stubGlobal('process', undefined);
    expect(() => new MCPClient(base)).toThrow(/must not be used in a browser/);
    expect(() => new MCPClient({ ...base, dangerouslyAllowBrowser: true })).not.toThrow();
    expect(() => new MCPClient({ accessUrl: 'https://h/mcp/s/t' })).not.toThrow();
  });
});

describe('withOptions', () => {
  it('shares what was learned of the server, unless server or credential change', async () => {
    const promise = { 'valet-idempotency': 'ttl=60, epoch="e"' };
    const server = await standIn((s, r, n) =>
      n === 1 ? rpcResult(s, r, textResult('x'), promise) : json(r, 502, {}, { 'retry-after-ms': '1' }),
    );
    const client = new MCPClient({ ...base, baseUrl: server.url, maxRetries: 1 });
    await client.executeForUser('a', 't');
    await client.withOptions({ timeout: 5000 }).executeForUser('a', 't').safe();
    const calls = () => server.seen.filter((s) => s.json.method === 'tools/call');
    expect(calls()).toHaveLength(3);
    await client.withOptions({ apiKey: 'other' }).executeForUser('a', 't').safe();
    expect(calls()).toHaveLength(4);
  });
});

describe('errors', () => {
  it('are recognised across copies of the package', async () => {
    vi.resetModules();
    const copy = await import('./index.ts');
    expect(copy.NotFoundError).not.toBe(NotFoundError);
    const error = new copy.NotFoundError({ message: 'x', code: 'NOT_FOUND' });
    expect(error instanceof NotFoundError).toBe(true);
    expect(error instanceof ValetError).toBe(true);
    expect(error instanceof RateLimitError).toBe(false);
    expect(error instanceof Error).toBe(true);
    for (const other of [null, undefined, 'x', {}, new Error('x')])
      expect((other as object) instanceof ValetError).toBe(false);
  });

  it('can be derived by callers without catching everybody else', () => {
    class Mine extends NotFoundError {}
    expect(new Mine({ message: 'x' }) instanceof NotFoundError).toBe(true);
    expect(new Mine({ message: 'x' }) instanceof Mine).toBe(true);
    expect(new NotFoundError({ message: 'x' }) instanceof Mine).toBe(false);
  });

  it('name the line that awaits, whichever view it awaits and wherever they were made', async () => {
    const server = await standIn((s, r) => (s.path === '/mcp' ? undefined : void r.writeHead(404).end('<html>')));
    const client = new MCPClient({ ...base, baseUrl: server.url, maxRetries: 0, timeout: 50 });
    const lineOfMine = async (run: () => Promise<unknown>) => void (await run());
    const signal = () => AbortSignal.timeout(20);
    const ways: (() => Promise<unknown>)[] = [
      () => client.users.get('a'),
      () => client.users.get(''),
      () => client.users.get('a').withMeta(),
      () => client.executeForUser('a', 't'),
      () => client.executeForUser('a', 't', {}, { signal: signal() }),
      () => client.users.list({}, { signal: AbortSignal.abort() }),
      () => Promise.all([client.users.get('a'), client.me().safe()]),
      async () => {
        for await (const user of client.users.list()) expect.fail(user.username);
      },
      async () => {
        const end = await client.users.get('a').safe();
        if (!end.ok) throw end.error;
      },
    ];
    for (const run of ways) {
      const error = await lineOfMine(run).then(
        () => expect.fail('no error'),
        (thrown: unknown) => thrown,
      );
      const { stack = '' } = error as Error;
      expect(stack, String(run)).toMatch(/at (?:async )?lineOfMine .*client\.test\.ts/);
      expect(stack.match(/lineOfMine/g)).toHaveLength(1);
    }
  });

  it('print every fact that a log needs, such as the key of a call whose outcome is unknown', async () => {
    const server = await standIn((_, r) => void r.writeHead(502, { 'content-type': 'text/html' }).end('<html>'));
    const client = new MCPClient({ ...base, baseUrl: server.url, maxRetries: 0 });
    const error = await client.executeForUser('a', 't', {}, { idempotencyKey: 'job-7' }).catch((e: unknown) => e);
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({
      idempotencyKey: 'job-7',
      state: 'no_answer',
      status: 502,
    });
    expect(inspect(error)).toMatch(/HTML page.*idempotencyKey: 'job-7'/s);
  });

  it('of a port that fetch refuses say that nothing was sent', async () => {
    const client = new MCPClient({ ...base, baseUrl: 'http://127.0.0.1:1', maxRetries: 0 });
    await expect(client.executeForUser('a', 't')).rejects.toMatchObject({ name: 'ConnectionError', executed: 'no' });
  });

  it('of an answer that is nested too deeply to be read are ValetErrors', async () => {
    const deep = `{"users":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    const server = await standIn((_, r) => void r.writeHead(200, { 'content-type': 'application/json' }).end(deep));
    const client = new MCPClient({ ...base, baseUrl: server.url, maxRetries: 0 });
    await expect(client.users.list()).rejects.toMatchObject({ code: 'UNREADABLE_ANSWER', executed: 'no' });
    await expect(client.users.create({ username: 'a' })).rejects.toMatchObject({ name: 'OutcomeUnknownError' });
  });

  it('have their own name each, also after minification, and a bounded message', () => {
    const classes = Object.entries(sdk).filter(([name]) => name.endsWith('Error'));
    expect(classes).toHaveLength(28);
    for (const [name, type] of classes) {
      const make = type as unknown as new (fields: object) => ValetError;
      const error = new make({
        message: 'm'.repeat(5000),
        path: 'p',
        kind: 'attempt',
        phase: 'dns',
        sent: 'no',
        state: 'unknown',
      });
      expect(error.name).toBe(name);
      expect(error.message).toHaveLength(1000);
      expect(error.code).not.toBe('');
      expect(JSON.parse(JSON.stringify(error))).toMatchObject({ name, code: error.code });
    }
  });
});

describe('the package', () => {
  it('sends the version of its manifest', () => {
    const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(version).toBe(manifest.version);
  });

  it('exports these values and no others', () => {
    const values = Object.keys(sdk).filter((name) => !name.endsWith('Error'));
    expect(values.sort()).toEqual(['MCPClient', 'Secret']);
  });
});

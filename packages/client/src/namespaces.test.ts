// The contract's table as methods: what each one puts on the wire, what comes back, and how lists go on.
import { contract } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { type Call, MCPClient } from './index.ts';
import { type Handler, json, standIn } from './stand-in.test-support.ts';

async function clientOf(handler: Handler = (_, r) => json(r, 200, {})) {
  const server = await standIn(handler);
  return { ...server, client: new MCPClient({ baseUrl: `${server.url}/prefix/`, apiKey: 'k-canary', maxRetries: 0 }) };
}

type Case = [name: string, call: (client: MCPClient) => Promise<unknown>, line: string, body?: unknown];

const cases: Case[] = [
  [
    'users.create',
    (c) => c.users.create({ username: 'al', metadata: { snake_key: 1 } }),
    'POST /users',
    { username: 'al', metadata: { snake_key: 1 } },
  ],
  ['users.get', (c) => c.users.get('al+x@e.com'), 'GET /users/al%2Bx%40e.com'],
  ['users.delete', (c) => c.users.delete('al'), 'DELETE /users/al'],
  [
    'users.setEnabled',
    (c) => c.users.setEnabled('al', { enabled: false }),
    'PATCH /users/al/enable',
    { enabled: false },
  ],
  ['users.setEnabled', (c) => c.users.setEnabled('al'), 'PATCH /users/al/enable'],
  [
    'users.setAccess',
    (c) => c.users.setAccess('al', { allowedMcps: ['x'], blockedMcps: [] }),
    'PUT /users/al/mcp-access',
    { allowed_mcps: ['x'], blocked_mcps: [] },
  ],
  [
    'keys.create',
    (c) => c.keys.create('al', { keyName: 'ci', ttlDays: 5 }),
    'POST /users/al/keys',
    { key_name: 'ci', ttl_days: 5 },
  ],
  ['keys.revoke', (c) => c.keys.revoke({ keyId: 'key_1' }), 'POST /keys/revoke', { key_id: 'key_1' }],
  ['keys.revoke', (c) => c.keys.revoke({ apiKey: 'mcpv_std_x' }), 'POST /keys/revoke', { api_key: 'mcpv_std_x' }],
  ['keys.delete', (c) => c.keys.delete('key_1'), 'DELETE /api/keys/key_1'],
  ['servers.create', (c) => c.createServer({ name: 'crm' }), 'POST /api/servers', { name: 'crm' }],
  ['servers.get', (c) => c.servers.get('crm-1'), 'GET /api/servers/crm-1'],
  [
    'servers.update',
    (c) => c.servers.update('crm-1', { description: null }),
    'PUT /api/servers/crm-1',
    { description: null },
  ],
  ['servers.delete', (c) => c.servers.delete('crm-1'), 'DELETE /api/servers/crm-1'],
  ['servers.rotateToken', (c) => c.servers.rotateToken('crm-1'), 'POST /api/servers/crm-1/token'],
  [
    'connectors.create',
    (c) => c.connectors.create({ connectorId: 'x', kind: 'mcp-http', url: 'https://u' }),
    'POST /api/connectors',
    { connectorId: 'x', kind: 'mcp-http', url: 'https://u' },
  ],
  ['connectors.get', (c) => c.connectors.get('x', { userId: 'al' }), 'GET /api/connectors/x?userId=al'],
  [
    'connectors.update',
    (c) => c.connectors.update('x', { enabled: false }),
    'PUT /api/connectors/x',
    { enabled: false },
  ],
  ['connectors.delete', (c) => c.connectors.delete('x'), 'DELETE /api/connectors/x'],
  [
    'connectors.refresh',
    (c) => c.connectors.refresh('x', { userId: 'al' }),
    'POST /api/connectors/x/refresh?userId=al',
  ],
  ['connectors.actions', (c) => c.connectors.actions('x'), 'GET /api/connectors/x/actions'],
  ['connectors.actions', (c) => c.connectors.tools('x', { userId: 'al' }), 'GET /api/connectors/x/actions?userId=al'],
  [
    'credentials.create',
    (c) => c.credentials.deposit({ userId: 'al', connectorId: 'x', authenticationType: 'api_key', fields: { T: 'v' } }),
    'POST /api/credentials',
    { userId: 'al', connectorId: 'x', authenticationType: 'api_key', fields: { T: 'v' } },
  ],
  [
    'credentials.create',
    (c) => c.forUser('al').credentials.deposit({ connectorId: 'x', authenticationType: 'secrets' }),
    'POST /api/credentials',
    { userId: 'al', connectorId: 'x', authenticationType: 'secrets' },
  ],
  ['credentials.get', (c) => c.credentials.get('cred_1'), 'GET /api/credentials/cred_1'],
  [
    'credentials.update',
    (c) => c.credentials.update('cred_1', { isDefault: true }),
    'PATCH /api/credentials/cred_1',
    { isDefault: true },
  ],
  ['credentials.delete', (c) => c.credentials.delete('cred_1'), 'DELETE /api/credentials/cred_1'],
  [
    'credentials.connect',
    (c) => c.credentials.connect('cred_1', { redirectUri: 'https://app.example/back' }),
    'POST /api/credentials/cred_1/connect',
    { redirectUri: 'https://app.example/back' },
  ],
  [
    'credentials.ticket',
    (c) => c.credentials.ticket({ connectUrl: 'https://valet.example/connect/x', userId: 'al' }),
    'POST /api/connect/tickets',
    { connectUrl: 'https://valet.example/connect/x', userId: 'al' },
  ],
  [
    'secrets.set',
    (c) => c.setSecret({ userId: 'al', connector: 'github', name: 'T', value: 'v' }),
    'POST /secrets/set',
    { username: 'al', serverName: 'github', secretName: 'T', secretValue: 'v' },
  ],
  [
    'secrets.set',
    (c) => c.forUser('al').secrets.set({ connector: 'github', name: 'T', value: 'v' }),
    'POST /secrets/set',
    { username: 'al', serverName: 'github', secretName: 'T', secretValue: 'v' },
  ],
  [
    'secrets.set',
    (c) => c.self().secrets.set({ connector: 'github', name: 'T', value: 'v' }),
    'POST /secrets/set',
    { serverName: 'github', secretName: 'T', secretValue: 'v' },
  ],
  [
    'secrets.delete',
    (c) => c.secrets.delete({ userId: 'al', connector: 'github', name: 'T' }),
    'POST /secrets/delete',
    { username: 'al', serverName: 'github', secretName: 'T' },
  ],
  ['accounts.create', (c) => c.accounts.create({ name: 'acme' }), 'POST /api/accounts', { name: 'acme' }],
  ['settings.get', (c) => c.settings.get(), 'GET /api/settings'],
  ['settings.update', (c) => c.settings.update({ webhookUrl: null }), 'PUT /api/settings', { webhookUrl: null }],
  ['system.me', (c) => c.me(), 'GET /api/me'],
  ['system.status', (c) => c.status(), 'GET /status'],
];

const lists: Case[] = [
  ['users.list', (c) => c.users.list({ limit: 2 }), 'GET /users?limit=2'],
  ['keys.list', (c) => c.keys.list({ userId: 'al' }), 'GET /api/keys?userId=al'],
  ['servers.list', (c) => c.servers.list(), 'GET /api/servers'],
  ['connectors.list', (c) => c.connectors.list(), 'GET /api/connectors'],
  ['credentials.list', (c) => c.credentials.list({ connectorId: 'x' }), 'GET /api/credentials?connectorId=x'],
  ['credentials.list', (c) => c.forUser('al').credentials.list(), 'GET /api/credentials?userId=al'],
  ['secrets.list', (c) => c.secrets.list({ userId: 'al', connector: 'x' }), 'GET /secrets?username=al&serverName=x'],
  ['calls.list', (c) => c.calls.list({ outcome: 'ok' }), 'GET /api/calls?outcome=ok'],
  ['calls.list', (c) => c.forUser('al').history({ tool: 't' }), 'GET /api/calls?tool=t&userId=al'],
  ['audit.list', (c) => c.audit.list({ action: 'x' }), 'GET /api/audit?action=x'],
  ['accounts.list', (c) => c.accounts.list(), 'GET /api/accounts'],
];

describe('every method', () => {
  for (const [name, call, line, body] of [...cases, ...lists]) {
    it(`${name} sends ${line}`, async () => {
      const [noun = '', method = ''] = name.split('.');
      const route = (contract as Record<string, Record<string, { items?: string }>>)[noun]?.[method];
      const { client, seen } = await clientOf((_, r) => json(r, 200, route?.items ? { [route.items]: [] } : {}));
      await call(client);
      expect(seen).toHaveLength(1);
      expect(`${seen[0]?.method} ${seen[0]?.path}`).toBe(line.replace(' /', ' /prefix/'));
      expect(seen[0]?.json).toEqual(body);
      expect(seen[0]?.headers.authorization).toBe('Bearer k-canary');
      expect('idempotency-key' in (seen[0]?.headers ?? {})).toBe(line.startsWith('POST'));
      expect(seen[0]?.headers['x-alloy-userid']).toBeUndefined();
    });
  }

  it('exists for every route of the contract', () => {
    const covered = new Set([...cases, ...lists].map(([name]) => name));
    // Answered by runAction, or about the process itself.
    for (const other of ['tools.call', 'system.health', 'system.healthz', 'system.readyz', 'system.openapi'])
      covered.add(other);
    const all = Object.entries(contract).flatMap(([noun, methods]) =>
      Object.keys(methods).map((method) => `${noun}.${method}`),
    );
    expect([...covered].sort()).toEqual(all.sort());
  });
});

describe('casing', () => {
  it('is camelCase in replies of user management, with metadata as it was', async () => {
    const user = {
      user_id: 'usr_1',
      created_at: 't',
      mcp_allowed: [],
      metadata: { keep_me: { a_b: 1 } },
      api_keys: [{ key_id: 'k' }],
    };
    const { client } = await clientOf((_, r) => json(r, 200, user));
    expect(await client.users.get('al')).toEqual({
      userId: 'usr_1',
      createdAt: 't',
      mcpAllowed: [],
      metadata: { keep_me: { a_b: 1 } },
      apiKeys: [{ keyId: 'k' }],
    });
  });
});

describe('lists', () => {
  const pages: Handler = (s, r) => {
    const at = Number(new URL(s.path, 'http://h').searchParams.get('cursor') ?? 0);
    const users = [at, at + 1].map((n) => ({ user_id: `u${n}` }));
    json(r, 200, { users, total: 6, has_more: at < 4, next_cursor: at < 4 ? String(at + 2) : null });
  };

  it('go through all pages by cursor and keep the filter', async () => {
    const { client, seen } = await clientOf(pages);
    const ids: string[] = [];
    for await (const user of client.users.list({ limit: 2 })) ids.push(user.userId);
    expect(ids).toEqual(['u0', 'u1', 'u2', 'u3', 'u4', 'u5']);
    expect(seen.map((s) => s.path)).toEqual([
      '/prefix/users?limit=2',
      '/prefix/users?limit=2&cursor=2',
      '/prefix/users?limit=2&cursor=4',
    ]);
  });

  it('give one page when awaited, and read no further than asked', async () => {
    const { client, seen } = await clientOf(pages);
    const page = await client.users.list();
    expect([page.items.length, page.hasMore, page.total]).toEqual([2, true, 6]);
    expect((await page.toArray({ limit: 3 })).map((u) => u.userId)).toEqual(['u0', 'u1', 'u2']);
    expect(seen).toHaveLength(2);
    const next = await (await page.next()).next();
    expect(next.hasMore).toBe(false);
    await expect(next.next()).rejects.toMatchObject({ name: 'ValidationError' });
  });

  it('go on by offset where there is no cursor', async () => {
    const { client, seen } = await clientOf((s, r) => {
      const offset = Number(new URL(s.path, 'http://h').searchParams.get('offset') ?? 0);
      json(r, 200, { servers: [{ serverId: `s${offset}` }], offset, hasMore: offset < 2 });
    });
    const all = await (await client.servers.list()).toArray({ limit: 10 });
    expect(all.map((s) => s.serverId)).toEqual(['s0', 's1', 's2']);
    expect(seen).toHaveLength(3);
  });

  it('end when a cursor repeats or an empty page claims more', async () => {
    const same = await clientOf((_, r) =>
      json(r, 200, { servers: [{ serverId: 's' }], nextCursor: 'c', hasMore: true }),
    );
    expect(await (await same.client.servers.list()).toArray({ limit: 100 })).toHaveLength(2);
    const empty = await clientOf((_, r) => json(r, 200, { servers: [], hasMore: true }));
    expect(await (await empty.client.servers.list()).toArray({ limit: 100 })).toEqual([]);
  });

  it('treat a cursor as data, never as an address', async () => {
    const { client, seen } = await clientOf((_, r, n) =>
      json(r, 200, { servers: [{}], nextCursor: n === 1 ? 'http://evil.example/?a=1&b=../..' : null }),
    );
    await (await client.servers.list()).toArray({ limit: 5 });
    expect(seen[1]?.path).toBe(
      `/prefix/api/servers?cursor=${new URLSearchParams({ c: 'http://evil.example/?a=1&b=../..' }).toString().slice(2)}`,
    );
  });

  it('are ResponseError when the answer has no list', async () => {
    const { client } = await clientOf((_, r) => json(r, 200, { servers: 'no' }));
    await expect(client.servers.list()).rejects.toMatchObject({ name: 'ResponseError' });
  });
});

describe('a user that is meant and missing', () => {
  it('never becomes everybody or the default user', async () => {
    const { client, seen } = await clientOf();
    const missing = undefined as unknown as string;
    const calls = [
      client.credentials.list({ userId: missing }),
      client.calls.list({ userId: '' }),
      client.credentials.deposit({ userId: missing, connectorId: 'x', authenticationType: 'secrets' }),
      client.setSecret({ userId: missing, connector: 'x', name: 'T', value: 'v' }),
      client.secrets.list({ connector: 'x' } as never),
      client.users.get(missing),
      client.keys.list({ userId: ' a' }),
      client.connectors.tools('x', { userId: missing }),
    ];
    const ends = await Promise.all(calls.map((call: Call<unknown>) => call.safe()));
    expect(ends.map((end) => (end.ok ? 'sent' : end.error.name))).toEqual(ends.map(() => 'ValidationError'));
    expect(seen).toHaveLength(0);
  });

  it('cannot be replaced by another one in a bound view', async () => {
    const { client, seen } = await clientOf();
    const alice = client.forUser('alice');
    await expect(alice.credentials.list({ userId: 'bob' } as never)).rejects.toMatchObject({ name: 'ValidationError' });
    await expect(alice.history({ userId: 'bob' } as never)).rejects.toMatchObject({ name: 'ValidationError' });
    expect(seen).toHaveLength(0);
    await alice.secrets.set({ connector: 'x', name: 'T', value: 'v', userId: 'bob' } as never);
    expect(seen[0]?.json.username).toBe('alice');
  });
});

describe('hostile ids', () => {
  it('reach the intended route as they are, or nothing at all', async () => {
    const ids = [
      'a/b',
      '..',
      '.',
      '%2e%2e',
      'a?x=1',
      'a#b',
      'a\\b',
      '',
      'constructor',
      '__proto__',
      'ä',
      '\ud800',
      '/',
      '//',
      'a;b',
      'x\u0000',
    ];
    const { client, seen } = await clientOf((_, r) => json(r, 200, {}));
    for (const id of ids) await client.servers.get(id).safe();
    for (const { path } of seen) {
      const parts = path.split('/');
      expect(parts.slice(0, 4)).toEqual(['', 'prefix', 'api', 'servers']);
      expect(parts).toHaveLength(5);
      expect(ids).toContain(decodeURIComponent(parts[4] ?? ''));
    }
    expect(seen).toHaveLength(ids.length - 6);
  });
});

describe('request', () => {
  it('reaches a route without a method, below the base URL only', async () => {
    const { client, seen } = await clientOf((_, r) => json(r, 200, { openapi: '3.1.0' }));
    expect(await client.request('GET', '/openapi.json', { query: { a: 1 } })).toEqual({ openapi: '3.1.0' });
    expect(seen[0]?.path).toBe('/prefix/openapi.json?a=1');
    for (const path of ['/../x', '//evil', 'http://evil', '/a?b', '/%2e%2e/x']) {
      await expect(client.request('GET', path as '/')).rejects.toMatchObject({ name: 'ValidationError' });
    }
    await expect(client.request('TRACE' as 'GET', '/x')).rejects.toMatchObject({ name: 'ValidationError' });
    expect(seen).toHaveLength(1);
  });

  it('gives undefined for an empty answer', async () => {
    const { client } = await clientOf((_, r) => void r.writeHead(204).end());
    expect(await client.request('DELETE', '/x')).toBeUndefined();
    expect((await client.request('DELETE', '/x').raw()).status).toBe(204);
  });
});

// The contract's table as methods: what each one puts on the wire, what comes back, and how lists go on.
import { contract } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { type Call, MCPClient } from './index.ts';
import { cases, lists } from './namespaces.test-support.ts';
import { type Handler, json, standIn } from './stand-in.test-support.ts';

async function clientOf(handler: Handler = (_, r) => json(r, 200, {})) {
  const server = await standIn(handler);
  return { ...server, client: new MCPClient({ baseUrl: `${server.url}/prefix/`, apiKey: 'k-canary', maxRetries: 0 }) };
}

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

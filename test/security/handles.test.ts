// ISO-4: sessions and cursors are handles, never authentication. Replayed by another user, key, account or server, or after revocation, they
// open nothing, and a foreign one looks like one that was never given out.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../support/database.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { inParallel, json, type Received } from './support/wire.ts';
import { buildWorld, type World } from './support/world.ts';

const version = '2025-11-25';
const hello = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: version, capabilities: {}, clientInfo: { name: 't', version: '1' } },
};

describe('handles that others got hold of', () => {
  let world: World;
  let server: { serverId: string; accessUrl: string };
  let sibling: { serverId: string };

  beforeAll(async () => {
    world = await buildWorld(await openTestDatabase('pglite'));
    server = await world.rig.manage('POST', '/api/servers', { name: 'sessions', mode: 'direct', sessions: 'always' });
    sibling = await world.rig.manage('POST', '/api/servers', { name: 'sibling', mode: 'direct', sessions: 'always' });
  });
  afterAll(() => world?.close());

  const send = (method: string, path: string, headers: readonly string[], body?: unknown): Promise<Received> =>
    world.wire.send({
      method,
      path,
      headers: [
        'accept',
        'application/json, text/event-stream',
        ...(body === undefined ? [] : ['content-type', 'application/json']),
        ...headers,
      ],
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  const bearer = (key: string, more: readonly string[] = []) => ['authorization', `Bearer ${key}`, ...more];
  const inSession = (id: string) => ['mcp-session-id', id, 'mcp-protocol-version', version];
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' };

  async function mint(key: string, more: readonly string[] = []): Promise<string> {
    const answer = await send('POST', `/mcp/${server.serverId}`, bearer(key, more), hello);
    expect(answer.status).toBe(200);
    return String(answer.headers['mcp-session-id']);
  }

  it('gives a session to its owner only', async () => {
    const { a, b } = world;
    const own = bearer(a.users.alice.key);
    const session = await mint(a.users.alice.key);
    expect((await send('POST', `/mcp/${server.serverId}`, [...own, ...inSession(session)], ping)).status).toBe(200);

    const path = `/mcp/${server.serverId}`;
    const strangers: [string, string, readonly string[], number][] = [
      ['another user', path, bearer(a.users.bob.key), 404],
      ['an admin for the same user', path, bearer(a.admin, ['x-alloy-userid', 'alice']), 404],
      ['an enterprise key', path, bearer(a.enterprise), 404],
      ['the same user at another server', `/mcp/${sibling.serverId}`, own, 404],
      [
        'the token of the server, for the same user',
        new URL(server.accessUrl).pathname,
        ['x-alloy-userid', 'alice'],
        404,
      ],
      ['the same name in another account', path, bearer(b.users.alice.key), 404],
      ['nobody', path, [], 401],
      ['a revoked key of the same user', path, bearer(a.dead.revoked), 401],
      ['a disabled user', path, bearer(a.users.dora.key), 403],
    ];
    const wrong: string[] = [];
    for (const [who, at, headers, status] of strangers) {
      for (const method of ['POST', 'GET', 'DELETE'] as const) {
        const answer = await send(
          method,
          at,
          [...headers, ...inSession(session)],
          method === 'POST' ? ping : undefined,
        );
        if (answer.status !== status) wrong.push(`${method} by ${who}: ${answer.status} ${answer.text.slice(0, 150)}`);
      }
    }
    expect(wrong).toEqual([]);
    // None of them has ended it.
    expect((await send('POST', path, [...own, ...inSession(session)], ping)).status).toBe(200);
  });

  it('answers for a foreign session as for one that never was', async () => {
    const { a } = world;
    const session = await mint(a.users.alice.key);
    const bodies = new Set<string>();
    for (const id of [
      session,
      randomUUID(),
      session.slice(0, -1),
      `${session}0`,
      session.toUpperCase(),
      'x',
      '__proto__',
      'a'.repeat(300),
      `${session}, ${session}`,
    ]) {
      const answer = await send('POST', `/mcp/${server.serverId}`, bearer(a.users.bob.key, inSession(id)), ping);
      bodies.add(JSON.stringify([answer.status, answer.text.replace(/req_[0-9A-Za-z]+/g, 'req')]));
    }
    expect([...bodies]).toHaveLength(1);
    expect([...bodies][0]).toContain('404');
  });

  it('ends a session with the key that opened it', async () => {
    const { rig, a } = world;
    const key = await rig.manage('POST', '/users/carol/keys', { key_name: 'short-lived' });
    const session = await mint(key.api_key);
    const path = `/mcp/${server.serverId}`;
    expect((await send('POST', path, bearer(key.api_key, inSession(session)), ping)).status).toBe(200);
    await rig.manage('POST', '/keys/revoke', { key_id: key.key_id });
    expect((await send('POST', path, bearer(key.api_key, inSession(session)), ping)).status).toBe(401);
    expect((await send('POST', path, bearer(a.users.carol.key, inSession(session)), ping)).status).toBe(404);
  });

  it('opens a cursor for the user, list and server that it was given for, and for no other', async () => {
    const { rig, a } = world;
    const list = (n: number) => ({
      tools: Array.from({ length: 500 }, (_, i) => ({ name: `tool-${n}-${i}`, inputSchema: { type: 'object' } })),
    });
    const upstreams = await Promise.all(
      [0, 1, 2].map((n) =>
        startRecordingUpstream({
          intercept: ({ body }) => {
            const { method, id } = json(body.toString()) as { method?: string; id?: number };
            return method === 'tools/list'
              ? {
                  status: 200,
                  headers: { 'content-type': 'application/json' },
                  body: JSON.stringify({ jsonrpc: '2.0', id, result: list(n) }),
                }
              : undefined;
          },
        }),
      ),
    );
    try {
      for (const [n, { url }] of upstreams.entries())
        await rig.manage('POST', '/api/connectors', { connectorId: `many${n}`, kind: 'mcp-http', url });
      const connectors = ['many0', 'many1', 'many2'];
      const [long, other] = [
        await rig.manage('POST', '/api/servers', { name: 'long', mode: 'direct', connectors }),
        await rig.manage('POST', '/api/servers', { name: 'long too', mode: 'direct', connectors }),
      ];
      const page = (key: string, cursor: string | undefined, at = long, method = 'tools/list') =>
        send('POST', `/mcp/${at.serverId}`, bearer(key), {
          jsonrpc: '2.0',
          id: 1,
          method,
          params: cursor === undefined ? {} : { cursor },
        });
      const first = json((await page(a.users.alice.key, undefined)).text) as {
        result: { tools: unknown[]; nextCursor: string };
      };
      const cursor = first.result.nextCursor;
      expect([first.result.tools.length, typeof cursor]).toEqual([1000, 'string']);
      const second = json((await page(a.users.alice.key, cursor)).text) as { result: { tools: unknown[] } };
      expect(second.result.tools.length).toBe(500);

      const flipped = cursor.slice(0, -2) + (cursor.at(-2) === 'A' ? 'B' : 'A') + cursor.slice(-1);
      const replays: Promise<Received>[] = [
        page(a.users.bob.key, cursor),
        page(a.enterprise, cursor),
        page(a.users.alice.key, cursor, other),
        page(a.users.alice.key, cursor, long, 'resources/list'),
        page(a.users.alice.key, flipped),
        page(a.users.alice.key, cursor.slice(1)),
        page(a.users.alice.key, 'x'),
      ];
      const accepted: string[] = [];
      await inParallel(replays, 4, async (replay) => {
        const answer = json((await replay).text) as { result?: unknown; error?: { code: number } };
        if (answer.error?.code !== -32602) accepted.push(JSON.stringify(answer).slice(0, 200));
      });
      expect(accepted).toEqual([]);
    } finally {
      await Promise.all(upstreams.map((upstream) => upstream.close()));
    }
  });
});

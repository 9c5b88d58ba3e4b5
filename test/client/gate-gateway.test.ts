// The gate in front of the real gateway, on real sockets: what it learns from the gateway's own headers keeps 429s off the wire.

import { type ClientOptions, MCPClient } from '@mcp-valet/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';

const limit = 6;
let rig: Rig;
let fixtures: Fixtures;
beforeAll(async () => {
  rig = await startRig({ env: { VALET_RATE_LIMIT: String(limit) } });
  fixtures = await addFixtures(rig);
});
afterAll(async () => {
  await fixtures.close();
  await rig.close();
});

/** A client that counts what goes over the wire, by user and status. */
function counting(options: ClientOptions = {}) {
  const seen: { user: string | null; status: number }[] = [];
  const client = new MCPClient({
    baseUrl: rig.url,
    apiKey: fixtures.home.enterprise,
    logLevel: 'off',
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      const user = new Headers(init?.headers ?? (input as Request).headers).get('x-alloy-userid');
      seen.push({ user, status: response.status });
      return response;
    },
    ...options,
  });
  return { client, seen };
}

const search = (client: MCPClient, user: string) =>
  client.executeForUser(user, 'list_connectors_alloy', {}, { server: fixtures.home.server.serverId }).safe();

describe('in front of the gateway', () => {
  it('a user who was learned once sends no request beyond the limit, and is told when to come back', async () => {
    const { client, seen } = counting();
    // The first answers tell the limit; from then on the client knows it, for other users too.
    for (let i = 0; i < limit; i++) expect((await search(client, 'alice')).ok).toBe(true);
    expect(client.forUser('alice').limits()).toMatchObject({ policy: 'user', limit, windowMs: 60_000, remaining: 0 });

    const [more, bobs] = await Promise.all([
      Promise.all(Array.from({ length: 20 }, () => search(client, 'alice'))),
      Promise.all(Array.from({ length: 20 }, () => search(client, 'bob'))),
    ]);
    for (const result of more) {
      expect(result).toMatchObject({
        ok: false,
        error: { name: 'RateLimitError', source: 'local', policy: 'user', attempts: 0 },
      });
      expect(!result.ok && result.error.retryAfterMs).toBeGreaterThan(30_000);
    }
    expect(bobs.filter(({ ok }) => ok)).toHaveLength(limit);
    expect(seen.map(({ status }) => status)).not.toContain(429);
    expect(seen.filter(({ user }) => user === 'alice')).toHaveLength(limit);
    expect(seen.filter(({ user }) => user === 'bob')).toHaveLength(limit);
  });

  it('a second process meets at most one 429, and then knows too', async () => {
    const { client, seen } = counting();
    const first = await search(client, 'alice');
    expect(first).toMatchObject({ ok: false, error: { name: 'RateLimitError', source: 'server' } });
    for (let i = 0; i < 5; i++) expect(await search(client, 'alice')).toMatchObject({ error: { source: 'local' } });
    expect(seen).toHaveLength(1);
  });

  it('a quota of your own with mode reject throws without the network', async () => {
    await rig.manage('POST', '/users', { username: 'carol' });
    const { client, seen } = counting({ rateLimit: { mode: 'reject', quota: { limit: 2, windowMs: 60_000 } } });
    const results = await Promise.all(Array.from({ length: 5 }, () => search(client, 'carol')));
    expect(results.filter(({ ok }) => ok)).toHaveLength(2);
    for (const result of results.filter(({ ok }) => !ok)) {
      expect(result).toMatchObject({ error: { name: 'RateLimitError', source: 'local', executed: 'no', attempts: 0 } });
    }
    expect(seen).toHaveLength(2);
  });

  it('lists and management have limits of their own', async () => {
    const { client, seen } = counting();
    await search(client, 'alice');
    expect((await client.forUser('alice').tools.list({ server: fixtures.home.server.serverId }).safe()).ok).toBe(true);
    expect((await client.users.list({ limit: 1 }).safe()).ok).toBe(true);
    expect(seen.map(({ status }) => status)).toEqual([429, 200, 200]);
  });
});

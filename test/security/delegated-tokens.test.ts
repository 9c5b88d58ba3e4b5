// A delegated token calls for one user and does nothing else: where it was told to, as often as it was told to, and no longer than it, its user
// and the key that minted it are good.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { addFixtures, expireKey, type Fixtures, type Json, type Rig, startRig } from '../support/gateway.ts';
import { noLimits } from './support/world.ts';

/** What the upstream echoes of the secret that was sent along. */
const ran = 'Bearer [secret]';

describe.each(testDatabases())('delegated tokens on $kind', ({ open }) => {
  let rig: Rig;
  let stage: Fixtures;
  let count = 0;
  const mint = (body: object = {}, key = rig.admin): Promise<Json> =>
    rig.manage('POST', '/api/tokens', { userId: 'alice', ...body }, key);
  const call = (token: string, more: object = {}, headers?: Record<string, string>) =>
    rig.send('/mcp/tool/call', {
      key: token,
      body: { serverName: 'demo', methodName: 'whoami', args: {}, ...more },
      ...(headers && { headers }),
    });
  const onServer = (token: string, path = `/mcp/${stage.home.server.serverId}`) =>
    rig.rpc(
      path,
      {
        method: 'tools/call',
        params: { name: 'execute_action_alloy', arguments: { connectorId: 'demo', actionId: 'whoami' } },
      },
      { key: token },
    );
  const backend = async (username?: string): Promise<{ key: string; keyId: string; owner: string }> => {
    const owner = username ?? `backend${++count}`;
    if (username === undefined) await rig.manage('POST', '/users', { username: owner });
    const made = await rig.manage('POST', `/users/${owner}/keys`, { key_name: 'b', kind: 'enterprise' });
    return { key: made.api_key, keyId: made.key_id, owner };
  };

  beforeAll(async () => {
    rig = await startRig({ database: await open(), env: noLimits });
    stage = await addFixtures(rig);
  });
  afterAll(async () => {
    await rig?.close();
    await stage?.close();
  });

  it('call as their user on servers, the aggregate endpoint and directly, and their text is shown once', async () => {
    const made = await mint({ label: 'browser' });
    expect(made).toMatchObject({
      userId: stage.home.alice.userId,
      label: 'browser',
      servers: null,
      callsUsed: 0,
      revoked: false,
    });
    expect(made.token).toMatch(/^mcpv_usr_/);
    const lifeMs = new Date(made.expiresAt).getTime() - new Date(made.createdAt).getTime();
    expect(Math.abs(lifeMs - 900_000)).toBeLessThan(30_000);
    for (const answer of [
      await call(made.token),
      await onServer(made.token),
      await call(made.token, { username: 'alice' }),
    ])
      expect([answer.status, answer.text.includes(ran)]).toEqual([200, true]);
    const list = await rig.rpc('/mcp', { method: 'tools/list' }, { key: made.token });
    expect(list.body.result.tools.length).toBeGreaterThan(0);
    for (const shown of [
      await rig.manage('GET', `/api/tokens/${made.tokenId}`),
      await rig.manage('GET', '/api/tokens?userId=alice'),
    ])
      expect(JSON.stringify(shown)).not.toContain(made.token.slice(13));
  });

  it('name nobody but their user, manage nothing, and are no part of a URL', async () => {
    const { token } = await mint();
    expect((await call(token, { username: 'bob' })).status).toBe(403);
    for (const path of [
      '/users',
      '/api/keys',
      '/api/tokens',
      '/secrets?serverName=demo',
      '/api/credentials',
      '/api/calls',
    ])
      expect([path, (await rig.send(path, { key: token })).status]).toEqual([path, 403]);
    expect((await rig.send('/api/tokens', { key: token, body: { userId: 'alice' } })).status).toBe(403);
    expect((await rig.rpc(`/mcp/${stage.home.server.serverId}/${token}`, { method: 'tools/list' })).status).toBe(401);
  });

  it('stay within their servers and permissions', async () => {
    const other = await rig.manage('POST', '/api/servers', { name: `other ${++count}` });
    const { token } = await mint({ servers: [stage.home.server.serverId] });
    expect((await onServer(token)).text).toContain(ran);
    for (const answer of [await onServer(token, `/mcp/${other.serverId}`), await call(token)])
      expect(answer.text).not.toContain(ran);
    const narrow = await mint({ permissions: [{ connector: 'demo', mode: 'allow', actions: ['echo'] }] });
    expect((await call(narrow.token)).text).not.toContain(ran);
    const missing = await rig.send('/api/tokens', {
      key: rig.admin,
      body: { userId: 'alice', servers: [stage.other.server.serverId] },
    });
    expect(missing.status).toBe(404);
  });

  it('make exactly as many calls as their budget, whoever asks at the same time', async () => {
    const { token, tokenId } = await mint({ maxCalls: 20 });
    const answers = await Promise.all(Array.from({ length: 50 }, () => call(token)));
    const done = answers.filter(({ text }) => text.includes(ran));
    expect(done).toHaveLength(20);
    const refused = answers.filter((answer) => !done.includes(answer));
    expect(refused.every(({ text }) => text.includes('has made all of its 20 calls'))).toBe(true);
    expect(await rig.manage('GET', `/api/tokens/${tokenId}`)).toMatchObject({ maxCalls: 20, callsUsed: 20 });
  });

  it('pay for what runs, not for what is refused or replayed', async () => {
    const { token, tokenId } = await mint({
      maxCalls: 2,
      permissions: [{ connector: 'demo', mode: 'allow', actions: ['whoami'] }],
    });
    for (const answer of [
      await call(token, { methodName: 'echo' }),
      await call(token, { serverName: 'nowhere' }),
      await call(token, { username: 'bob' }),
    ])
      expect(answer.text).not.toContain('all of its');
    const key = { 'idempotency-key': `k${++count}` };
    const [first, second] = [await call(token, {}, key), await call(token, {}, key)];
    expect([first.status, second.status, second.headers.get('idempotent-replayed')]).toEqual([200, 200, 'true']);
    expect((await rig.manage('GET', `/api/tokens/${tokenId}`)).callsUsed).toBe(1);
    expect((await call(token)).status).toBe(200);
    const again = { 'idempotency-key': `k${++count}` };
    expect((await call(token, {}, again)).text).toContain('all of its 2 calls');
    // Refused, not run: the same key is free for a token that has calls left.
    expect((await call((await mint()).token, {}, again)).text).toContain(ran);
  });

  it('are refused once they are revoked or have expired', async () => {
    const [revoked, expired] = [await mint(), await mint()];
    expect((await call(revoked.token)).status).toBe(200);
    expect(await rig.manage('DELETE', `/api/tokens/${revoked.tokenId}`)).toEqual({
      status: 'revoked',
      tokenId: revoked.tokenId,
    });
    await expireKey(rig, stage.home.accountId, expired.tokenId);
    for (const { token } of [revoked, expired]) expect((await call(token)).status).toBe(401);
    expect((await rig.manage('GET', `/api/tokens/${revoked.tokenId}`)).revoked).toBe(true);
  });

  it.each<[string, (of: { keyId: string; owner: string }) => Promise<unknown>]>([
    ['is revoked', ({ keyId }) => rig.manage('DELETE', `/api/keys/${keyId}`)],
    ['is rotated', ({ keyId }) => rig.manage('POST', `/api/keys/${keyId}/rotate`)],
    ['is narrowed', ({ keyId }) => rig.manage('PATCH', `/api/keys/${keyId}`, { scopes: ['users:read'] })],
    [
      'ends earlier',
      ({ keyId }) =>
        rig.manage('PATCH', `/api/keys/${keyId}`, { expiresAt: new Date(Date.now() - 1_000).toISOString() }),
    ],
    ['belongs to a disabled user', ({ owner }) => rig.manage('PATCH', `/users/${owner}/enable`, { enabled: false })],
    ['belongs to a deleted user', ({ owner }) => rig.manage('DELETE', `/users/${owner}`)],
  ])('end when the key that minted them %s', async (_, end) => {
    const minter = await backend();
    const { token } = await mint({}, minter.key);
    for (let twice = 0; twice < 2; twice++) expect((await call(token)).status).toBe(200);
    await end(minter);
    expect((await call(token)).status).toBe(401);
  });

  it('never outlive the key that minted them', async () => {
    const { key_id, api_key } = await rig.manage('POST', '/users/bob/keys', {
      key_name: 'short',
      kind: 'enterprise',
      ttl_days: 1,
    });
    await rig.manage('PATCH', `/api/keys/${key_id}`, { expiresAt: new Date(Date.now() + 30_000).toISOString() });
    const { expiresAt } = await mint({ ttlSeconds: 86_400 }, api_key);
    expect(new Date(expiresAt).getTime()).toBeLessThan(Date.now() + 31_000);
  });

  it('are minted for users who are there and enabled', async () => {
    expect((await rig.send('/api/tokens', { key: rig.admin, body: { userId: 'locked' } })).body.error.code).toBe(
      'USER_DISABLED',
    );
    expect((await rig.send('/api/tokens', { key: rig.admin, body: { userId: stage.other.alice.userId } })).status).toBe(
      404,
    );
    expect((await rig.send('/api/tokens', { key: stage.home.alice.key, body: { userId: 'alice' } })).status).toBe(403);
  });

  it('are at most a thousand at a time for one user', async () => {
    await rig.manage('POST', '/users', { username: 'crowd' });
    const first = await mint({ userId: 'crowd' });
    await rig.sql(
      stage.home.accountId,
      `insert into api_keys (id, account_id, kind, name, hash, pepper_version, prefix, user_id, expires_at, delegation)
       select id || n, account_id, kind, name, sha256((id || n)::bytea), pepper_version, prefix, user_id, expires_at, delegation
       from api_keys, generate_series(1, 999) as n where account_id = $1 and id = $2`,
      [stage.home.accountId, first.tokenId],
    );
    const full = await rig.send('/api/tokens', { key: rig.admin, body: { userId: 'crowd' } });
    expect([full.status, full.body.error.code]).toEqual([409, 'CONFLICT']);
    await rig.manage('DELETE', `/api/tokens/${first.tokenId}`);
    expect((await mint({ userId: 'crowd' })).token).toBeDefined();
  });

  it('are in the trail with who minted them and for whom, and so is each of their calls', async () => {
    const minter = await backend();
    const { token, tokenId } = await mint({ maxCalls: 3 }, minter.key);
    await call(token);
    const { events } = await rig.manage('GET', `/api/audit?action=token.create&userId=alice&limit=1`);
    expect(events[0]).toMatchObject({
      target: tokenId,
      userId: stage.home.alice.userId,
      actor: { keyId: minter.keyId },
    });
    const { calls } = await rig.manage('GET', '/api/calls?userId=alice&limit=1');
    expect(JSON.stringify(calls[0])).toContain(tokenId);
  });
});

// A user token at the doors: beside keys and names, what a client is told that has none or too little, and what of it reaches an upstream.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, type Json, toolJson } from '../support/gateway.ts';
import { wireText } from '../support/recorded-request.ts';
import { startTokenStage, type TokenStage } from './support/user-token-stage.ts';

let stage: TokenStage;
beforeAll(async () => {
  stage = await startTokenStage();
});
afterAll(() => stage?.close());
beforeEach(() => stage.fixtures.upstream.reset());

const token = (subject = 'sub-alice', claims: Json = {}) => stage.idp.token(subject, { claims });
const codeOf = ({ body }: Answer): string => body.error?.data?.code ?? body.code ?? body.error?.code;
const arrived = () => wireText(stage.fixtures.upstream.recorded);
const challengeOf = ({ headers }: Answer): string | null => headers.get('www-authenticate');

describe('a user token beside a key', () => {
  it('runs the call as its user, with the key in the trail', async () => {
    const { home } = stage.fixtures;
    const answer = await stage.whoami(home.enterprise, { 'x-alloy-user-token': token() });
    expect(toolJson(answer).headers.authorization).toBe('Bearer [secret]');
    expect(arrived()).toContain(home.alice.canary);
    expect((await stage.rig.manage('GET', '/api/calls?limit=1')).calls[0]).toMatchObject({ username: 'alice' });
    const path = `${stage.path}/${home.server.accessToken}`;
    stage.fixtures.upstream.reset();
    await stage.whoami(undefined, { 'x-alloy-user-token': token('sub-bob') }, path);
    expect(arrived()).toContain(home.bob.canary);
  });

  it('may be named again, and nobody else may: 403 and an event in the trail', async () => {
    const { alice, bob, enterprise } = stage.fixtures.home;
    const beside = (more: Record<string, string>) => ({ 'x-alloy-user-token': token(), ...more });
    for (const user of [alice.username, alice.userId])
      expect((await stage.whoami(enterprise, beside({ 'x-alloy-userid': user }))).status).toBe(200);
    for (const user of [bob.username, bob.userId, 'default', 'nobody', 'a b']) {
      const requestId = `other-${Math.random()}`;
      const answer = await stage.whoami(enterprise, beside({ 'x-alloy-userid': user, 'x-request-id': requestId }));
      expect([answer.status, codeOf(answer)]).toEqual([403, 'FORBIDDEN']);
      await expect
        .poll(async () => (await stage.rig.manage('GET', `/api/audit?requestId=${requestId}`)).events)
        .toMatchObject([{ action: 'user.override', outcome: 'refused', attemptedUser: user }]);
    }
    const call = { serverName: 'demo', methodName: 'whoami', username: 'bob' };
    const answer = await stage.rig.send('/mcp/tool/call', { key: enterprise, body: call, headers: beside({}) });
    expect(answer.status).toBe(403);
    expect(arrived()).not.toContain(bob.canary);
  });

  it('of another user than the key is of opens nothing', async () => {
    const { alice, bob } = stage.fixtures.home;
    const bobs = { 'x-alloy-user-token': token('sub-bob') };
    expect((await stage.whoami(bob.key, bobs)).status).toBe(200);
    const requestId = 'others-key-1';
    const answer = await stage.whoami(alice.key, { ...bobs, 'x-request-id': requestId });
    expect([answer.status, codeOf(answer)]).toEqual([403, 'FORBIDDEN']);
    await expect
      .poll(async () => (await stage.rig.manage('GET', `/api/audit?requestId=${requestId}`)).events)
      .toMatchObject([{ action: 'user.override', outcome: 'refused', attemptedUser: bob.userId }]);
    expect((await stage.rig.send('/api/me', { key: alice.key, headers: bobs })).status).toBe(403);
  });

  it('keeps a backend’s management to its user where nobody is named', async () => {
    const { enterprise, alice } = stage.fixtures.home;
    const headers = { 'x-alloy-user-token': token() };
    expect((await stage.rig.send('/api/me', { key: enterprise, headers })).body.effectiveUser.userId).toBe(
      alice.userId,
    );
    const body = { serverName: 'demo', secretName: 'EXTRA', secretValue: 'v-123456' };
    expect((await stage.rig.send('/secrets/set', { key: enterprise, headers, body })).status).toBe(200);
    expect((await stage.rig.send('/secrets?serverName=demo&username=alice', { key: enterprise })).text).toContain(
      'EXTRA',
    );
    expect(
      (await stage.rig.send('/secrets/set', { key: enterprise, headers, body: { ...body, username: 'bob' } })).status,
    ).toBe(403);
    await stage.rig.manage('POST', '/secrets/delete', { username: 'alice', serverName: 'demo', secretName: 'EXTRA' });
  });
});

describe('a user token alone', () => {
  it('is a user’s own key: its own things, no others, nothing of the account', async () => {
    const { alice, bob } = stage.fixtures.home;
    const send = (path: string) => stage.rig.send(path, { key: token() });
    expect((await send('/users/alice')).body.user_id).toBe(alice.userId);
    expect((await send('/users/bob')).status).toBe(404);
    expect((await send(`/api/credentials/${alice.credentialId}`)).status).toBe(200);
    expect((await send(`/api/credentials/${bob.credentialId}`)).status).toBe(404);
    for (const path of ['/users', '/api/servers', '/api/issuers', '/api/audit', '/api/keys'])
      expect((await send(path)).status).toBe(403);
    expect((await stage.whoami(token(), { 'x-alloy-userid': 'bob' })).status).toBe(403);
  });

  it('never reaches an upstream, nor does what came in with it', async () => {
    const jwt = token('sub-alice', { private: 'claim-canary-93847' });
    await stage.whoami(jwt);
    await stage.whoami(stage.fixtures.home.enterprise, { 'x-alloy-user-token': jwt });
    for (const part of [jwt, jwt.slice(0, 60), jwt.split('.')[2] as string, 'claim-canary-93847'])
      expect(arrived()).not.toContain(part);
  });
});

describe('a client without a good token', () => {
  it('is told where its users sign in', async () => {
    const { rig, path, idp } = stage;
    const url = `${rig.url}/.well-known/oauth-protected-resource${path}`;
    const nothing = await stage.open(undefined);
    expect([nothing.status, challengeOf(nothing)]).toEqual([401, `Bearer resource_metadata="${url}"`]);
    const bad = await stage.open('a.b.c');
    expect(challengeOf(bad)).toBe(`Bearer error="invalid_token", resource_metadata="${url}"`);
    const document = await fetch(url);
    expect(document.headers.get('access-control-allow-origin')).toBe('*');
    expect(await document.json()).toEqual({
      resource: `${rig.url}${path}`,
      authorization_servers: [idp.issuer],
      bearer_methods_supported: ['header'],
    });
  });

  it('is told of no sign-in that could not end', async () => {
    const { rig, fixtures } = stage;
    const theirs = `/mcp/${fixtures.other.server.serverId}`;
    expect(challengeOf(await stage.open('a.b.c', theirs))).toBe('Bearer error="invalid_token"');
    expect(challengeOf(await stage.open(undefined, `${stage.path}/${'x'.repeat(60)}`))).toBe(
      'Bearer error="invalid_token"',
    );
    // Two accounts: whose the aggregate endpoint would be, nobody can say.
    expect(challengeOf(await stage.open(undefined, '/mcp'))).toBe('Bearer');
    const plain = (text: string) => text.replace(/req_\w+/, 'req');
    const answers = await Promise.all(
      [theirs, '/mcp/nowhere-00000000', '/mcp', '/mcp/%00', '/mcp/a%20b'].map((path) =>
        rig.send(`/.well-known/oauth-protected-resource${path}`),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
    expect(new Set(answers.map(({ text }) => plain(text))).size).toBe(1);
  });

  it('is told which scopes it lacks: at the door with 403, and which exist in the metadata', async () => {
    const { rig, issuerId, path, fixtures } = stage;
    const { serverId } = fixtures.home.server;
    const url = `${rig.url}/.well-known/oauth-protected-resource${path}`;
    await rig.manage('PATCH', `/api/issuers/${issuerId}`, { requiredScopes: ['mcp:use'] });
    await rig.manage('PUT', `/api/servers/${serverId}`, {
      requires: [{ actions: ['whoami'], scopes: ['orders:refund', 'offline_access'] }],
    });
    try {
      const door = await stage.open(token());
      expect([door.status, codeOf(door)]).toEqual([403, 'INSUFFICIENT_SCOPE']);
      expect(challengeOf(door)).toBe(`Bearer error="insufficient_scope", scope="mcp:use", resource_metadata="${url}"`);
      expect(challengeOf(await stage.open(undefined))).toBe(`Bearer scope="mcp:use", resource_metadata="${url}"`);
      expect(((await (await fetch(url)).json()) as Json).scopes_supported).toEqual(['mcp:use', 'orders:refund']);
    } finally {
      await rig.manage('PATCH', `/api/issuers/${issuerId}`, { requiredScopes: [] });
    }
    try {
      const tool = await stage.whoami(token('sub-alice', { scope: 'orders:read' }));
      expect([tool.status, codeOf(tool)]).toEqual([403, 'INSUFFICIENT_SCOPE']);
      expect(challengeOf(tool)).toBe(
        `Bearer error="insufficient_scope", scope="orders:refund offline_access", resource_metadata="${url}"`,
      );
      expect((await stage.whoami(token('sub-alice', { scope: 'orders:refund offline_access' }))).status).toBe(200);
      // A key has nowhere to go for another token.
      const key = await stage.whoami(fixtures.home.alice.key);
      expect([key.status, challengeOf(key), key.body.result.isError]).toEqual([200, null, true]);
      expect(key.text).toContain('orders:refund');
    } finally {
      await rig.manage('PUT', `/api/servers/${serverId}`, { requires: null });
    }
  });
});

describe('claims in templates', () => {
  const call = (key: string, headers: Record<string, string> = {}, args: Json = {}) =>
    stage.rig.send('/mcp/tool/call', {
      key,
      headers,
      body: { serverName: 'tenants', methodName: 'whoami', args },
    });
  beforeAll(async () => {
    await stage.rig.manage('POST', '/api/connectors', {
      connectorId: 'tenants',
      kind: 'mcp-http',
      url: stage.fixtures.upstream.url,
      inject: {
        headers: { 'x-tenant': '{{claims.org.id}}', 'x-person': '{{user.username}}/{{claims.sub}}' },
        args: { tenant: '{{claims.org.id}}' },
      },
    });
  });
  const seen = () =>
    stage.fixtures.upstream.recorded
      .filter(({ body }) => body.includes('tools/call'))
      .map(({ headers }) => [headers['x-tenant'], headers['x-person']]);

  it('come from the verified token of each call, also where two tokens are of one user', async () => {
    for (const id of ['acme', 'globex', 42, 'acme'])
      expect((await call(token('sub-alice', { org: { id } }))).text).toContain('"success":true');
    expect((await call(token('sub-bob', { org: { id: 'acme' } }))).body.success).toBe(true);
    const beside = { 'x-alloy-user-token': token('sub-bob', { org: { id: 'beside' } }) };
    await call(stage.fixtures.home.enterprise, beside);
    expect(seen()).toEqual([
      ['acme', 'alice/sub-alice'],
      ['globex', 'alice/sub-alice'],
      ['42', 'alice/sub-alice'],
      ['acme', 'alice/sub-alice'],
      ['acme', 'bob/sub-bob'],
      ['beside', 'bob/sub-bob'],
    ]);
  });

  it('are never taken from what the caller sends otherwise', async () => {
    const forged = {
      tenant: 'forged',
      claims: { org: { id: 'forged' } },
      'claims.org.id': 'forged',
      org: { id: 'forged' },
    };
    const headers = { 'x-tenant': 'forged', 'x-person': 'forged' };
    const answer = await call(token('sub-alice', { org: { id: 'acme' } }), headers, forged);
    expect(answer.body.success).toBe(true);
    expect(seen()).toEqual([['acme', 'alice/sub-alice']]);
    expect(toolJson({ body: { result: answer.body.data } } as Answer).arguments.tenant).toBe('acme');
  });

  it('that are not there refuse the call with their name, before anything is sent', async () => {
    const { enterprise, alice } = stage.fixtures.home;
    const wrong = [
      token(),
      token('sub-alice', { org: 'acme' }),
      token('sub-alice', { org: { id: ['acme'] } }),
      enterprise,
      alice.key,
    ];
    for (const key of wrong) {
      const answer = await call(key);
      expect([answer.status, answer.body.code]).toEqual([403, 'not_allowed']);
      expect(answer.body.error).toContain('claims.org.id');
    }
    expect(stage.fixtures.upstream.recorded).toEqual([]);
  });

  it('cannot break out of the header that they are put into', async () => {
    const answer = await call(token('sub-alice', { org: { id: 'a\r\nx-admin: 1' } }));
    expect(answer.body.success).toBe(false);
    expect(arrived()).not.toContain('x-admin');
  });
});

// A key that was narrowed does what its scopes say, for the users it is kept to, and never gets more by any way that the gateway offers: not by
// minting, changing or rotating a key, not by a token, a server's URL, an issuer or another account.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { type Answer, addFixtures, type Fixtures, type Json, type Rig, startRig } from '../support/gateway.ts';
import { noLimits } from './support/world.ts';

const codeOf = ({ status, body }: Answer) =>
  `${status} ${body?.error?.code ?? body?.code ?? body?.error ?? 'ok'}`.toUpperCase();

describe.each(testDatabases())('narrowed keys on $kind', ({ open }) => {
  let rig: Rig;
  let stage: Fixtures;
  let count = 0;
  const manage = (method: string, path: string, body?: unknown): Promise<Json> => rig.manage(method, path, body);
  const mint = async (
    narrowing: object,
    username = 'default',
    kind = 'enterprise',
  ): Promise<{ key: string; keyId: string }> => {
    // An owner with room: a user has at most 20 active keys.
    const owner = username === 'default' ? `owner${++count}` : username;
    if (owner !== username) await manage('POST', '/users', { username: owner });
    const made = await manage('POST', `/users/${owner}/keys`, { key_name: `n${++count}`, kind, ...narrowing });
    return { key: made.api_key, keyId: made.key_id };
  };
  const ask = (key: string, method: string, path: string, body?: unknown) => rig.send(path, { method, key, body });

  beforeAll(async () => {
    rig = await startRig({ database: await open(), env: noLimits });
    stage = await addFixtures(rig);
  });
  afterAll(async () => {
    await rig?.close();
    await stage?.close();
  });

  describe('scopes', () => {
    it('let a key do what they name and answer the rest with the scope that is missing', async () => {
      const { key } = await mint({ scopes: ['users:read', 'keys:*'] });
      expect(codeOf(await ask(key, 'GET', '/users'))).toBe('200 OK');
      expect(codeOf(await ask(key, 'GET', '/api/keys'))).toBe('200 OK');
      expect(codeOf(await ask(key, 'GET', '/api/me'))).toBe('200 OK');
      const refused = await ask(key, 'POST', '/users', { username: 'nobody' });
      expect(refused.status).toBe(403);
      expect(refused.body).toMatchObject({ error: 'insufficient_scope', details: { requiredScopes: ['users:write'] } });
      const servers = await ask(key, 'GET', '/api/servers');
      expect(servers.body.error).toMatchObject({
        code: 'INSUFFICIENT_SCOPE',
        details: { requiredScopes: ['servers:read'] },
      });
    });

    it('empty or for tools only open no management route but the question who one is', async () => {
      for (const scopes of [[], ['tools:call', 'orders:read']]) {
        const { key } = await mint({ scopes });
        for (const path of ['/users', '/api/keys', '/api/tokens', '/api/servers', '/api/connectors', '/status'])
          expect([path, codeOf(await ask(key, 'GET', path))]).toEqual([path, '403 INSUFFICIENT_SCOPE']);
        expect(codeOf(await ask(key, 'GET', '/api/me'))).toBe('200 OK');
      }
    });

    it('bind a standard key too', async () => {
      const { key } = await mint({ scopes: ['secrets:read'] }, 'alice', 'standard');
      expect(codeOf(await ask(key, 'GET', '/secrets?serverName=demo'))).toBe('200 OK');
      const set = { serverName: 'demo', secretName: 'TOKEN', secretValue: 'x' };
      expect(codeOf(await ask(key, 'POST', '/secrets/set', set))).toBe('403 INSUFFICIENT_SCOPE');
    });

    const all = ['users:*', 'keys:*', 'tokens:*', 'servers:*', 'issuers:*', 'identities:*', 'accounts:*'];
    const calling = [...all, 'tools:call', 'orders:read'];
    it.each<[string, string[], string, string, (rig: Rig) => object, string]>([
      ['a key without scopes', calling, 'POST', '/users/alice/keys', () => ({ key_name: 'k' }), '403 FORBIDDEN'],
      [
        'a key that may call',
        all,
        'POST',
        '/users/alice/keys',
        () => ({ key_name: 'k', scopes: ['tools:call'] }),
        '403 INSUFFICIENT_SCOPE',
      ],
      [
        'a key with a wildcard',
        all,
        'POST',
        '/users/alice/keys',
        () => ({ key_name: 'k', scopes: ['*'] }),
        '403 INSUFFICIENT_SCOPE',
      ],
      [
        'a key with a longer wildcard',
        all,
        'POST',
        '/users/alice/keys',
        () => ({ key_name: 'k', scopes: ['user*'] }),
        '403 INSUFFICIENT_SCOPE',
      ],
      [
        'a key with some of its scopes',
        calling,
        'POST',
        '/users/alice/keys',
        () => ({ key_name: 'k', scopes: ['orders:read'] }),
        '201 OK',
      ],
      [
        'a token without being allowed to call',
        all,
        'POST',
        '/api/tokens',
        () => ({ userId: 'alice' }),
        '403 INSUFFICIENT_SCOPE',
      ],
      [
        'a token with a scope of tools that it lacks',
        calling,
        'POST',
        '/api/tokens',
        () => ({ userId: 'alice', scopes: ['orders:write'] }),
        '403 INSUFFICIENT_SCOPE',
      ],
      [
        'a token with its own scope of tools',
        calling,
        'POST',
        '/api/tokens',
        () => ({ userId: 'alice', scopes: ['orders:read'] }),
        '201 OK',
      ],
      ['a server, whose URL calls', all, 'POST', '/api/servers', () => ({ name: 'mine' }), '403 INSUFFICIENT_SCOPE'],
      [
        'an account, whose first key is not narrowed',
        calling,
        'POST',
        '/api/accounts',
        () => ({ name: 'mine' }),
        '403',
      ],
    ])('cannot be escaped by making %s', async (_, scopes, method, path, body, expected) => {
      const { key } = await mint({ scopes });
      expect(codeOf(await ask(key, method, path, body(rig)))).toContain(expected);
    });

    it('cannot be escaped through the URL token of a server that exists', async () => {
      const { key } = await mint({ scopes: all });
      const path = `/api/servers/${stage.home.server.serverId}/token`;
      expect(codeOf(await ask(key, 'POST', path, {}))).toBe('403 INSUFFICIENT_SCOPE');
    });

    it('cannot be escaped by changing or rotating a key, the own one included', async () => {
      const own = await mint({ scopes: calling });
      const wide = await mint({}, 'alice', 'standard');
      const other = await mint({ scopes: ['users:read'] });
      expect(codeOf(await ask(own.key, 'PATCH', `/api/keys/${own.keyId}`, { scopes: ['*'] }))).toBe(
        '403 INSUFFICIENT_SCOPE',
      );
      expect(codeOf(await ask(own.key, 'PATCH', `/api/keys/${own.keyId}`, { scopes: null }))).toBe('403 FORBIDDEN');
      for (const { keyId } of [wide, other]) {
        expect(codeOf(await ask(own.key, 'PATCH', `/api/keys/${keyId}`, { name: 'mine' }))).toBe('403 FORBIDDEN');
        expect(codeOf(await ask(own.key, 'POST', `/api/keys/${keyId}/rotate`))).toBe('403 FORBIDDEN');
      }
      const rotated = await ask(own.key, 'POST', `/api/keys/${own.keyId}/rotate`);
      expect([rotated.status, rotated.body.scopes]).toEqual([201, calling]);
      expect((await ask(own.key, 'GET', '/api/me')).status).toBe(401);
    });
  });

  describe('allowed users', () => {
    const set = (username: string) => ({ username, serverName: 'demo', secretName: 'EXTRA', secretValue: 'v' });

    it('are the only users that exist for the key', async () => {
      const { key } = await mint({ allowed_users: ['alice'] });
      const { users } = (await ask(key, 'GET', '/users')).body;
      expect(users.map(({ username }: Json) => username)).toEqual(['alice']);
      expect(codeOf(await ask(key, 'GET', '/users/alice'))).toBe('200 OK');
      for (const [method, path, body] of [
        ['GET', '/users/bob'],
        ['DELETE', '/users/bob'],
        ['PATCH', '/users/bob/enable', { enabled: false }],
        ['PUT', '/users/bob/mcp-access', {}],
        ['POST', '/users/bob/keys', { key_name: 'k' }],
        ['GET', '/api/keys?userId=bob'],
        ['POST', '/api/tokens', { userId: 'bob' }],
        ['GET', '/api/tokens?userId=bob'],
        ['POST', '/secrets/set', set('bob')],
        ['GET', '/secrets?serverName=demo&username=bob'],
        ['GET', '/api/credentials?userId=bob'],
        ['GET', `/api/credentials/${stage.home.bob.credentialId}`],
        ['DELETE', `/api/credentials/${stage.home.bob.credentialId}`],
        ['GET', `/api/keys/${stage.home.bob.keyId}`],
        ['DELETE', `/api/keys/${stage.home.bob.keyId}`],
        ['POST', `/api/keys/${stage.home.bob.keyId}/rotate`],
        ['GET', '/api/calls?userId=bob'],
        ['GET', '/api/connectors/demo?userId=bob'],
      ] as const) {
        const answer = await ask(key, method, path, body);
        expect([method, path, answer.status]).toEqual([method, path, 404]);
      }
      expect(codeOf(await ask(key, 'POST', '/secrets/set', set('alice')))).toBe('200 OK');
    });

    it('are the only ones whose keys, credentials, calls and events the key can list', async () => {
      for (const username of ['alice', 'bob'])
        await rig.send('/mcp/tool/call', {
          key: rig.admin,
          body: { username, serverName: 'demo', methodName: 'whoami', args: {} },
        });
      const { key } = await mint({ allowed_users: ['alice'] });
      const { userId } = stage.home.alice;
      for (const [path, items] of [
        ['/api/keys', 'keys'],
        ['/api/credentials', 'credentials'],
        ['/api/calls', 'calls'],
        ['/api/audit', 'events'],
      ] as const) {
        const { body, status } = await ask(key, 'GET', `${path}?limit=1000`);
        expect([path, status, body[items].length > 0]).toEqual([path, 200, true]);
        const users = new Set(
          body[items].flatMap((item: Json) => (item.actor?.userId === userId ? [userId] : [item.userId])),
        );
        expect([path, [...users]]).toEqual([path, [userId]]);
      }
    });

    it('are the only ones of whom the key is told what they may call, whoever it asks as', async () => {
      const { key } = await mint({ allowed_users: ['alice'] });
      const bobs = await mint({}, 'bob', 'standard');
      const alices = await mint({}, 'alice', 'standard');
      // A key that speaks for all, of the one user that can be seen.
      const wide = await mint({}, 'alice');
      const about = async (question: object) => {
        const answer = await ask(key, 'POST', '/api/explain', { connectorId: 'demo', action: 'whoami', ...question });
        return `${answer.status} ${answer.body.reason ?? answer.body.error?.code ?? answer.body.username}`;
      };
      expect(await about({ userId: 'alice' })).toBe('200 alice');
      expect(await about({ keyId: alices.keyId })).toBe('200 alice');
      expect(await about({ userId: 'bob' })).toBe('200 user_not_on_key');
      expect(await about({ userId: 'bob', scopes: [] })).toBe('200 user_not_on_key');
      expect(await about({ keyId: wide.keyId, userId: 'bob' })).toBe('200 user_not_on_key');
      expect(await about({ keyId: bobs.keyId })).toBe('404 NOT_FOUND');
    });

    it('cannot be escaped by changing what concerns everybody', async () => {
      const { key } = await mint({ allowed_users: ['alice'] });
      const { serverId } = stage.home.server;
      for (const [method, path, body] of [
        ['POST', '/users', { username: 'friend' }],
        ['POST', '/api/servers', { name: 'mine' }],
        ['POST', `/api/servers/${serverId}/token`, {}],
        ['PUT', `/api/servers/${serverId}`, { description: 'mine' }],
        ['POST', '/api/connectors', { connectorId: 'mine', kind: 'mcp-http', url: 'http://127.0.0.1:9/' }],
        ['PUT', '/api/connectors/demo', { url: 'http://127.0.0.1:9/' }],
        ['DELETE', '/api/connectors/demo'],
        ['PUT', '/api/settings', { redirectUris: [] }],
      ] as const)
        expect([method, path, codeOf(await ask(key, method, path, body))]).toEqual([method, path, '403 FORBIDDEN']);
    });

    it('cannot be escaped by lending a credential to everybody', async () => {
      const { key } = await mint({ allowed_users: ['alice'] });
      const path = `/api/credentials/${stage.home.alice.credentialId}`;
      expect(codeOf(await ask(key, 'PATCH', path, { shared: true }))).toBe('403 FORBIDDEN');
    });

    it('cannot be widened by the key itself, and keep their keys from being taken over', async () => {
      // Owned by alice, so that the key sees itself; another one of hers names everybody.
      const own = await mint({ allowed_users: ['alice'] }, 'alice');
      const wide = await mint({}, 'alice');
      for (const allowedUsers of [null, ['alice', 'bob'], ['bob']])
        expect((await ask(own.key, 'PATCH', `/api/keys/${own.keyId}`, { allowedUsers })).status).toBeGreaterThan(400);
      expect(codeOf(await ask(own.key, 'POST', `/api/keys/${wide.keyId}/rotate`))).toBe('403 FORBIDDEN');
      const rotated = await ask(own.key, 'POST', `/api/keys/${own.keyId}/rotate`);
      expect([rotated.status, rotated.body.allowedUsers]).toEqual([201, [stage.home.alice.userId]]);
    });

    it('bind calls: another user, or nobody named, is refused before anything runs', async () => {
      const { key } = await mint({ allowed_users: ['alice'] });
      const call = (username?: string) =>
        rig.send('/mcp/tool/call', {
          key,
          body: { ...(username && { username }), serverName: 'demo', methodName: 'whoami', args: {} },
        });
      expect((await call('alice')).status).toBe(200);
      for (const username of ['bob', undefined]) {
        const answer = await call(username);
        expect([username, [403, 404].includes(answer.status), answer.text.includes('Bearer')]).toEqual([
          username,
          true,
          false,
        ]);
      }
    });

    it('leave the question who one is open: such a key speaks for nobody until it names one of them', async () => {
      const { userId } = stage.home.alice;
      const { key } = await mint({ allowed_users: ['alice'] });
      expect((await ask(key, 'GET', '/api/me')).body).toMatchObject({ effectiveUser: null, limits: null });
      expect(codeOf(await ask(key, 'GET', '/secrets?serverName=demo'))).toBe('403 FORBIDDEN');
      const both = await mint({ allowed_users: [userId, 'default'] });
      expect((await ask(both.key, 'GET', '/api/me')).body.effectiveUser.username).toBe('default');
    });

    it('can be given to keys that may name users only', async () => {
      const answer = await ask(rig.admin, 'POST', '/users/alice/keys', { key_name: 'k', allowed_users: ['alice'] });
      expect(codeOf(answer)).toBe('400 INVALID_REQUEST');
      const unknown = { key_name: 'k', kind: 'enterprise', allowed_users: [stage.other.alice.userId] };
      expect(codeOf(await ask(rig.admin, 'POST', '/users/alice/keys', unknown))).toBe('404 USER_NOT_FOUND');
    });
  });

  describe('changing a key', () => {
    it('narrows it with the next request', async () => {
      const { key, keyId } = await mint({});
      expect(codeOf(await ask(key, 'GET', '/api/servers'))).toBe('200 OK');
      await manage('PATCH', `/api/keys/${keyId}`, { scopes: ['users:read'], allowedUsers: ['bob'], name: 'narrow' });
      expect(codeOf(await ask(key, 'GET', '/api/servers'))).toBe('403 INSUFFICIENT_SCOPE');
      expect((await ask(key, 'GET', '/users')).body.users.map(({ username }: Json) => username)).toEqual(['bob']);
      expect(await manage('GET', `/api/keys/${keyId}`)).toMatchObject({
        name: 'narrow',
        scopes: ['users:read'],
        allowedUsers: [stage.home.bob.userId],
      });
    });

    it('can end it earlier and never later', async () => {
      const { key, keyId } = await mint({ ttl_days: 2 });
      const later = await ask(rig.admin, 'PATCH', `/api/keys/${keyId}`, {
        expiresAt: new Date(Date.now() + 3 * 86_400_000).toISOString(),
      });
      expect(codeOf(later)).toBe('422 UNPROCESSABLE');
      const { expiresAt } = await manage('PATCH', `/api/keys/${keyId}`, {
        expiresAt: new Date(Date.now() + 60_000).toISOString(),
      });
      expect(new Date(expiresAt).getTime()).toBeLessThan(Date.now() + 61_000);
      expect((await ask(key, 'GET', '/api/me')).status).toBe(200);
      await manage('PATCH', `/api/keys/${keyId}`, { expiresAt: new Date(Date.now() - 1_000).toISOString() });
      expect((await ask(key, 'GET', '/api/me')).status).toBe(401);
    });
  });

  describe('rotation', () => {
    it('gives a key with the same rights and length of life; both work during the overlap, then one', async () => {
      const { key, keyId } = await mint({ ttl_days: 30, scopes: ['users:read'] });
      const rotated = await manage('POST', `/api/keys/${keyId}/rotate`, { overlapSeconds: 4 });
      expect(rotated).toMatchObject({ rotatedFrom: keyId, scopes: ['users:read'], kind: 'ent', revoked: false });
      const lifeMs = new Date(rotated.expiresAt).getTime() - new Date(rotated.createdAt).getTime();
      expect(Math.abs(lifeMs - 30 * 86_400_000)).toBeLessThan(30_000);
      for (const one of [key, rotated.apiKey]) expect((await ask(one, 'GET', '/users')).status).toBe(200);
      await new Promise((resolve) => setTimeout(resolve, new Date(rotated.oldKeyEndsAt).getTime() - Date.now() + 50));
      expect([(await ask(key, 'GET', '/users')).status, (await ask(rotated.apiKey, 'GET', '/users')).status]).toEqual([
        401, 200,
      ]);
    });

    it('happens once to a key, and not to one that has ended, is configured, or belongs to a server', async () => {
      const { keyId } = await mint({});
      const both = await Promise.all(
        [1, 2].map(() => ask(rig.admin, 'POST', `/api/keys/${keyId}/rotate`, { overlapSeconds: 60 })),
      );
      expect(both.map(({ status }) => status).sort()).toEqual([201, 409]);
      const ended = await mint({});
      await manage('DELETE', `/api/keys/${ended.keyId}`);
      expect(codeOf(await ask(rig.admin, 'POST', `/api/keys/${ended.keyId}/rotate`))).toBe('409 CONFLICT');
      const [token] = (await manage('GET', `/api/keys?serverId=${stage.home.server.serverId}`)).keys;
      expect(codeOf(await ask(rig.admin, 'POST', `/api/keys/${token.keyId}/rotate`))).toBe('422 UNPROCESSABLE');
    });

    it('of another enterprise key needs an admin key', async () => {
      const [one, two] = [await mint({}), await mint({})];
      expect(codeOf(await ask(one.key, 'POST', `/api/keys/${two.keyId}/rotate`))).toBe('403 FORBIDDEN');
      expect((await ask(one.key, 'GET', '/api/me')).status).toBe(200);
    });
  });

  it('shows when a key was last used', async () => {
    const { key, keyId } = await mint({});
    expect((await manage('GET', `/api/keys/${keyId}`)).lastUsedAt).toBeNull();
    await ask(key, 'GET', '/api/me');
    await rig.gateway.gateway.parts.keyUse.flush();
    expect((await manage('GET', `/api/keys/${keyId}`)).lastUsedAt).not.toBeNull();
  });
});

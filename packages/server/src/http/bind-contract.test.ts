// What the binder guarantees for every route of the management plane, seen through a real gateway on both engines.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../../../../test/support/database.ts';
import { startTestGateway, type TestGateway } from '../testing.ts';

interface Sent {
  key?: string | null;
  body?: unknown;
  headers?: Record<string, string>;
}
interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into JSON of every shape
  json: any;
}

describe.each(testDatabases())('the management plane on $kind', ({ kind, open }) => {
  let gateway: TestGateway;
  let closeDatabase: () => Promise<void>;
  let aliceKey: string;
  let enterpriseKey: string;

  async function call(method: string, path: string, { key, body, headers = {} }: Sent = {}): Promise<Answer> {
    const response = await gateway.fetch(`${gateway.url}${path}`, {
      method,
      headers: {
        ...(key !== null && { authorization: `Bearer ${key ?? gateway.apiKey}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, json: await response.json() };
  }
  const events = async (
    query: string,
  ): Promise<
    { action: string; outcome: string; reason: string | null; target: string | null; attemptedUser: string | null }[]
  > => (await call('GET', `/api/audit?${query}`)).json.events;

  beforeAll(async () => {
    const database = await open();
    closeDatabase = database.close;
    const env = {
      DATABASE_URL: database.url,
      ...(kind === 'postgres' && { VALET_MASTER_KEY: 'q0Xp3nBvT7yLwR2sJ9uKcD4fG6hZ8aEi1oM5tNxVbWk=' }),
    };
    gateway = await startTestGateway({ env, checkReplies: true });
    for (const username of ['alice', 'bob']) await call('POST', '/users', { body: { username } });
    aliceKey = (await call('POST', '/users/alice/keys', { body: { key_name: 'a' } })).json.api_key;
    enterpriseKey = (await call('POST', '/users/bob/keys', { body: { key_name: 'e', kind: 'enterprise' } })).json
      .api_key;
    await call('POST', '/api/connectors', {
      body: { connectorId: 'slack', kind: 'mcp-http', url: 'http://127.0.0.1:9/mcp' },
    });
  });
  afterAll(async () => {
    await gateway.close();
    await closeDatabase();
  });

  describe('before the handler', () => {
    it('answers without a key in the dialect of the route, and says not to retry', async () => {
      const api = await call('GET', '/api/servers', { key: null });
      const users = await call('GET', '/users', { key: null });
      const secrets = await call('GET', '/secrets?serverName=slack', { key: null });
      expect([api.status, users.status, secrets.status]).toEqual([401, 401, 401]);
      expect(api.json).toEqual({
        error: { code: 'UNAUTHORIZED', message: expect.any(String) },
        requestId: expect.any(String),
      });
      expect(users.json).toEqual({
        error: 'unauthorized',
        message: expect.any(String),
        request_id: expect.any(String),
      });
      expect(secrets.json).toEqual({
        success: false,
        error: expect.any(String),
        code: 'unauthorized',
        requestId: expect.any(String),
      });
      expect(api.headers.get('x-should-retry')).toBe('false');
      expect(api.headers.get('www-authenticate')).toBe('Bearer');
    });

    it('refuses a stranger before reading the body', async () => {
      const answer = await call('POST', '/users', { key: null, body: `{"username":"${'x'.repeat(2_000_000)}` });
      expect(answer.status).toBe(401);
    });

    it('tells a key of the wrong kind which kinds may', async () => {
      const { status, json } = await call('POST', '/users', { key: aliceKey, body: { username: 'x' } });
      expect([status, json.error, json.message]).toEqual([
        403,
        'forbidden',
        'This needs an admin or an enterprise key',
      ]);
    });

    it('names every wrong field by its path', async () => {
      const body = { name: '-bad', rateLimit: { max: 0, windowSeconds: 60 }, command: 'rm' };
      const { status, json } = await call('POST', '/api/servers', { body });
      expect([status, json.error.code]).toEqual([400, 'INVALID_REQUEST']);
      expect(json.error.details.issues.map((issue: { path: string }) => issue.path).sort()).toEqual([
        'command',
        'name',
        'rateLimit.max',
      ]);
    });

    it.each([
      ['cut JSON', '{"username":', 400, 'invalid_request'],
      [
        'JSON that is too deep',
        `{"username":"deep","metadata":${'{"a":'.repeat(70)}1${'}'.repeat(71)}`,
        400,
        'invalid_request',
      ],
      ['text that cannot be stored', '{"username":"nul","metadata":{"a":"\\u0000"}}', 400, 'invalid_request'],
      [
        'a body over the limit',
        JSON.stringify({ username: 'big', description: 'x'.repeat(1_100_000) }),
        413,
        'payload_too_large',
      ],
    ])('refuses %s', async (_, body, status, code) => {
      const answer = await call('POST', '/users', { body });
      expect([answer.status, answer.json.error]).toEqual([status, code]);
    });

    it('refuses another media type', async () => {
      const answer = await call('POST', '/users', {
        body: 'username=x',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      });
      expect([answer.status, answer.json.error]).toEqual([415, 'unsupported_media_type']);
    });

    it('takes a missing body for a missing optional body', async () => {
      expect((await call('PATCH', '/users/bob/enable')).json).toEqual({
        status: 'disabled',
        username: 'bob',
        enabled: false,
      });
      expect(
        (await call('PATCH', '/users/bob/enable', { headers: { 'content-type': 'application/json' } })).json.status,
      ).toBe('enabled');
    });

    it('answers unknown paths in the envelope of their system', async () => {
      expect((await call('GET', '/api/nothing')).json.error.code).toBe('NOT_FOUND');
      expect((await call('GET', '/users/a/b/c')).json.error).toBe('not_found');
      expect((await call('GET', '/secrets/nothing')).json.code).toBe('not_found');
    });
  });

  describe('every reply', () => {
    it('echoes a well-formed request id and replaces another one', async () => {
      expect(
        (await call('GET', '/api/me', { headers: { 'x-request-id': 'abc.DEF_1-2' } })).headers.get('x-request-id'),
      ).toBe('abc.DEF_1-2');
      expect(
        (await call('GET', '/api/me', { headers: { 'x-request-id': 'two words' } })).headers.get('x-request-id'),
      ).toMatch(/^req_/);
    });

    it('tells what is left of the limit and is not cached', async () => {
      const { headers } = await call('GET', '/api/me');
      expect(headers.get('ratelimit-policy')).toMatch(/^"management";q=600;w=60$/);
      expect(headers.get('cache-control')).toBe('no-store');
    });
  });

  describe('isolation', () => {
    it('answers foreign and missing objects alike, byte for byte', async () => {
      const other = (await call('POST', '/api/accounts', { body: { name: `other ${kind}` } })).json.apiKey as string;
      const { serverId } = (await call('POST', '/api/servers', { body: { name: 'Masked' } })).json;
      const headers = { 'x-request-id': 'same' };
      const foreign = await call('GET', `/api/servers/${serverId}`, { key: other, headers });
      const missing = await call('GET', '/api/servers/masked-00000000', { key: other, headers });
      expect(foreign.status).toBe(404);
      expect(foreign.json).toEqual(missing.json);
      const bob = await call('GET', '/users/bob', { key: aliceKey, headers });
      const nobody = await call('GET', '/users/nobody', { key: aliceKey, headers });
      expect(bob.status).toBe(404);
      expect(bob.json).toEqual(nobody.json);
    });

    it.each([
      ['POST', '/secrets/set', { username: 'bob', serverName: 'slack', secretName: 'T', secretValue: 'v' }],
      ['POST', '/secrets/set', { username: 'nobody', serverName: 'slack', secretName: 'T', secretValue: 'v' }],
      ['POST', '/api/credentials', { userId: 'bob', connectorId: 'slack', authenticationType: 'secrets' }],
      ['GET', '/secrets?username=bob&serverName=slack', undefined],
      ['GET', '/api/credentials?userId=bob', undefined],
      ['GET', '/api/calls?userId=bob', undefined],
    ])('refuses a standard key that names another user: %s %s', async (method, path, body) => {
      const requestId = `name-${Math.trunc(performance.now() * 1000)}`;
      const answer = await call(method, path, { key: aliceKey, body, headers: { 'x-request-id': requestId } });
      expect(answer.status).toBe(403);
      const named =
        new URL(path, 'http://x').searchParams.get('username') ?? new URL(path, 'http://x').searchParams.get('userId');
      const attempted = body === undefined ? named : 'username' in body ? body.username : 'bob';
      expect(await events(`requestId=${requestId}`)).toEqual([
        expect.objectContaining({ outcome: 'refused', reason: 'other_user', attemptedUser: attempted }),
      ]);
    });

    it('lets a key mint only weaker kinds', async () => {
      const body = { key_name: 'k', kind: 'enterprise' };
      expect((await call('POST', '/users/alice/keys', { key: enterpriseKey, body })).status).toBe(403);
      expect((await call('POST', '/users/nobody/keys', { key: enterpriseKey, body })).status).toBe(403);
      expect((await call('POST', '/users/alice/keys', { key: enterpriseKey, body: { key_name: 'k' } })).status).toBe(
        201,
      );
    });

    it('keeps accounts to admin keys of the account default', async () => {
      const other = (await call('POST', '/api/accounts', { body: { name: `tenant ${kind}` } })).json.apiKey as string;
      expect((await call('GET', '/api/accounts', { key: other })).status).toBe(403);
      expect((await call('GET', '/api/accounts', { key: enterpriseKey })).status).toBe(403);
      expect((await call('GET', '/api/accounts')).status).toBe(200);
    });
  });

  describe('the audit trail', () => {
    it('has one event for a change, with its target and request', async () => {
      await call('POST', '/users', { body: { username: 'audited' }, headers: { 'x-request-id': 'change-1' } });
      expect(await events('requestId=change-1')).toEqual([
        expect.objectContaining({ action: 'user.create', outcome: 'ok', target: 'audited' }),
      ]);
    });

    it('has an event for a refused change although it was rolled back, and none for a read', async () => {
      await call('POST', '/users', { body: { username: 'alice' }, headers: { 'x-request-id': 'change-2' } });
      await call('POST', '/users', { body: '{', headers: { 'x-request-id': 'change-3' } });
      await call('GET', '/users/nobody', { headers: { 'x-request-id': 'read-1' } });
      expect(await events('requestId=change-2')).toEqual([
        expect.objectContaining({ action: 'user.create', outcome: 'refused', reason: 'CONFLICT' }),
      ]);
      expect(await events('requestId=change-3')).toEqual([
        expect.objectContaining({ outcome: 'refused', reason: 'INVALID_REQUEST' }),
      ]);
      expect(await events('requestId=read-1')).toEqual([]);
    });

    it('never holds a secret, a key or a token', async () => {
      const canary = 'canary-5f2d9c71aa03';
      await call('POST', '/secrets/set', {
        body: { username: 'alice', serverName: 'slack', secretName: 'T', secretValue: canary },
      });
      const { api_key: key } = (await call('POST', '/users/bob/keys', { body: { key_name: 'gone' } })).json;
      await call('POST', '/keys/revoke', { body: { api_key: key } });
      const text = JSON.stringify(await events('limit=1000'));
      expect(text).toContain('api_key.revoke');
      expect(text).not.toContain(canary);
      expect(text).not.toContain(key.slice(9, 40));
    });
  });

  describe('Idempotency-Key', () => {
    const post = (idempotencyKey: string, body: unknown, sent: Sent = {}) =>
      call('POST', '/api/servers', { ...sent, body, headers: { 'idempotency-key': idempotencyKey } });

    it('answers a repetition with the first reply, without what is shown once, and acts once', async () => {
      const first = await post('once', { name: 'Once' });
      const again = await post('once', { name: 'Once' });
      expect([first.status, again.status]).toEqual([201, 201]);
      expect([first.headers.get('idempotent-replayed'), again.headers.get('idempotent-replayed')]).toEqual([
        null,
        'true',
      ]);
      const { accessToken, ...shown } = first.json;
      expect(accessToken).toMatch(/^mcpv_url_/);
      expect(again.json).toEqual({ ...shown, accessUrl: null });
      const made = await events('action=server.create&outcome=ok&limit=1000');
      expect(made.filter((event) => event.target === first.json.serverId)).toHaveLength(1);
    });

    it('carries out one of several requests that arrive at a time', async () => {
      const answers = await Promise.all([1, 2, 3, 4].map(() => post('at-a-time', { name: 'Parallel' })));
      expect(answers.map((answer) => answer.status)).toEqual([201, 201, 201, 201]);
      expect(answers.filter((answer) => answer.headers.get('idempotent-replayed') === 'true')).toHaveLength(3);
      expect(new Set(answers.map((answer) => answer.json.serverId)).size).toBe(1);
    });

    it('refuses the same key for another request, another owner and another kind of key', async () => {
      await post('mismatch', { name: 'Mismatch' });
      expect((await post('mismatch', { name: 'Mismatch 2' })).json.error.code).toBe('IDEMPOTENCY_MISMATCH');
      const named = await call('POST', '/api/servers', {
        body: { name: 'Mismatch' },
        headers: { 'idempotency-key': 'mismatch', 'x-alloy-userid': 'alice' },
      });
      expect(named.status).toBe(422);
      expect((await post('mismatch', { name: 'Mismatch' }, { key: enterpriseKey })).status).toBe(422);
    });

    it('is free again after a refusal', async () => {
      await call('POST', '/users', { body: { username: 'taken' } });
      const key = { 'idempotency-key': 'after-refusal' };
      expect((await call('POST', '/users', { headers: key, body: { username: 'taken' } })).status).toBe(409);
      expect((await call('POST', '/users', { headers: key, body: { username: 'free' } })).status).toBe(201);
    });

    it('belongs to the user of a standard key: two users with one key do not meet', async () => {
      const bobKey = (await call('POST', '/users/bob/keys', { body: { key_name: 'b' } })).json.api_key;
      const body = { serverName: 'slack', secretName: 'MINE', secretValue: 'v' };
      const set = (key: string) =>
        call('POST', '/secrets/set', { key, body, headers: { 'idempotency-key': 'shared' } });
      const [alice, bob, again] = [await set(aliceKey), await set(bobKey), await set(aliceKey)];
      expect([alice.status, bob.status, again.status]).toEqual([200, 200, 200]);
      expect([bob.headers.get('idempotent-replayed'), again.headers.get('idempotent-replayed')]).toEqual([
        null,
        'true',
      ]);
      expect(bob.json.secret.fingerprint).not.toBe(alice.json.secret.fingerprint);
    });

    it.each(['with space', 'x'.repeat(256), ''])('refuses the key %j', async (key) => {
      expect((await post(key, { name: 'Never' })).status).toBe(400);
    });
  });

  describe('a change', () => {
    it('takes effect at once for the key that it ends', async () => {
      const { api_key: key, key_id: id } = (await call('POST', '/users/alice/keys', { body: { key_name: 'short' } }))
        .json;
      expect((await call('GET', '/api/me', { key })).status).toBe(200);
      expect((await call('DELETE', `/api/keys/${id}`)).status).toBe(200);
      expect((await call('GET', '/api/me', { key })).status).toBe(401);
    });

    it('of a user takes everything of the user with it', async () => {
      await call('POST', '/users', { body: { username: 'leaver' } });
      const key = (await call('POST', '/users/leaver/keys', { body: { key_name: 'l' } })).json.api_key;
      await call('POST', '/secrets/set', { key, body: { serverName: 'slack', secretName: 'T', secretValue: 'v' } });
      expect((await call('DELETE', '/users/leaver', { headers: { 'x-request-id': 'leave' } })).json).toEqual({
        status: 'deleted',
        username: 'leaver',
      });
      expect((await call('GET', '/api/me', { key })).status).toBe(401);
      const [event] = (await call('GET', '/api/audit?requestId=leave')).json.events;
      expect(event.details).toEqual({ keys: 1, credentials: 1, secrets: 1, data_keys: 1 });
      await call('POST', '/users', { body: { username: 'leaver' } });
      expect((await call('GET', '/secrets?username=leaver&serverName=slack')).json.secrets).toEqual([]);
    });
  });

  it('answers 503 with Retry-After, and not ready, when the database is gone', async () => {
    await gateway.gateway.parts.db.close();
    const answer = await call('GET', '/users');
    expect([
      answer.status,
      answer.json.error,
      answer.headers.get('retry-after'),
      answer.headers.get('x-should-retry'),
    ]).toEqual([503, 'unavailable', '1', 'true']);
    expect((await call('GET', '/readyz', { key: null })).status).toBe(503);
    expect((await call('GET', '/healthz', { key: null })).status).toBe(200);
  });
});

// Seed alloy-authentication: both ways to authenticate, both management headers, the optional headers, the order of the request flow and the
// 100 requests a minute. Checklist point 4.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, type Json, toolJson } from '../support/gateway.ts';
import { type AlloyScene, type PublishedServer, startAlloyScene } from './alloy-scene.ts';
import { example } from './example.ts';

const list = { method: 'tools/call', params: { name: 'list_connectors_alloy', arguments: {} } };
const execute = (arguments_: Json) => ({
  method: 'tools/call',
  params: { name: 'execute_action_alloy', arguments: arguments_ },
});
const post = execute({ connectorId: 'slack', actionId: 'chat_postMessage', parameters: { text: 'hi' } });

let scene: AlloyScene;
let server: PublishedServer;
beforeAll(async () => {
  scene = await startAlloyScene();
  server = await scene.publish('main');
});
afterAll(() => scene?.close());
beforeEach(() => scene.upstream.reset());

/** The two header lines of the text as headers of a request. */
async function bothHeaders(userId: string, key = scene.enterprise): Promise<Record<string, string>> {
  const text = await example('alloy-authentication/management-headers.txt', { '<API_KEY>': key, '<USER_ID>': userId });
  const lines = text.trim().split('\n');
  return Object.fromEntries(lines.map((line) => line.split(': ', 2) as [string, string]));
}
const events = async (requestId: string): Promise<Json[]> =>
  (await scene.rig.manage('GET', `/api/audit?requestId=${requestId}`)).events;
const lastCall = async (): Promise<Json> => (await scene.rig.manage('GET', '/api/calls?limit=1')).calls[0];

describe('the two ways of calling', () => {
  it('need no further header with the tokenized URL', async () => {
    const answer = await scene.rig.send(server.path, { body: { jsonrpc: '2.0', id: 1, ...list } });
    expect(answer.status).toBe(200);
    expect(await lastCall()).toMatchObject({ username: 'default', serverId: server.serverId, outcome: 'ok' });
  });

  it('take key and user at the plain path', async () => {
    const answer = await scene.rig.rpc(`/mcp/${server.serverId}`, post, {
      headers: await bothHeaders('user_alice_123'),
    });
    expect(answer.status).toBe(200);
    expect(scene.upstream.calls[0]?.authorization).toBe(`Bearer ${scene.secrets.get('user_alice_123 slack')}`);
    expect(await lastCall()).toMatchObject({ username: 'user_alice_123', outcome: 'ok' });
  });

  it('refuse the plain path without a key', async () => {
    const answer = await scene.rig.rpc(`/mcp/${server.serverId}`, list, {
      headers: { 'x-alloy-userid': 'user_alice_123' },
    });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
  });

  it('let tokens be rotated: the old one ends, the new one works', async () => {
    const other = await scene.publish('rotated');
    const rotated = await scene.rig.manage('POST', `/api/servers/${other.serverId}/token`, {});
    expect((await scene.rig.rpc(other.path, list)).status).toBe(401);
    expect((await scene.rig.rpc(new URL(rotated.accessUrl).pathname, list)).status).toBe(200);
  });
});

describe('the management headers', () => {
  it('make the named user the owner of a server', async () => {
    const headers = await bothHeaders('user_bob_456');
    const made = await scene.rig.send('/api/servers', { headers, body: { name: 'of-bob' } });
    expect(made.status).toBe(201);
    const owned = await scene.rig.send('/api/servers', { headers });
    expect(owned.body.servers.map(({ name }: Json) => name)).toEqual(['of-bob']);
  });

  it('refuse a user who does not exist', async () => {
    const answer = await scene.rig.send('/api/servers', {
      headers: await bothHeaders('nobody-here'),
      body: { name: 'of-nobody' },
    });
    expect(answer).toMatchObject({ status: 404, body: { error: { code: 'USER_NOT_FOUND' } } });
  });
});

describe('the optional headers', () => {
  const asAlice = (headers: Record<string, string>) =>
    scene.rig.rpc(server.path, post, { headers: { 'x-alloy-userid': 'user_alice_123', ...headers } });

  it('force a credential of the user', async () => {
    await scene.rig.manage('POST', '/api/credentials', {
      userId: 'user_alice_123',
      connectorId: 'slack',
      authenticationType: 'api_key',
      credentialId: 'alice_second',
      fields: { ACCESS_TOKEN: 'canary-alice-second-account' },
    });
    await asAlice({ 'x-credential-id': 'alice_second' });
    await asAlice({});
    expect(scene.upstream.calls.map(({ authorization }) => authorization)).toEqual([
      'Bearer canary-alice-second-account',
      `Bearer ${scene.secrets.get('user_alice_123 slack')}`,
    ]);
  });

  it('never force a credential of another user', async () => {
    const answer = await asAlice({ 'x-credential-id': 'bob_slack_credential_id' });
    expect(toolJson(answer).error).toBe('No credentials found for user_alice_123 on connector slack');
    expect(scene.upstream.calls).toEqual([]);
  });

  it('never ignore a user token that cannot be verified', async () => {
    expect(
      (await asAlice({ 'x-alloy-user-token': 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyX2FsaWNlXzEyMyJ9.' })).status,
    ).toBe(401);
    expect(scene.upstream.calls).toEqual([]);
  });

  it('accept where the user comes back to', async () => {
    expect((await asAlice({ 'x-redirect-uri': 'https://app.example.com/done' })).status).toBe(200);
  });
});

describe('the request flow', () => {
  /** A server on which the first call of a user uses up the limit, and which allows none of slack. */
  async function tight(name: string): Promise<PublishedServer> {
    const restrictions = { permissions: [{ connector: 'notion', mode: 'allow', actions: ['*'] }] };
    return scene.publish(name, { restrictions, rateLimit: { max: 1, windowSeconds: 60 } });
  }
  const as = (user: string, requestId: string) => ({ headers: { 'x-alloy-userid': user, 'x-request-id': requestId } });

  it('validates who calls before it looks at the limit', async () => {
    const target = await tight('flow-1');
    await scene.rig.rpc(target.path, list, as('user_abc123', 'flow-1-a'));
    const bad = await scene.rig.rpc(`/mcp/${target.serverId}/mcpv_url_wrong`, post, as('user_abc123', 'flow-1-b'));
    expect(bad.status).toBe(401);
    const refused = await scene.rig.sql<{ reason: string }>(
      '_system',
      `select reason from audit_events where account_id = '_system' and request_id = $1`,
      ['flow-1-b'],
    );
    expect(refused).toEqual([{ reason: 'malformed_token' }]);
  });

  it('checks the limit before restrictions', async () => {
    const target = await tight('flow-2');
    await scene.rig.rpc(target.path, list, as('user_abc123', 'flow-2-a'));
    const limited = await scene.rig.rpc(target.path, post, as('user_abc123', 'flow-2-b'));
    expect(limited.status).toBe(429);
    await expect
      .poll(() => events('flow-2-b'))
      .toMatchObject([{ action: 'call.refuse', outcome: 'refused', reason: 'rate_limit:user' }]);
  });

  it('applies restrictions before it looks for credentials', async () => {
    const target = await tight('flow-3');
    const answer = await scene.rig.rpc(target.path, post, as('user_abc123', 'flow-3'));
    expect(toolJson(answer)).toEqual({ error: 'Connector slack is not allowed', code: 'FORBIDDEN' });
    await expect
      .poll(() => events('flow-3'))
      .toMatchObject([
        { action: 'call.refuse', outcome: 'refused', reason: 'connector_restricted', target: 'slack.chat_postMessage' },
      ]);
    expect(await lastCall()).toMatchObject({ outcome: 'refused', reason: 'connector_restricted', credentialId: null });
  });

  it('looks for credentials before it calls the platform', async () => {
    const answer = await scene.rig.rpc(server.path, post, as('user_abc123', 'flow-4'));
    expect(toolJson(answer).code).toBe('CREDENTIALS_REQUIRED');
    expect(await lastCall()).toMatchObject({ requestId: 'flow-4', outcome: 'refused', reason: 'credential_missing' });
    expect(scene.upstream.text()).toBe('');
  });

  it('calls the platform last, and says in the journal how that went', async () => {
    const answer = await scene.rig.rpc(server.path, post, as('user_alice_123', 'flow-5'));
    expect(answer.body.result.isError).toBeUndefined();
    expect(scene.upstream.calls).toHaveLength(1);
    expect(await lastCall()).toMatchObject({
      requestId: 'flow-5',
      outcome: 'ok',
      credentialId: 'alice_slack_credential_id',
      upstreamStatus: 200,
    });
  });
});

describe('the limit of 100 requests a minute', () => {
  it('holds per effective user by default, and says when to come back', async () => {
    const call = (user: string): Promise<Answer> =>
      scene.rig.rpc(server.path, list, { headers: { 'x-alloy-userid': user } });
    const statuses: number[] = [];
    for (let i = 0; i < 10; i++) {
      const answers = await Promise.all(Array.from({ length: 10 }, () => call('team_sales_john')));
      statuses.push(...answers.map(({ status }) => status));
    }
    expect(statuses.filter((status) => status === 200)).toHaveLength(100);
    const refused = await call('team_sales_john');
    expect(refused).toMatchObject({
      status: 429,
      body: { error: { code: 429, message: 'Rate limit exceeded', data: { code: 'RATE_LIMITED' } } },
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect((await call('team_marketing_jane')).status).toBe(200);
  });
});

// Seed gateway-user-management: the guide's curl examples in its order, and what it promises about access, expiry and revocation.
// Checklist point 5; persistence over a restart is in gateway-restart.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expireKey, type Json } from '../support/gateway.ts';
import { example, exampleJson, runCurl } from './example.ts';
import { type GatewayScene, mcps, startGatewayScene } from './gateway-scene.ts';

const seed = (file: string) => `gateway-user-management/${file}`;
const listTools = { method: 'tools/list' };

let scene: GatewayScene;
beforeAll(async () => {
  scene = await startGatewayScene();
});
afterAll(() => scene?.close());

const runSeed = async (file: string, more: Record<string, string> = {}) =>
  runCurl(await example(seed(file), { ...scene.host, ...more }), scene.rig.admin);
/** The connectors whose tools a key sees on the aggregate endpoint. */
const reach = async (key: string): Promise<string[]> => {
  const { tools } = (await scene.rig.rpc('/mcp', listTools, { key })).body.result;
  return tools.map(({ name }: Json) => name.split('__')[0]).sort();
};
const callTool = (key: string, mcp: string) =>
  scene.rig.rpc('/mcp', { method: 'tools/call', params: { name: `${mcp}__${mcp}_list`, arguments: {} } }, { key });

describe('the guide, step by step', () => {
  let key = '';

  it('creates a user', async () => {
    const [created] = await runSeed('create-user.sh');
    expect(created).toMatchObject({
      status: 201,
      body: {
        status: 'created',
        username: 'alice',
        email: 'alice@example.com',
        description: 'Engineering team',
        enabled: true,
        mcp_allowed: [],
        mcp_blocked: [],
        metadata: {},
      },
    });
    const [again] = await runSeed('create-user.sh');
    expect(again).toMatchObject({ status: 409, body: { error: 'conflict' } });
  });

  it('generates an API key with a time to live, shown once', async () => {
    const printed = await exampleJson(seed('generate-key-response.json'));
    const [made] = await runSeed('generate-key.sh');
    expect(made?.status).toBe(201);
    expect(Object.keys(made?.body)).toEqual(expect.arrayContaining(Object.keys(printed)));
    expect(made?.body).toMatchObject({
      status: printed.status,
      username: printed.username,
      key_name: 'production-key',
    });
    expect(made?.body.note).toMatch(/not be shown again/);
    const days = (Date.parse(made?.body.expires_at) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(89.9);
    expect(days).toBeLessThan(90.1);
    key = made?.body.api_key;
    expect((await scene.rig.send('/users/alice', { key: scene.rig.admin })).text).not.toContain(key);
  });

  it('uses the key: initialize with revision 2024-11-05, before and after the access rules', async () => {
    const [answer] = await runCurl(await example(seed('use-the-key.sh'), { ...scene.host, 'mcpgw_...': key }));
    expect(answer).toMatchObject({
      status: 200,
      body: { jsonrpc: '2.0', id: 1, result: { protocolVersion: '2024-11-05', serverInfo: { name: 'MCP Valet' } } },
    });
    expect(await reach(key)).toEqual([...mcps].sort());
  });

  it('configures access: only the allowed MCPs are listed and can be called', async () => {
    const [updated] = await runSeed('mcp-access.sh');
    expect(updated).toEqual({
      status: 200,
      body: { status: 'updated', username: 'alice', mcp_allowed: ['erpnext', 'wave'], mcp_blocked: [] },
    });
    expect(await reach(key)).toEqual(['erpnext', 'wave']);
    expect((await callTool(key, 'erpnext')).body.result.content[0].text).toContain('"ok":true');
    expect((await callTool(key, 'truenas')).body.error).toMatchObject({ code: -32602 });
  });

  it('blocks a specific MCP and gives back the rest', async () => {
    const [updated] = await runSeed('block-specific-mcps.sh');
    expect(updated?.body).toMatchObject({ mcp_allowed: [], mcp_blocked: ['homeassistant'] });
    expect(await reach(key)).toEqual(['erpnext', 'truenas', 'wave']);
  });

  it('keeps of users and keys what the guide’s schema keeps, and no key', async () => {
    const printed = await exampleJson(seed('users-db.json'));
    const shown = await scene.rig.manage('GET', '/users/alice');
    expect(Object.keys(shown)).toEqual(expect.arrayContaining(Object.keys(printed.users.alice)));
    const ofAKey = Object.keys(printed.api_keys.hash1).filter((name) => name !== 'user_id' && name !== 'username');
    expect(Object.keys(shown.api_keys[0])).toEqual(expect.arrayContaining(ofAKey));
    const { account } = await scene.rig.manage('GET', '/api/me');
    const asText = 'select row_to_json(k)::text as row from api_keys k where user_id = $1';
    const rows = await scene.rig.sql<{ row: string }>(account.accountId, asText, [shown.user_id]);
    expect(rows.length).toBe(1);
    expect(rows[0]?.row).not.toContain(key);
  });

  it('revokes the key, at once and repeatably', async () => {
    const [revoked] = await runSeed('revoke-key.sh', { 'mcpgw_...': key });
    expect(revoked).toMatchObject({ status: 200, body: { status: 'revoked' } });
    expect((await scene.rig.rpc('/mcp', listTools, { key })).status).toBe(401);
    const [again] = await runSeed('revoke-key.sh', { 'mcpgw_...': key });
    expect(again).toEqual(revoked);
    const [unknown] = await runSeed('revoke-key.sh');
    expect(unknown).toMatchObject({ status: 404, body: { error: 'not_found' } });
  });

  it('creates a user with access to one MCP only', async () => {
    const [user, made, access] = await runSeed('limited-access-user.sh');
    expect([user?.status, made?.status, access?.status]).toEqual([201, 201, 200]);
    expect(made?.body.expires_at).toBeNull();
    expect(await reach(made?.body.api_key)).toEqual(['erpnext']);
  });
});

describe('what the guide says about keys and users', () => {
  async function newUser(username: string): Promise<{ key: string; keyId: string }> {
    await scene.rig.manage('POST', '/users', { username });
    const made = await scene.rig.manage('POST', `/users/${username}/keys`, { key_name: 'k', ttl_days: 1 });
    return { key: made.api_key, keyId: made.key_id };
  }
  const account = async () => (await scene.rig.manage('GET', '/api/me')).account.accountId;

  it('ends a key when its time is over', async () => {
    const { key, keyId } = await newUser('ttl-user');
    await expireKey(scene.rig, await account(), keyId);
    expect((await scene.rig.rpc('/mcp', listTools, { key })).status).toBe(401);
    expect((await scene.rig.send('/api/me', { key })).status).toBe(401);
  });

  it('refuses a disabled user and takes him back', async () => {
    const { key } = await newUser('toggled');
    const toggle = () => scene.rig.manage('PATCH', '/users/toggled/enable');
    expect(await toggle()).toEqual({ status: 'disabled', username: 'toggled', enabled: false });
    expect((await scene.rig.rpc('/mcp', listTools, { key })).status).toBe(403);
    expect(await toggle()).toEqual({ status: 'enabled', username: 'toggled', enabled: true });
    expect((await scene.rig.rpc('/mcp', listTools, { key })).status).toBe(200);
  });

  it('refuses the aggregate endpoint with the printed body when everything is blocked', async () => {
    const { key } = await newUser('all-blocked');
    await scene.rig.manage('PUT', '/users/all-blocked/mcp-access', { blocked_mcps: [...mcps] });
    const answer = await scene.rig.rpc('/mcp', listTools, { key });
    expect(answer).toMatchObject({
      status: 403,
      body: { error: 'access_denied', message: 'All MCPs are blocked for your user' },
    });
  });

  it('lets a block win over an allow', async () => {
    const { key } = await newUser('both-lists');
    await scene.rig.manage('PUT', '/users/both-lists/mcp-access', {
      allowed_mcps: ['erpnext', 'wave'],
      blocked_mcps: ['wave'],
    });
    expect(await reach(key)).toEqual(['erpnext']);
  });

  it('enforces access on the direct tool call too', async () => {
    const { key } = await newUser('direct-user');
    await scene.rig.manage('PUT', '/users/direct-user/mcp-access', { allowed_mcps: ['erpnext'] });
    const call = (serverName: string) =>
      scene.rig.send('/mcp/tool/call', { key, body: { serverName, methodName: `${serverName}_list`, args: {} } });
    expect((await call('erpnext')).status).toBe(200);
    expect(await call('wave')).toMatchObject({
      status: 403,
      body: { success: false, code: 'not_allowed', error: 'Connector wave is not allowed' },
    });
  });

  it('deletes a user with the keys', async () => {
    const { key } = await newUser('leaver');
    expect(await scene.rig.manage('DELETE', '/users/leaver')).toEqual({ status: 'deleted', username: 'leaver' });
    expect((await scene.rig.rpc('/mcp', listTools, { key })).status).toBe(401);
  });

  it('answers health without a key and status only with one', async () => {
    expect(await scene.rig.send('/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect((await scene.rig.send('/status')).status).toBe(401);
    expect(await scene.rig.manage('GET', '/status')).toMatchObject({ database: { ok: true } });
  });
});

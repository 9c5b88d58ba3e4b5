// Seed mcify-multi-user: the rules of the guide as behaviour, and how its clients pass a user's token. Its builder API is not ours.
// Checklist point 7, without what needs an identity provider.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addFixtures, type Fixtures, type Json, type Rig, startRig, toolJson } from '../support/gateway.ts';
import { wireText } from '../support/recorded-request.ts';
import { example, exampleJson, runNode } from './example.ts';

let rig: Rig;
let fixtures: Fixtures;
beforeAll(async () => {
  rig = await startRig({ env: { VALET_RATE_LIMIT: '10000' } });
  fixtures = await addFixtures(rig);
});
afterAll(async () => {
  await rig?.close();
  await fixtures?.close();
});
beforeEach(() => fixtures.upstream.reset());

const whoami = (parameters: Json = {}) => ({
  method: 'tools/call',
  params: { name: 'execute_action_alloy', arguments: { connectorId: 'demo', actionId: 'whoami', parameters } },
});

describe('how clients pass a user’s token', () => {
  it('as the guide’s client configuration: URL and headers', async () => {
    const { alice } = fixtures.home;
    const config = await exampleJson('mcify-multi-user/client-config.json', {
      'https://orders-mcp.example.com': rig.url,
      '<user_jwt_or_session_token>': alice.key,
    });
    const { url, headers } = config.mcpServers.orders;
    const client = new Client({ name: 'guide', version: '1.0.0' });
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    try {
      const answer: Json = await client.callTool({ name: 'demo__whoami', arguments: {} });
      expect(JSON.parse(answer.content[0].text).headers.authorization).toBe('Bearer [secret]');
      expect(wireText(fixtures.upstream.recorded)).toContain(alice.canary);
    } finally {
      await client.close();
    }
  });

  it('as the guide’s own agent: a token per conversation', async () => {
    const { alice, bob } = fixtures.home;
    const before = `
      import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
      const tokens = { alice: '${alice.key}', bob: '${bob.key}' };
      const sessionStore = { tokenForUser: async (id) => tokens[id] };
      const MCP_URL = '${rig.url}/mcp';
      for (const currentUser of [{ id: 'alice' }, { id: 'bob' }]) {`;
    const after = `
        const client = new Client({ name: 'agent', version: '1.0.0' });
        await client.connect(transport);
        await client.callTool({ name: 'demo__whoami', arguments: {} });
        await client.close();
      }`;
    const agent = await example('mcify-multi-user/custom-agent.mjs');
    await runNode(before + agent + after, { traced: false });
    const seen = fixtures.upstream.recorded
      .filter(({ body }) => body.includes('tools/call'))
      .map(({ headers }) => headers.authorization);
    expect(seen).toEqual([`Bearer ${alice.canary}`, `Bearer ${bob.canary}`]);
  });
});

describe('identity never comes from the tool’s input', () => {
  const names = ['userId', 'user_id', 'username', 'user', 'tenantId', 'accountId', 'sub', 'x-alloy-userid'];

  it('is no field of any tool', async () => {
    const { tools } = (
      await rig.rpc(
        `/mcp/${fixtures.home.server.serverId}`,
        { method: 'tools/list' },
        { key: fixtures.home.enterprise },
      )
    ).body.result;
    expect(tools).toHaveLength(8);
    for (const tool of tools) {
      const fields = JSON.stringify(tool.inputSchema.properties ?? {});
      for (const name of names) expect(fields.includes(`"${name}"`), `${tool.name} ${name}`).toBe(false);
    }
  });

  it('is not taken from the arguments of a meta tool', async () => {
    const { alice, bob, enterprise, server } = fixtures.home;
    const message = whoami();
    Object.assign(message.params.arguments, Object.fromEntries(names.map((name) => [name, bob.username])));
    const answer = await rig.rpc(`/mcp/${server.serverId}`, message, {
      key: enterprise,
      headers: { 'x-alloy-userid': alice.username },
    });
    expect(answer.body.result.isError).toBeUndefined();
    const arrived = wireText(fixtures.upstream.recorded);
    expect(arrived).toContain(alice.canary);
    expect(arrived).not.toContain(bob.canary);
  });

  it('is mere data in the parameters of an action', async () => {
    const { alice, bob } = fixtures.home;
    const parameters = Object.fromEntries(names.map((name) => [name, bob.userId]));
    const answer = await rig.rpc(`/mcp/${fixtures.home.server.serverId}`, whoami(parameters), { key: alice.key });
    expect(toolJson(answer).arguments).toEqual(parameters);
    const arrived = wireText(fixtures.upstream.recorded);
    expect(arrived).toContain(alice.canary);
    expect(arrived).not.toContain(bob.canary);
    expect((await rig.manage('GET', '/api/calls?limit=1')).calls[0]).toMatchObject({ username: 'alice' });
  });

  it('is not taken from _meta', async () => {
    const { alice, bob } = fixtures.home;
    const message = whoami();
    Object.assign(message.params, { _meta: Object.fromEntries(names.map((name) => [name, bob.username])) });
    await rig.rpc(`/mcp/${fixtures.home.server.serverId}`, message, { key: alice.key });
    const calls = fixtures.upstream.recorded.filter(({ body }) => body.includes('tools/call'));
    expect(calls.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${alice.canary}`]);
  });
});

describe('tenant and user', () => {
  it('scope together: the same username in another account is another person', async () => {
    const { home, other } = fixtures;
    for (const { server, enterprise } of [home, other]) {
      await rig.rpc(`/mcp/${server.serverId}`, whoami(), { key: enterprise, headers: { 'x-alloy-userid': 'alice' } });
    }
    const calls = fixtures.upstream.recorded.filter(({ body }) => body.includes('tools/call'));
    expect(calls.map(({ headers }) => headers.authorization)).toEqual([
      `Bearer ${home.alice.canary}`,
      `Bearer ${other.alice.canary}`,
    ]);
  });

  it('do not let a key reach a server of another tenant', async () => {
    const foreign = await rig.rpc(`/mcp/${fixtures.other.server.serverId}`, whoami(), {
      key: fixtures.home.enterprise,
    });
    expect(foreign.status).toBe(404);
    expect(fixtures.upstream.recorded).toEqual([]);
  });

  it('do not let a user’s id of another tenant be named', async () => {
    const { server, enterprise } = fixtures.home;
    const answer = await rig.rpc(`/mcp/${server.serverId}`, whoami(), {
      key: enterprise,
      headers: { 'x-alloy-userid': fixtures.other.alice.userId },
    });
    expect(answer).toMatchObject({ status: 403, body: { error: { data: { code: 'USER_NOT_FOUND' } } } });
  });
});

describe('credentials of users', () => {
  it('are stored by the gateway and never part of an answer', async () => {
    const { alice, server } = fixtures.home;
    const list = { method: 'tools/call', params: { name: 'get_credentials_alloy', arguments: {} } };
    const answer = await rig.rpc(`/mcp/${server.serverId}`, list, { key: alice.key });
    expect(toolJson(answer).credentials).toMatchObject([
      { credentialId: alice.credentialId, connectorId: 'demo', status: 'valid' },
    ]);
    expect(answer.text).not.toContain(alice.canary);
  });
});

// Seed alloy-user-management: every example of the text runs as printed and does what the text says. Checklist points 1, 2 and 3.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Json, toolJson } from '../support/gateway.ts';
import { type AlloyScene, type PublishedServer, sceneUsers, startAlloyScene } from './alloy-scene.ts';
import { type CurlAnswer, example, exampleJson, runCurl, runNode, runPython } from './example.ts';

const seed = (file: string) => `alloy-user-management/${file}`;
const connectorsOf = ({ body }: CurlAnswer): string[] =>
  JSON.parse(body.result.content[0].text).connectors.map((connector: Json) => connector.id);

let scene: AlloyScene;
let server: PublishedServer;
beforeAll(async () => {
  scene = await startAlloyScene();
  const text = await example(seed('create-enterprise-server.sh'), {
    'https://mcp.runalloy.com': scene.rig.url,
    YOUR_API_KEY: scene.enterprise,
  });
  const [created] = await runCurl(text);
  if (created?.status !== 201) throw new Error(`the server was not created: ${JSON.stringify(created)}`);
  server = { ...created.body, path: new URL(created.body.accessUrl).pathname };
});
afterAll(() => scene?.close());
beforeEach(() => scene.upstream.reset());

const bearer = (user: string, connector: string) => `Bearer ${scene.secrets.get(`${user} ${connector}`)}`;
const callsOf = async (user: string) => (await scene.rig.manage('GET', `/api/calls?userId=${user}&limit=5`)).calls;

describe('the curl examples', () => {
  it('create an enterprise server with permissions', async () => {
    const shown = await scene.rig.manage('GET', `/api/servers/${server.serverId}`);
    expect(shown).toMatchObject({
      name: 'enterprise-multi-user',
      description: 'Enterprise server for multiple users',
      hasRestrictions: true,
    });
    expect(server.serverId).toMatch(/^enterprise-multi-user-[0-9a-f]{8}$/);
    expect(server.accessUrl).toBe(`${scene.rig.url}/mcp/${server.serverId}/${server.accessToken}`);
    expect(shown.restrictions.permissions).toEqual([
      { connector: 'slack', mode: 'allow', actions: ['*'] },
      { connector: 'notion', mode: 'allow', actions: ['*'] },
    ]);
  });

  it('switch to another user with the header on the tokenized URL', async () => {
    const url = { 'https://mcp.runalloy.com/mcp/YOUR_SERVER_ID/YOUR_TOKEN': server.accessUrl };
    const [answer] = await runCurl(await example(seed('basic-user-override.sh'), url));
    expect(answer).toMatchObject({ status: 200, body: { jsonrpc: '2.0', id: '1' } });
    expect(connectorsOf(answer as CurlAnswer)).toEqual(['notion', 'slack']);
    expect((await callsOf('user_abc123'))[0]).toMatchObject({
      tool: 'list_connectors_alloy',
      outcome: 'ok',
      username: 'user_abc123',
    });
  });

  it.each([
    {
      file: 'execute-for-alice.sh',
      user: 'user_alice_123',
      credential: 'alice_slack_credential_id',
      channel: 'C123456',
      text: 'Message from Alice',
    },
    {
      file: 'execute-for-bob.sh',
      user: 'user_bob_456',
      credential: 'bob_slack_credential_id',
      channel: 'C789012',
      text: 'Message from Bob',
    },
  ])('execute as $user with that user’s own credential', async ({ file, user, credential, channel, text }) => {
    const [answer] = await runCurl(await example(seed(file), { YOUR_MCP_SERVER_URL: server.accessUrl }));
    expect(answer?.body).toEqual({
      jsonrpc: '2.0',
      id: '1',
      result: { content: [{ type: 'text', text: '{"tool":"chat_postMessage","ok":true}' }] },
    });
    expect(scene.upstream.calls).toEqual([
      {
        connector: 'slack',
        tool: 'chat_postMessage',
        arguments: { channel, text },
        authorization: bearer(user, 'slack'),
      },
    ]);
    expect((await callsOf(user))[0]).toMatchObject({
      credentialId: credential,
      outcome: 'ok',
      serverId: server.serverId,
    });
  });

  it('never use a credential of somebody else, whatever id is named', async () => {
    const stolen = { YOUR_MCP_SERVER_URL: server.accessUrl, alice_slack_credential_id: 'bob_slack_credential_id' };
    const [answer] = await runCurl(await example(seed('execute-for-alice.sh'), stolen));
    expect(answer?.body.result.isError).toBe(true);
    expect(JSON.parse(answer?.body.result.content[0].text).error).toBe(
      'No credentials found for user_alice_123 on connector slack',
    );
    expect(scene.upstream.calls).toEqual([]);
  });
});

describe('the client classes', () => {
  const address = () => ({
    'https://mcp.runalloy.com/mcp/enterprise-123': server.url,
    your_token_here: server.accessToken,
  });

  it('run in node as printed', async () => {
    const answers = await runNode(await example(seed('node-client.mjs'), address()));
    expect(answers.map(({ status, body }) => [status, body.id])).toEqual([
      [200, '1'],
      [200, '1'],
    ]);
    expect(answers.map(connectorsOf)).toEqual([
      ['notion', 'slack'],
      ['notion', 'slack'],
    ]);
    expect((await callsOf('user_alice_123'))[0]).toMatchObject({ tool: 'list_connectors_alloy', outcome: 'ok' });
    expect((await callsOf('user_bob_456'))[0]).toMatchObject({ tool: 'list_connectors_alloy', outcome: 'ok' });
  });

  it('run in python as printed', async () => {
    const answers = await runPython(await example(seed('python_client.py'), address()));
    expect(answers.map(({ status, body }) => [status, body.id])).toEqual([
      [200, '1'],
      [200, '1'],
    ]);
    expect(answers.map(connectorsOf)).toEqual([
      ['notion', 'slack'],
      ['notion', 'slack'],
    ]);
  });

  it('can be exchanged for the SDK without changing how they are used', async () => {
    const [, usage = ''] = (await example(seed('node-client.mjs'), address())).split('// Usage');
    const answers = await runNode(`import { MCPClient } from '@mcp-valet/client';\n${usage}`, { tsx: true });
    expect(answers.map(connectorsOf)).toEqual([
      ['notion', 'slack'],
      ['notion', 'slack'],
    ]);
  });
});

describe('the use cases', () => {
  let open: PublishedServer;
  let seedClass: string;
  beforeAll(async () => {
    open = await scene.publish('use-cases');
    [seedClass = ''] = (await example(seed('node-client.mjs'))).split('// Usage');
  });
  /** The client that the snippets take for granted. */
  const client = (lines = '') =>
    `${seedClass}\nconst mcpClient = new MCPClient('${open.url}', '${open.accessToken}');\n${lines}\n`;
  const arrived = () => scene.upstream.calls.map(({ tool, authorization }) => [tool, authorization]);

  it('serve customers through one server', async () => {
    const people = "const alice = { userId: 'user_alice_123' };\nconst bob = { userId: 'user_bob_456' };";
    await runNode(client(people) + (await example(seed('saas-platform.mjs'))));
    expect(arrived()).toEqual([
      ['chat_postMessage', bearer('user_alice_123', 'slack')],
      ['pages_create', bearer('user_bob_456', 'notion')],
    ]);
  });

  it('take a user id made of tenant and user', async () => {
    const values = "const tenantId = 't1', userId = 'u1', method = 'get_credentials_alloy', params = {};";
    const [answer] = await runNode(client(values) + (await example(seed('multi-tenant.mjs'))));
    expect(answer?.body.result.structuredContent).toEqual({ credentials: [], count: 0 });
    expect((await callsOf('tenant_t1_user_u1'))[0]).toMatchObject({ tool: 'get_credentials_alloy', outcome: 'ok' });
  });

  it('give team members their own integrations', async () => {
    await runNode(client() + (await example(seed('team-collaboration.mjs'))));
    expect(arrived()).toEqual([
      ['contacts_create', bearer('team_sales_john', 'hubspot')],
      ['campaigns_create', bearer('team_marketing_jane', 'mailchimp')],
    ]);
  });

  it('accept every recommended form of user id', async () => {
    const [, ...patterns] = (await example(seed('user-id-format.mjs'))).trim().split('\n');
    const values =
      "const companyId = 'acme', userId = 'u7', environment = 'prod', tenantId = 't9', department = 'sales', username = 'kim';";
    const made = await runNode(`${values}\nfor (const id of [${patterns.join(',')}]) console.log(JSON.stringify(id));`);
    expect(made).toEqual(['acme_u7', 'prod_t9_u7', 'team_sales_kim']);
    for (const username of made as unknown as string[]) {
      await scene.rig.manage('POST', '/users', { username });
      const answer = await scene.rig.rpc(open.path, list, { headers: { 'x-alloy-userid': username } });
      expect(answer.status).toBe(200);
    }
  });

  it('return what the error handling example hands on', async () => {
    const text = await example(seed('error-handling.mjs'));
    const wrapped = `const attempt = async (userId, method, params) => {\n${text}};\n`;
    const calls =
      "await attempt('user_alice_123', 'list_connectors_alloy', {});\nawait attempt('nobody-here', 'list_connectors_alloy', {});";
    const [good, bad] = await runNode(client() + wrapped + calls);
    expect(good?.body.result.isError).toBeUndefined();
    expect(bad).toMatchObject({
      status: 403,
      body: { id: '1', error: { code: 403, data: { code: 'USER_NOT_FOUND' } } },
    });
  });

  it('leave room for the application’s own limiter', async () => {
    const before = 'const MAX_REQUESTS_PER_MINUTE = 2;\n';
    const after = `
      for (let i = 0; i < 4; i++) await executeWithRateLimit('user_alice_123', 'list_connectors_alloy', {}).catch((error) => console.log(JSON.stringify(error.message)));`;
    const answers: unknown[] = await runNode(client(before) + (await example(seed('rate-limiting.mjs'))) + after);
    expect(answers.map((answer) => (answer as CurlAnswer).status ?? answer)).toEqual([
      200,
      200,
      200,
      'Rate limit exceeded for user',
    ]);
  });

  const list = { method: 'tools/call', params: { name: 'list_connectors_alloy', arguments: {} } };
});

describe('the troubleshooting bodies', () => {
  const execute = (arguments_: Json) => ({
    method: 'tools/call',
    params: { name: 'execute_action_alloy', arguments: arguments_ },
  });
  const as = (user: string) => ({ headers: { 'x-alloy-userid': user } });
  const postMessage = execute({ connectorId: 'slack', actionId: 'chat_postMessage', parameters: { text: 'hi' } });

  it('say who had no credentials', async () => {
    await scene.rig.manage('DELETE', '/api/credentials/alice_slack_credential_id');
    const answer = await scene.rig.rpc(server.path, postMessage, as('user_alice_123'));
    expect(answer.status).toBe(200);
    expect(answer.body.result.isError).toBe(true);
    const { connectUrl, ...body } = toolJson(answer);
    expect(body).toEqual({ ...(await exampleJson(seed('missing-credentials.json'))), code: 'CREDENTIALS_REQUIRED' });
    expect(connectUrl).toMatch(/\/connect\/[\w-]{43}$/);
    expect(scene.upstream.calls).toEqual([]);
  });

  it('say which action a restriction closes, for every user equally', async () => {
    const permissions = [{ connector: 'slack', mode: 'allow', actions: ['conversations_*'] }];
    const restricted = await scene.publish('restricted', { restrictions: { permissions } });
    for (const user of sceneUsers) {
      const answer = await scene.rig.rpc(restricted.path, postMessage, as(user));
      expect(toolJson(answer)).toEqual({ ...(await exampleJson(seed('permission-denied.json'))), code: 'FORBIDDEN' });
    }
    expect(scene.upstream.calls).toEqual([]);
  });
});

// REST connectors through a whole gateway: the seed's two calls with each user's own token, what the management routes say about documents,
// and what the meta tools and a direct server show of one.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { example, runCurl } from '../seeds/example.ts';
import { canary, type Json, type Rig, startRig, toolJson } from '../support/gateway.ts';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import { type SlackStandIn, startSlackStandIn } from '../support/slack-stand-in.ts';

const file = fileURLToPath(new URL('../fixtures/openapi/slack-web-api.swagger2.json', import.meta.url));
const document = readFileSync(file, 'utf8');
const users = { alice: 'user_alice_123', bob: 'user_bob_456' } as const;
const tokens = { alice: canary('slack-alice'), bob: canary('slack-bob') };

let rig: Rig;
let slack: SlackStandIn;
let accessUrl = '';
let directPath = '';
beforeAll(async () => {
  slack = await startSlackStandIn(new Map(Object.entries(tokens).map(([user, token]) => [token, user])));
  rig = await startRig({ env: { VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8' } });
  for (const username of Object.values(users)) await rig.manage('POST', '/users', { username });
  await rig.manage('POST', '/api/connectors', {
    connectorId: 'slack',
    kind: 'http',
    openapi: document,
    baseUrl: slack.url,
  });
  for (const name of ['alice', 'bob'] as const) {
    await rig.manage('POST', '/api/credentials', {
      userId: users[name],
      connectorId: 'slack',
      authenticationType: 'api_key',
      credentialId: `${name}_slack_credential_id`,
      fields: { SLACK_TOKEN: tokens[name] },
    });
  }
  const key = await rig.manage('POST', '/users/default/keys', { key_name: 'enterprise', kind: 'enterprise' });
  ({ accessUrl } = await rig.manage('POST', '/api/servers', { name: 'seed' }, key.api_key));
  const direct = await rig.manage(
    'POST',
    '/api/servers',
    { name: 'direct', mode: 'direct', connectors: ['slack'], prefix: 'none' },
    key.api_key,
  );
  directPath = new URL(direct.accessUrl).pathname;
});
afterAll(async () => {
  await rig?.close();
  await slack?.close();
});
beforeEach(() => slack.reset());

const tool = async (name: string, args: object, user: string = users.alice): Promise<Json> => {
  const path = new URL(accessUrl).pathname;
  const message = { method: 'tools/call', params: { name, arguments: args } };
  return rig.rpc(path, message, { headers: { 'x-alloy-userid': user } });
};

describe('the seed’s chat_postMessage', () => {
  it.each([
    ['alice', 'channel=C123456&text=Message+from+Alice'],
    ['bob', 'channel=C789012&text=Message+from+Bob'],
  ] as const)('for %s reaches Slack as printed, with the user’s own token', async (name, body) => {
    const text = await example(`alloy-user-management/execute-for-${name}.sh`, { YOUR_MCP_SERVER_URL: accessUrl });
    const [answer] = await runCurl(text);
    expect(answer).toMatchObject({ status: 200, body: { jsonrpc: '2.0', id: '1' } });
    expect(toolJson({ body: answer?.body } as never)).toMatchObject({ ok: true, message: { user: name } });
    expect(slack.recorded).toHaveLength(1);
    const [request] = slack.recorded;
    expect(`${request?.method} ${request?.url}`).toBe('POST /api/chat.postMessage');
    expect(request?.headers).toMatchObject({
      authorization: `Bearer ${tokens[name]}`,
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect(request?.body.toString('utf8')).toBe(body);
  });

  it('never arrives with the credential of another user', async () => {
    const call = { connectorId: 'slack', actionId: 'chat_postMessage', parameters: { channel: 'C', text: 't' } };
    const answer = await tool('execute_action_alloy', { ...call, credentialId: 'bob_slack_credential_id' });
    expect(answer.body.result.isError).toBe(true);
    expect(slack.recorded).toEqual([]);
  });
});

describe('the meta tools', () => {
  it('show the operations of the document, grouped, and describe each', async () => {
    const shown = toolJson(await tool('get_connector_resources_alloy', { connectorId: 'slack' }));
    expect(shown.count).toBe(174);
    expect(shown.resources.map(({ name }: Json) => name)).toContain('chat');
    for (const { id } of shown.actions.slice(0, 20)) {
      const details = toolJson(await tool('get_action_details_alloy', { connectorId: 'slack', actionId: id }));
      expect(details).toMatchObject({ actionId: id, parameters: { type: 'object' } });
    }
  });

  it('find the way to an operation by what it is for', async () => {
    const { steps } = toolJson(await tool('discover_action_path_alloy', { goal: 'send a message to a channel' }));
    expect(steps.map(({ actionId }: Json) => actionId)).toContain('chat_postMessage');
  });

  it('tell everything that is wrong with the parameters, and send nothing', async () => {
    const call = {
      connectorId: 'slack',
      actionId: 'chat_postMessage',
      parameters: { requestBody: { text: 5, link_names: 'maybe' } },
    };
    const answer = await tool('execute_action_alloy', call);
    expect(answer.body.result.isError).toBe(true);
    expect(toolJson(answer)).toEqual({
      error: 'Invalid parameters: requestBody.channel is required; requestBody.link_names must be a boolean',
      code: 'UNPROCESSABLE',
    });
    expect(slack.recorded).toEqual([]);
  });
});

it('a direct server lists the operations as tools and calls them', async () => {
  const headers = { 'x-alloy-userid': users.bob };
  const { body } = await rig.rpc(directPath, { method: 'tools/list' }, { headers });
  expect(body.result.tools.map(({ name }: Json) => name)).toContain('chat_postMessage');
  const params = { name: 'chat_postMessage', arguments: { channel: 'C9', text: 'direct' } };
  await rig.rpc(directPath, { method: 'tools/call', params }, { headers });
  expect(slack.messages).toEqual([{ user: 'bob', channel: 'C9', text: 'direct' }]);
});

describe('a document', () => {
  const create = async (openapi: unknown, more: object = {}) =>
    rig.send('/api/connectors', {
      key: rig.admin,
      body: { connectorId: `c${Math.random()}`.replace('0.', ''), kind: 'http', openapi, ...more },
    });
  const paths = { '/ping': { get: { operationId: 'ping' } }, '/bad': { get: null } };

  it('that cannot be used is refused with the places that are wrong', async () => {
    const { status, body } = await create({ openapi: '3.0.0', paths: { '/bad': { get: null } } });
    expect(status).toBe(400);
    expect(JSON.stringify(body)).toContain('/paths/~1bad/get');
  });

  it('with a bad operation keeps the others and says which one was lost', async () => {
    const { status, body } = await create({ openapi: '3.0.0', paths }, { baseUrl: slack.url });
    expect(status).toBe(201);
    expect(body.openapi).toMatchObject({ operations: 1, warnings: [{ path: '/paths/~1bad/get' }] });
  });

  it('is read from an address through the guard, once, and from no address that the guard refuses', async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(request.url === '/moved' ? 302 : 200, { location: '/openapi.json' });
      response.end(JSON.stringify({ openapi: '3.0.0', paths }));
    });
    const url = `http://127.0.0.1:${await listenOnLoopback(server)}`;
    try {
      expect((await create(`${url}/openapi.json`, { baseUrl: slack.url })).status).toBe(201);
      expect((await create(`${url}/moved`, { baseUrl: slack.url })).status).toBe(400);
      expect(asked).toEqual(['/openapi.json', '/moved']);
      expect((await create('http://169.254.169.254/openapi.json')).status).toBe(400);
    } finally {
      await closeServer(server);
    }
  });
});

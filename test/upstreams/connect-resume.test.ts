// Connect and resume: a call that lacks a credential answers with one typed result that carries the link, in each era and plane, and the same
// call succeeds after connecting.
import { CredentialRequiredError } from '@mcp-valet/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Answer,
  addFixtures,
  type Fixtures,
  type Json,
  type Rig,
  startRig,
  toolJson,
} from '../support/gateway.ts';

const modern = '2026-07-28';
const refusal = (username: string) => `No credentials found for ${username} on connector demo`;

describe('a call without the credential that it needs', () => {
  let rig: Rig;
  let fixtures: Fixtures;
  let direct: { serverId: string };
  let count = 0;
  beforeAll(async () => {
    rig = await startRig();
    fixtures = await addFixtures(rig);
    direct = await rig.manage('POST', '/api/servers', { name: 'direct', mode: 'direct', connectors: ['demo'] });
  });
  afterAll(async () => {
    await rig.close();
    await fixtures.close();
  });

  /** A user who has connected nothing yet. */
  const newcomer = async () => {
    const username = `newcomer-${++count}`;
    await rig.manage('POST', '/users', { username });
    const { api_key: key } = await rig.manage('POST', `/users/${username}/keys`, { key_name: 'own' });
    const connect = () =>
      rig.manage('POST', '/secrets/set', {
        username,
        serverName: 'demo',
        secretName: 'TOKEN',
        secretValue: `token-of-${username}`,
      });
    return { username, key: key as string, connect };
  };
  const execute = { name: 'execute_action_alloy', arguments: { connectorId: 'demo', actionId: 'whoami' } };
  const asLink = (url: unknown) => expect(url).toMatch(new RegExp(`^${rig.url}/connect/[A-Za-z0-9_-]{43}$`));

  const legacy = (key: string, params: unknown, serverId = fixtures.home.server.serverId) =>
    rig.rpc(`/mcp/${serverId}`, { method: 'tools/call', params: params as Record<string, unknown> }, { key });
  const modernCall = (
    key: string,
    params: Record<string, unknown>,
    capabilities: unknown,
    serverId = direct.serverId,
  ) =>
    rig.rpc(
      `/mcp/${serverId}`,
      {
        method: 'tools/call',
        params: {
          ...params,
          _meta: {
            'io.modelcontextprotocol/protocolVersion': modern,
            'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
            'io.modelcontextprotocol/clientCapabilities': capabilities,
          },
        },
      },
      {
        key,
        headers: { 'mcp-protocol-version': modern, 'mcp-method': 'tools/call', 'mcp-name': String(params['name']) },
      },
    );

  it('reads about it where nothing better can be done, and succeeds when repeated after connecting', async () => {
    const { username, key, connect } = await newcomer();
    const first = await legacy(key, execute);
    expect(first.status).toBe(200);
    expect(first.body.result.isError).toBe(true);
    expect(toolJson(first)).toMatchObject({ error: refusal(username), code: 'CREDENTIALS_REQUIRED' });
    asLink(toolJson(first).connectUrl);
    const { connect: link } = first.body.result._meta['mcp-valet/error'];
    expect(link).toMatchObject({ url: toolJson(first).connectUrl, connector: 'demo' });
    expect(Date.parse(link.expiresAt) - Date.now()).toBeLessThanOrEqual(600_000);
    await connect();
    const again = await legacy(key, execute);
    expect(again.body.result.isError).toBeUndefined();
    expect(again.text).toContain('Bearer [secret]');
  });

  it('is given the same open link again, and another user another one', async () => {
    const [one, two] = [await newcomer(), await newcomer()];
    const urlOf = async (key: string) => toolJson(await legacy(key, execute)).connectUrl as string;
    const first = await urlOf(one.key);
    expect(await urlOf(one.key)).toBe(first);
    expect(await urlOf(two.key)).not.toBe(first);
  });

  it('is refused in the dialect of the direct tool call', async () => {
    const { key, username, connect } = await newcomer();
    const call = () =>
      rig.send('/mcp/tool/call', { key, body: { serverName: 'demo', methodName: 'whoami', args: {} } });
    const first = await call();
    expect(first.status).toBe(409);
    expect(first.body).toMatchObject({ success: false, error: refusal(username), code: 'credentials_required' });
    asLink(first.body.connectUrl);
    await connect();
    expect((await call()).body.success).toBe(true);
  });

  it('is a typed error of the SDK that carries the link and never prints it', async () => {
    const { username, connect } = await newcomer();
    const client = rig.sdk(fixtures.home.enterprise);
    const server = { server: fixtures.home.server.serverId };
    const error: unknown = await client
      .executeForUser(username, 'execute_action_alloy', execute.arguments, server)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CredentialRequiredError);
    const { connectUrl, connector, reason } = error as CredentialRequiredError;
    expect({ connector, reason }).toEqual({ connector: 'demo', reason: 'missing' });
    asLink(connectUrl);
    expect(String(error) + JSON.stringify(error)).not.toContain(String(connectUrl));
    await connect();
    const result = await client.executeForUser(username, 'execute_action_alloy', execute.arguments, server);
    expect(JSON.stringify(result)).toContain('Bearer [secret]');
  });

  it('is an elicitation error in a 2025-era session that can show pages', async () => {
    const { key, username } = await newcomer();
    const server = `/mcp/${fixtures.home.server.serverId}`;
    const opened = await rig.rpc(
      server,
      {
        method: 'initialize',
        params: {
          protocolVersion: '2025-11-25',
          capabilities: { elicitation: { url: {} } },
          clientInfo: { name: 'test', version: '1' },
        },
      },
      { key },
    );
    const headers = {
      'mcp-session-id': opened.headers.get('mcp-session-id') ?? '',
      'mcp-protocol-version': '2025-11-25',
    };
    const answer = await rig.rpc(server, { method: 'tools/call', params: execute }, { key, headers });
    const message = eventJson(answer);
    expect(message.error).toMatchObject({ code: -32042, message: refusal(username) });
    const [elicitation] = message.error.data.elicitations;
    expect(elicitation).toMatchObject({ mode: 'url', message: expect.stringContaining('demo') });
    asLink(elicitation.url);
  });

  it('asks a modern client that can show pages, and goes on when the user has connected', async () => {
    const { key, connect } = await newcomer();
    const call = { name: 'demo__whoami', arguments: {} };
    const asked = await modernCall(key, call, { elicitation: { url: {} } });
    const { resultType, inputRequests, requestState } = asked.body.result;
    expect(resultType).toBe('input_required');
    const [[name, question]] = Object.entries(inputRequests) as [[string, Json]];
    expect(question).toMatchObject({ method: 'elicitation/create', params: { mode: 'url' } });
    asLink(question.params.url);
    const seen = fixtures.upstream.recorded.length;
    setTimeout(() => void connect(), 700);
    const retry = { ...call, inputResponses: { [name]: { action: 'accept' } }, requestState };
    const done = await modernCall(key, retry, { elicitation: { url: {} } });
    expect(done.body.result.resultType).toBe('complete');
    expect(done.body.result.isError).toBeUndefined();
    // What was said between client and gateway is no business of the upstream's.
    const sent = fixtures.upstream.recorded
      .slice(seen)
      .map(({ body }) => String(body))
      .join('\n');
    expect(sent).toContain('tools/call');
    expect(sent).not.toMatch(/inputResponses|requestState/);
  });

  it('takes a no for a no, and state of another call for nothing', async () => {
    const [one, two] = [await newcomer(), await newcomer()];
    const call = { name: 'demo__whoami', arguments: {} };
    const asked = await modernCall(one.key, call, { elicitation: { url: {} } });
    const { inputRequests, requestState } = asked.body.result;
    const name = Object.keys(inputRequests)[0] as string;
    const retry = (action: string) => ({ ...call, inputResponses: { [name]: { action } }, requestState });
    const declined = await modernCall(one.key, retry('decline'), { elicitation: { url: {} } });
    expect(declined.body.result).toMatchObject({ resultType: 'complete', isError: true });
    expect(toolJson(declined).error).toContain('did not connect');
    const stolen = await modernCall(two.key, retry('accept'), { elicitation: { url: {} } });
    expect(stolen.body.error).toMatchObject({ code: -32602, message: 'Invalid or expired requestState' });
  });

  it('reads about it in the modern era when the client shows no pages', async () => {
    const { key } = await newcomer();
    const answer = await modernCall(key, { name: 'demo__whoami', arguments: {} }, { elicitation: {} });
    expect(answer.body.result).toMatchObject({ resultType: 'complete', isError: true });
    asLink(toolJson(answer).connectUrl);
  });

  it('tells no link for a tool of a connector that the user may not touch', async () => {
    const { username, key } = await newcomer();
    await rig.manage('PUT', `/users/${username}/mcp-access`, { blocked_mcps: ['demo'] });
    const answer = await legacy(key, { name: 'demo__whoami', arguments: {} }, direct.serverId);
    expect(answer.body.error).toMatchObject({ code: -32602, message: 'Unknown tool: demo__whoami' });
    expect(answer.text).not.toContain('/connect/');
  });

  it('leaves its idempotency key usable: the repeated call runs', async () => {
    const { key, connect } = await newcomer();
    const headers = { 'idempotency-key': 'connect-then-run' };
    const call = () =>
      rig.rpc(`/mcp/${fixtures.home.server.serverId}`, { method: 'tools/call', params: execute }, { key, headers });
    expect((await call()).body.result.isError).toBe(true);
    await connect();
    const ran = await call();
    expect(ran.body.result.isError).toBeUndefined();
    expect(ran.headers.get('idempotent-replayed')).toBeNull();
  });
});

/** The response message of a reply that may be JSON or one event. */
function eventJson(answer: Answer): Json {
  if (answer.body !== undefined) return answer.body;
  const data = answer.text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .at(-1);
  return JSON.parse((data ?? '').slice('data: '.length));
}

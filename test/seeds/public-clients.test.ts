// How Alloy's public example clients behave, as requests: no handshake, no session, loose headers, any id. Checklist point 8.
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

let rig: Rig;
let fixtures: Fixtures;
let path: string;
beforeAll(async () => {
  rig = await startRig({ env: { VALET_RATE_LIMIT: '100000' } });
  fixtures = await addFixtures(rig);
  path = new URL(fixtures.home.server.accessUrl).pathname;
});
afterAll(async () => {
  await rig?.close();
  await fixtures?.close();
});

/** Exactly what they send: `fetch` with these two headers and a bare message. */
const send = (
  message: Json,
  headers: Record<string, string> = { accept: 'application/json,text/event-stream' },
): Promise<Answer> => rig.send(path, { headers, body: { jsonrpc: '2.0', ...message } });
const firstTool = { method: 'tools/call', params: { name: 'list_connectors_alloy', arguments: {} } };

describe('a client that was never initialized', () => {
  it('calls a tool without session id and without notifications/initialized', async () => {
    const answer = await send({ id: 1, ...firstTool });
    expect(answer.status).toBe(200);
    expect(toolJson(answer)).toMatchObject({
      count: 1,
      message: 'Found 1 available connectors',
      connectors: [{ id: 'demo' }],
    });
  });

  it('may initialize, gets no session, and goes on without one', async () => {
    const params = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'example', version: '1.0.0' },
    };
    const answer = await send({ id: 1, method: 'initialize', params });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('mcp-session-id')).toBeNull();
    expect(answer.body.result).toMatchObject({
      protocolVersion: '2025-06-18',
      capabilities: { tools: {} },
      serverInfo: { name: 'MCP Valet', title: 'main' },
    });
    expect((await send({ id: 2, method: 'tools/list' })).body.result.tools).toHaveLength(8);
  });

  it.each([0, 1, 999_999, '1', 'a-string', '0'])('gets its id %j back with the same type', async (id) => {
    expect((await send({ id, ...firstTool })).body.id).toStrictEqual(id);
    expect((await send({ id, method: 'no/such' })).body.id).toStrictEqual(id);
  });

  it.each([
    'application/json,text/event-stream',
    'application/json, text/event-stream',
    'text/event-stream;q=0.5, application/json',
    '*/*',
  ])('is answered with JSON for Accept: %s', async (accept) => {
    const answer = await send({ id: 1, ...firstTool }, { accept });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  });

  it.each(['application/json', 'text/event-stream', 'text/html'])(
    'is refused with 406 for Accept: %s',
    async (accept) => {
      const answer = await send({ id: 7, ...firstTool }, { accept });
      expect(answer).toMatchObject({
        status: 406,
        body: { jsonrpc: '2.0', id: 7, error: { data: { code: 'NOT_ACCEPTABLE' } } },
      });
    },
  );

  it('may send notifications, which have no answer', async () => {
    const answer = await send({ method: 'notifications/initialized' });
    expect(answer).toMatchObject({ status: 202, text: '' });
  });
});

describe('answers', () => {
  it('describe every tool, in the documented order', async () => {
    const { tools } = (await send({ id: 1, method: 'tools/list' })).body.result;
    expect(tools.map(({ name }: Json) => name)).toEqual([
      'list_connectors_alloy',
      'get_connector_resources_alloy',
      'get_action_details_alloy',
      'execute_action_alloy',
      'create_credential_alloy',
      'get_credentials_alloy',
      'get_credential_metadata_alloy',
      'discover_action_path_alloy',
    ]);
    for (const { name, description, inputSchema, annotations } of tools) {
      expect(description.length, name).toBeGreaterThan(20);
      expect(inputSchema.type, name).toBe('object');
      expect(annotations, name).toBeTypeOf('object');
    }
  });

  it('have either a result or an error, never a null in place of the other', async () => {
    const good = await send({ id: 1, ...firstTool });
    const bad = await send({ id: 1, method: 'no/such' });
    expect(Object.keys(good.body).sort()).toEqual(['id', 'jsonrpc', 'result']);
    expect(Object.keys(bad.body).sort()).toEqual(['error', 'id', 'jsonrpc']);
  });

  it('exist for prompts and resources, which are empty here', async () => {
    expect((await send({ id: 1, method: 'prompts/list' })).body.result).toEqual({ prompts: [] });
    expect((await send({ id: 1, method: 'resources/list' })).body.result).toEqual({ resources: [] });
    expect((await send({ id: 1, method: 'resources/templates/list' })).body.result).toEqual({ resourceTemplates: [] });
    expect((await send({ id: 1, method: 'ping' })).body.result).toEqual({});
  });

  it('stream, where they must, as one data line with a space', async () => {
    const params = { ...firstTool.params, _meta: { progressToken: 1 } };
    const answer = await send({ id: 5, method: 'tools/call', params });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const lines = answer.text.split('\n');
    const data = lines.filter((line) => line.startsWith('data:'));
    expect(lines.filter((line) => line.startsWith('event:'))).toEqual(data.map(() => 'event: message'));
    for (const line of data) expect(line).toMatch(/^data: \{/);
    const message = JSON.parse((data.at(-1) ?? '').slice('data: '.length));
    expect(message).toMatchObject({ id: 5, result: { structuredContent: { count: 1 } } });
  });

  it.each<{ what: string; message: Json; headers?: Record<string, string>; raw?: string; status: number }>([
    { what: 'an unknown method', message: { id: 1, method: 'no/such' }, status: 200 },
    { what: 'an unknown tool', message: { id: 1, method: 'tools/call', params: { name: 'nope' } }, status: 200 },
    {
      what: 'wrong parameters of a tool',
      message: { id: 1, method: 'tools/call', params: { name: 'get_action_details_alloy', arguments: {} } },
      status: 200,
    },
    { what: 'params that are no object', message: { id: 1, method: 'tools/list', params: [] }, status: 400 },
    { what: 'JSON that cannot be read', message: {}, raw: '{"jsonrpc":', status: 400 },
    { what: 'an array', message: {}, raw: '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', status: 400 },
    {
      what: 'another media type',
      message: { id: 1, method: 'ping' },
      headers: { 'content-type': 'text/plain' },
      status: 415,
    },
  ])('have HTTP status $status for $what', async ({ message, headers, raw, status }) => {
    const answer = await rig.send(path, { headers: { ...headers }, body: raw ?? { jsonrpc: '2.0', ...message } });
    expect(answer.status).toBe(status);
    expect(answer.body.jsonrpc).toBe('2.0');
    expect(answer.body.error !== undefined || answer.body.result.isError).toBe(true);
  });
});

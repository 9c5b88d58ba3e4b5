// Every error envelope where it belongs: the API's, the two of the source systems, and JSON-RPC; and the SDK reads them all into the same
// classes. Checklist point 9.
import {
  AuthenticationError,
  BadRequestError,
  ConflictError,
  type MCPClient,
  NotFoundError,
  ValetError,
} from '@mcp-valet/client';
import { apiError, secretsError, usersError } from '@mcp-valet/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addFixtures, demoConnector, type Fixtures, type Rig, startRig } from '../support/gateway.ts';

let rig: Rig;
let fixtures: Fixtures;
beforeAll(async () => {
  rig = await startRig();
  fixtures = await addFixtures(rig);
});
afterAll(async () => {
  await rig?.close();
  await fixtures?.close();
});

const admin = () => rig.admin;
const none = () => undefined;

describe('an error', () => {
  it.each([
    { method: 'GET', path: '/api/servers/none', key: admin, schema: apiError, status: 404 },
    { method: 'GET', path: '/api/me', key: none, schema: apiError, status: 401 },
    { method: 'GET', path: '/api/no-such-route', key: admin, schema: apiError, status: 404 },
    { method: 'POST', path: '/api/servers', key: admin, body: { name: '' }, schema: apiError, status: 400 },
    { method: 'POST', path: '/api/servers', key: admin, body: '{', schema: apiError, status: 400 },
    { method: 'GET', path: '/users/none', key: admin, schema: usersError, status: 404 },
    { method: 'GET', path: '/users', key: none, schema: usersError, status: 401 },
    { method: 'POST', path: '/users', key: admin, body: { username: 'alice' }, schema: usersError, status: 409 },
    { method: 'POST', path: '/keys/revoke', key: admin, body: {}, schema: usersError, status: 400 },
    { method: 'GET', path: '/users/a/no-such-route', key: admin, schema: usersError, status: 404 },
    { method: 'POST', path: '/secrets/set', key: none, body: {}, schema: secretsError, status: 401 },
    { method: 'POST', path: '/secrets/set', key: admin, body: '[', schema: secretsError, status: 400 },
    {
      method: 'POST',
      path: '/secrets/delete',
      key: admin,
      body: { serverName: 'none', secretName: 'A' },
      schema: secretsError,
      status: 404,
    },
    {
      method: 'POST',
      path: '/mcp/tool/call',
      key: admin,
      body: { serverName: 'none', methodName: 'a' },
      schema: secretsError,
      status: 404,
    },
    { method: 'POST', path: '/mcp/tool/call', key: none, body: {}, schema: secretsError, status: 401 },
  ])('of $method $path is a $status in its own envelope', async ({ method, path, key, body, schema, status }) => {
    const answer = await rig.send(path, { method, key: key(), body, headers: { 'x-request-id': 'envelope-1' } });
    expect(answer.status).toBe(status);
    expect(schema.safeParse(answer.body).success, answer.text).toBe(true);
    expect(answer.body.requestId ?? answer.body.request_id).toBe('envelope-1');
    expect(answer.headers.get('x-should-retry')).toBe('false');
  });

  it.each<{
    what: string;
    key: () => string | undefined;
    server: () => string;
    user?: string;
    status: number;
    code: string;
  }>([
    {
      what: 'no credential',
      key: none,
      server: () => fixtures.home.server.serverId,
      status: 401,
      code: 'UNAUTHORIZED',
    },
    { what: 'no such server', key: admin, server: () => 'none', status: 404, code: 'NOT_FOUND' },
    {
      what: 'no such user',
      key: admin,
      server: () => fixtures.home.server.serverId,
      user: 'none',
      status: 403,
      code: 'USER_NOT_FOUND',
    },
  ])('of an MCP endpoint is JSON-RPC: $what', async ({ key, server, user, status, code }) => {
    const answer = await rig.rpc(
      `/mcp/${server()}`,
      { method: 'tools/list' },
      { key: key(), headers: user === undefined ? {} : { 'x-alloy-userid': user } },
    );
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({
      jsonrpc: '2.0',
      error: { code: status, data: { code, requestId: answer.headers.get('x-request-id') } },
    });
    expect(answer.body).not.toHaveProperty('result');
    expect(answer.headers.get('x-should-retry')).toBe('false');
  });
});

describe('the SDK', () => {
  const caught = async (call: (client: MCPClient) => PromiseLike<unknown>, key = rig.admin): Promise<ValetError> => {
    const client = rig.sdk(key);
    const error = await Promise.resolve(call(client)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (error instanceof ValetError) return error;
    throw new Error('the call did not fail as a call of the SDK', { cause: error });
  };

  it.each([
    {
      what: 'API: not there',
      call: (client: MCPClient) => client.servers.get('none'),
      type: NotFoundError,
      code: 'NOT_FOUND',
    },
    {
      what: 'API: taken',
      call: (client: MCPClient) => client.connectors.create(demoConnector(fixtures.upstream.url) as never),
      type: ConflictError,
      code: 'CONFLICT',
    },
    {
      what: 'API: malformed',
      call: (client: MCPClient) => client.servers.create({ name: '-' }),
      type: BadRequestError,
      code: 'INVALID_REQUEST',
    },
    {
      what: 'users: not there',
      call: (client: MCPClient) => client.users.get('none'),
      type: NotFoundError,
      code: 'USER_NOT_FOUND',
    },
    {
      what: 'users: taken',
      call: (client: MCPClient) => client.users.create({ username: 'alice' }),
      type: ConflictError,
      code: 'CONFLICT',
    },
    {
      what: 'secrets: no connector',
      call: (client: MCPClient) => client.setSecret({ userId: 'alice', connector: 'none', name: 'A', value: 'v-1' }),
      type: NotFoundError,
      code: 'NOT_FOUND',
    },
    {
      what: 'secrets: no user',
      call: (client: MCPClient) => client.setSecret({ userId: 'none', connector: 'demo', name: 'A', value: 'v-1' }),
      type: NotFoundError,
      code: 'USER_NOT_FOUND',
    },
    {
      what: 'direct call: no connector',
      call: (client: MCPClient) => client.forUser('alice').runAction('none', 'whoami'),
      type: NotFoundError,
      code: 'NOT_FOUND',
    },
    {
      what: 'MCP: no user',
      call: (client: MCPClient) =>
        client.forUser('none', { server: fixtures.home.server.serverId }).execute('list_connectors_alloy', {}),
      type: NotFoundError,
      code: 'USER_NOT_FOUND',
    },
  ])('reads $what', async ({ call, type, code }) => {
    const error = await caught(call);
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ code, executed: 'no' });
    expect(error.requestId).toMatch(/^req_/);
  });

  it.each([
    { what: 'API', call: (client: MCPClient) => client.servers.get('none') },
    { what: 'users', call: (client: MCPClient) => client.users.get('none') },
    { what: 'secrets', call: (client: MCPClient) => client.secrets.list({ userId: 'alice', connector: 'demo' }) },
    { what: 'MCP', call: (client: MCPClient) => client.executeForUser('alice', 'list_connectors_alloy', {}) },
    { what: 'direct call', call: (client: MCPClient) => client.forUser('alice').runAction('demo', 'whoami') },
  ])('reads a bad key on every plane: $what', async ({ call }) => {
    const error = await caught(call, fixtures.dead.revoked);
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error.status).toBe(401);
  });
});

// The known defects of the systems that the texts describe, each as the behaviour that takes its place. Checklist point 10.

import { routes } from '@mcp-valet/shared';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  addFixtures,
  canary,
  demoConnector,
  type Fixtures,
  type Json,
  type Rig,
  startRig,
  toolJson,
} from '../support/gateway.ts';
import { wireText } from '../support/recorded-request.ts';

let rig: Rig;
let fixtures: Fixtures;
const log: string[] = [];
beforeAll(async () => {
  rig = await startRig({ logDestination: { write: (line) => void log.push(line) }, env: { LOG_LEVEL: 'trace' } });
  fixtures = await addFixtures(rig);
  // The rule of the source system: without a template, all secrets of the connector are merged into the arguments.
  await rig.manage('POST', '/api/connectors', { connectorId: 'plain', kind: 'mcp-http', url: fixtures.upstream.url });
});
afterAll(async () => {
  await rig?.close();
  await fixtures?.close();
});
beforeEach(() => fixtures.upstream.reset());

const set = (secretValue: string, serverName = 'plain', username = 'alice') =>
  rig.manage('POST', '/secrets/set', { username, serverName, secretName: 'API_TOKEN', secretValue });
const call = (serverName: string, methodName = 'whoami', args: Json = {}, username = 'alice') =>
  rig.send('/mcp/tool/call', { key: rig.admin, body: { username, serverName, methodName, args } });

describe('a secret', () => {
  it('that is deleted is gone: from the list, from the calls and from the database', async () => {
    const secret = canary('deleted');
    await set(secret);
    await call('plain');
    expect(wireText(fixtures.upstream.recorded)).toContain(secret);
    await rig.manage('POST', '/secrets/delete', { username: 'alice', serverName: 'plain', secretName: 'API_TOKEN' });
    fixtures.upstream.reset();
    await call('plain');
    expect(wireText(fixtures.upstream.recorded)).not.toContain('API_TOKEN');
    expect((await rig.manage('GET', '/secrets?username=alice&serverName=plain')).secrets).toEqual([]);
    const rows = await rig.sql(fixtures.home.accountId, `select 1 from secrets where name = 'API_TOKEN'`);
    expect(rows).toEqual([]);
  });

  it('never reaches another connector', async () => {
    const secret = canary('plain-only');
    await set(secret);
    await call('demo');
    const arrived = wireText(fixtures.upstream.recorded);
    expect(arrived).toContain(fixtures.home.alice.canary);
    expect(arrived).not.toContain(secret);
    fixtures.upstream.reset();
    await call('plain');
    expect(wireText(fixtures.upstream.recorded)).not.toContain(fixtures.home.alice.canary);
  });

  it('that is stored is injected, and wins over an argument of the same name', async () => {
    const secret = canary('stored');
    await set(secret);
    const answer = await call('plain', 'whoami', { API_TOKEN: 'of-the-caller', kept: 1 });
    const sent = fixtures.upstream.recorded.find(({ body }) => body.includes('tools/call'));
    expect(JSON.parse(String(sent?.body)).params.arguments).toEqual({ API_TOKEN: secret, kept: 1 });
    expect(answer.text).not.toContain(secret);
  });

  it('is in no log line, journal row or audit event, and neither are arguments', async () => {
    const [secret, argument] = [canary('logged'), canary('argument')];
    await set(secret);
    await call('plain', 'whoami', { note: argument });
    await call('plain', 'no_such_tool', { note: argument });
    const journal = await rig.sql<{ row: string }>(
      fixtures.home.accountId,
      'select row_to_json(c)::text as row from calls c',
    );
    const trail = await rig.sql<{ row: string }>(
      fixtures.home.accountId,
      'select row_to_json(a)::text as row from audit_events a',
    );
    expect(journal.length).toBeGreaterThan(1);
    expect(trail.length).toBeGreaterThan(1);
    expect(log.length).toBeGreaterThan(1);
    const written = [...log, ...journal.map(({ row }) => row), ...trail.map(({ row }) => row)].join('\n');
    for (const text of [secret, argument, rig.admin, fixtures.home.alice.key]) expect(written).not.toContain(text);
  });
});

describe('success', () => {
  it('is not said for a server that does not exist', async () => {
    for (const path of ['/secrets/set', '/secrets/delete', '/mcp/tool/call']) {
      const common = { username: 'alice', serverName: 'no-such-server' };
      const body = path.startsWith('/mcp')
        ? { ...common, methodName: 'a' }
        : { ...common, secretName: 'A', ...(path.endsWith('set') && { secretValue: 'value-1' }) };
      const answer = await rig.send(path, { key: rig.admin, body });
      expect(answer, path).toMatchObject({ status: 404, body: { success: false, code: 'server_not_found' } });
    }
  });

  it('is not said for a call without the credential that it needs', async () => {
    await rig.manage('POST', '/users', { username: 'new-user' });
    expect(await call('demo', 'whoami', {}, 'new-user')).toMatchObject({
      status: 409,
      body: {
        success: false,
        code: 'credentials_required',
        error: 'No credentials found for new-user on connector demo',
      },
    });
    const viaMcp = await rig.rpc(
      `/mcp/${fixtures.home.server.serverId}`,
      {
        method: 'tools/call',
        params: { name: 'execute_action_alloy', arguments: { connectorId: 'demo', actionId: 'whoami' } },
      },
      { key: rig.admin, headers: { 'x-alloy-userid': 'new-user' } },
    );
    expect(viaMcp.body.result.isError).toBe(true);
    expect(toolJson(viaMcp).code).toBe('CREDENTIALS_REQUIRED');
    expect(fixtures.upstream.recorded).toEqual([]);
  });
});

describe('access', () => {
  it('is checked per MCP, not only when all of them are blocked', async () => {
    await rig.manage('POST', '/api/connectors', demoConnector(fixtures.upstream.url, 'third'));
    await rig.manage('PUT', '/users/bob/mcp-access', { blocked_mcps: ['plain'] });
    expect((await call('plain', 'whoami', {}, 'bob')).status).toBe(403);
    expect((await call('demo', 'whoami', {}, 'bob')).status).toBe(200);
  });

  const managed = routes.filter(({ route }) => !route.access.includes('public'));
  it.each(
    managed.map(({ id, route }) => ({ id, method: route.method, path: route.path.replace(/\{\w+\}/g, 'default') })),
  )('needs a key: $id', async ({ method, path }) => {
    const answer = await rig.send(path, { method, ...(method !== 'GET' && method !== 'DELETE' && { body: {} }) });
    expect(answer.status).toBe(401);
  });
});

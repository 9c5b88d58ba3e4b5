// Several accounts on one gateway: only the operator manages them, a disabled one signs nobody in and holds nothing open, and a deleted one
// leaves its journal and trail.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { demoConnector, type Json, type Rig, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { openListen, openSession } from './support/open-streams.ts';
import { noLimits } from './support/world.ts';

describe.each(testDatabases())('accounts on $kind', ({ open }) => {
  let rig: Rig;
  let upstream: RecordingUpstream;
  let count = 0;
  const ask = (key: string, method: string, path: string, body?: unknown) => rig.send(path, { method, key, body });
  const add = async (): Promise<{
    accountId: string;
    apiKey: string;
    name: string;
    key: string;
    serverId: string;
    accessUrl: string;
  }> => {
    const made = await rig.manage('POST', '/api/accounts', { name: `account ${++count}`, callsPerMinute: 1_000_000 });
    const manage = (method: string, path: string, body?: unknown): Promise<Json> =>
      rig.manage(method, path, body, made.apiKey);
    await manage('POST', '/api/connectors', { ...demoConnector(upstream.url), secretNames: [], inject: null });
    await manage('POST', '/users', { username: 'alice' });
    const { api_key: key } = await manage('POST', '/users/alice/keys', { key_name: 'k' });
    const { serverId, accessUrl } = await manage('POST', '/api/servers', {
      name: 'all',
      mode: 'direct',
      sessions: 'always',
    });
    return { ...made, key, serverId, accessUrl };
  };
  const call = (key: string) =>
    ask(key, 'POST', '/mcp/tool/call', { serverName: 'demo', methodName: 'whoami', args: {} });

  beforeAll(async () => {
    upstream = await startRecordingUpstream();
    rig = await startRig({ database: await open(), env: noLimits });
  });
  afterAll(async () => {
    await rig?.close();
    await upstream?.close();
  });

  it('are shown and changed by the operator and by nobody else', async () => {
    const { accountId, apiKey, key, name } = await add();
    expect(await rig.manage('GET', `/api/accounts/${accountId}`)).toMatchObject({
      accountId,
      name,
      enabled: true,
      callsPerMinute: 1_000_000,
    });
    const path = `/api/accounts/${accountId}`;
    for (const stranger of [apiKey, key])
      for (const [method, body] of [['GET'], ['PATCH', { enabled: false }], ['DELETE']] as const)
        expect((await ask(stranger, method, path, body)).status).toBe(403);
    for (const [method, body] of [['GET'], ['PATCH', { enabled: false }], ['DELETE']] as const)
      for (const id of ['acc_nobody', '*'])
        expect((await ask(rig.admin, method, `/api/accounts/${id}`, body)).status).toBe(404);
    expect(await rig.manage('PATCH', path, { name: `renamed ${count}`, callsPerMinute: null })).toMatchObject({
      name: `renamed ${count}`,
      callsPerMinute: null,
    });
    const taken = await ask(rig.admin, 'PATCH', path, { name: 'default' });
    expect([taken.status, taken.body.error.code]).toEqual([409, 'CONFLICT']);
  });

  it('end every use with the next request when they are disabled, and nobody else’s, and come back when enabled', async () => {
    const [off, on] = [await add(), await add()];
    const uses = ({ key, apiKey, accessUrl }: typeof off) => [
      () => call(key),
      () => ask(apiKey, 'GET', '/users'),
      () => rig.rpc(new URL(accessUrl).pathname, { method: 'tools/list' }),
    ];
    for (const account of [off, on])
      for (const use of uses(account)) for (let twice = 0; twice < 2; twice++) expect((await use()).status).toBe(200);
    const streams = await Promise.all(
      [off, on].map(({ serverId, key }) => openListen(`${rig.url}/mcp/${serverId}`, key)),
    );
    const session = await openSession(`${rig.url}/mcp/${off.serverId}`, off.key);
    await rig.manage('PATCH', `/api/accounts/${off.accountId}`, { enabled: false });
    for (const use of uses(off)) expect((await use()).status).toBe(401);
    for (const use of uses(on)) expect((await use()).status).toBe(200);
    await expect.poll(() => [streams[0]?.isOpen(), session.isOpen()], { timeout: 15_000 }).toEqual([false, false]);
    expect(streams[1]?.isOpen()).toBe(true);
    streams[1]?.stop();
    await rig.manage('PATCH', `/api/accounts/${off.accountId}`, { enabled: true });
    for (const use of uses(off)) expect((await use()).status).toBe(200);
  });

  it('named default cannot be disabled, renamed or deleted', async () => {
    const { account } = await rig.manage('GET', '/api/me');
    const path = `/api/accounts/${account.accountId}`;
    for (const [method, body] of [['PATCH', { enabled: false }], ['PATCH', { name: 'other' }], ['DELETE']] as const)
      expect((await ask(rig.admin, method, path, body)).status).toBe(409);
    expect((await ask(rig.admin, 'PATCH', path, { callsPerMinute: 5_000 })).status).toBe(200);
    await rig.manage('PATCH', path, { callsPerMinute: null });
  });

  it('are deleted once they are disabled, with all that is theirs but journal and trail', async () => {
    const { accountId, key, apiKey } = await add();
    expect((await call(key)).status).toBe(200);
    const path = `/api/accounts/${accountId}`;
    expect((await ask(rig.admin, 'DELETE', path)).status).toBe(409);
    await rig.manage('PATCH', path, { enabled: false });
    expect(await rig.manage('DELETE', path)).toEqual({ status: 'deleted', accountId });
    for (const one of [key, apiKey]) expect((await ask(one, 'GET', '/api/me')).status).toBe(401);
    expect((await ask(rig.admin, 'GET', path)).status).toBe(404);
    const left = async (table: string): Promise<number> =>
      (
        await rig.sql<{ n: number }>(accountId, `select count(*)::int as n from ${table} where account_id = $1`, [
          accountId,
        ])
      )[0]?.n ?? -1;
    for (const table of ['users', 'api_keys', 'servers', 'connectors', 'credentials', 'secrets', 'data_keys', 'claims'])
      expect([table, await left(table)]).toEqual([table, 0]);
    expect(await left('calls')).toBeGreaterThan(0);
    expect(await left('audit_events')).toBeGreaterThan(0);
  });
});

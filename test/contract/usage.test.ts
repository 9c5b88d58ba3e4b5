// What was used, counted from the journal: by what is asked for, of whom is asked, complete, and equal to a count of the calls themselves.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import type { Json } from '../support/gateway.ts';
import { type Stage, startStage } from './stage.ts';

describe.each(testDatabases())('usage on $kind', ({ open }) => {
  let stage: Stage;
  let calls: Json[];
  beforeAll(async () => {
    stage = await startStage(open);
    const { rig, home } = stage;
    const call = (key: string, methodName: string, body: object = {}) =>
      rig.send('/mcp/tool/call', { key, body: { serverName: 'demo', methodName, args: {}, ...body } });
    for (let i = 0; i < 7; i++) await call(home.alice.key, 'echo');
    for (let i = 0; i < 3; i++) await call(home.bob.key, 'whoami');
    await call(home.bob.key, 'no-such-tool');
    const message = { method: 'tools/call', params: { name: 'list_connectors_alloy', arguments: {} } };
    for (let i = 0; i < 2; i++)
      await rig.rpc(`/mcp/${home.server.serverId}`, message, {
        key: home.enterprise,
        headers: { 'x-alloy-userid': 'alice' },
      });
    await rig.manage('PUT', '/users/bob/mcp-access', { blocked_mcps: ['demo'] });
    for (let i = 0; i < 4; i++) await call(home.bob.key, 'echo');
    await call(stage.other.alice.key, 'echo');
    calls = (await rig.manage('GET', '/api/calls?limit=1000')).calls;
  });
  afterAll(() => stage?.close());

  const usage = (query = '', key = stage.home.admin): Promise<Json> =>
    stage.rig.manage('GET', `/api/usage${query}`, undefined, key);
  const numbers = ({ calls: count, ok, refused, failed }: Json) => [count, ok, refused, failed];

  it('counts calls, and of them what went well, was refused and failed, by user and tool', async () => {
    const { usage: rows, by, total } = await usage();
    expect(by).toEqual(['user', 'tool']);
    expect(total).toBe(rows.length);
    const found = rows.map((row: Json) => [row.username, row.tool, ...numbers(row)]);
    expect(found[0]).toEqual(['alice', 'echo', 7, 7, 0, 0]);
    expect(found).toContainEqual(['bob', 'echo', 4, 0, 4, 0]);
    expect(found).toContainEqual(['bob', 'whoami', 3, 3, 0, 0]);
    const [first] = rows;
    expect(first).toMatchObject({ userId: stage.home.alice.userId, serverId: null, connectorId: null, day: null });
    expect(first.meanLatencyMs).toBeGreaterThan(0);
    const refused = rows.find((row: Json) => row.refused === 4);
    expect(refused.meanLatencyMs).toBeNull();
  });

  it('agrees with the journal, whichever way it is divided', async () => {
    const of = (outcomes: unknown[]) => calls.filter(({ outcome }) => outcomes.includes(outcome)).length;
    const expected = [calls.length, of(['ok']), of(['refused']), of(['failed', 'tool_error', 'unknown'])];
    expect(calls.length).toBeGreaterThan(15);
    for (const by of ['user', 'server', 'connector', 'tool', 'day', 'user,server,connector,tool,day', 'day,user']) {
      const { usage: rows } = await usage(`?by=${by}`);
      const sums = rows.map(numbers).reduce((a: number[], b: number[]) => a.map((n, i) => n + (b[i] as number)));
      expect([by, ...sums]).toEqual([by, ...expected]);
    }
    const { usage: days } = await usage('?by=day');
    expect(days.map(({ day }: Json) => day)).toEqual([...new Set(calls.map(({ at }) => at.slice(0, 10)))]);
  });

  it('counts what the filters leave', async () => {
    const { serverId } = stage.home.server;
    const on = (await usage(`?by=server,user&serverId=${serverId}`)).usage;
    expect(on.map((row: Json) => [row.serverId, row.username, row.calls])).toEqual([[serverId, 'alice', 2]]);
    const sum = async (query: string): Promise<number> =>
      (await usage(query)).usage.reduce((count: number, row: Json) => count + row.calls, 0);
    expect(await sum('?connectorId=demo&userId=alice')).toBe(7);
    const [newest] = calls;
    expect(await sum(`?to=${newest?.at}`)).toBe(calls.filter(({ at }) => at < newest?.at).length);
    expect(await sum(`?from=${newest?.at}`)).toBe(calls.filter(({ at }) => at >= newest?.at).length);
  });

  it('tells a standard key of its own user only, and another account of its own', async () => {
    const own = (await usage('?by=user', stage.home.bob.key)).usage;
    expect(own.map(({ username }: Json) => username)).toEqual(['bob']);
    const others = (await usage('?by=user', stage.other.admin)).usage;
    expect(others.map((row: Json) => [row.userId, row.calls])).toEqual([[stage.other.alice.userId, 1]]);
  });
});

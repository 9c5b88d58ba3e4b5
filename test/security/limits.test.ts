// Limits and quotas of an account's own, through running gateways: exact however many calls come at once, on however many replicas, and
// after a restart; refused calls cost nothing and are in the trail.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openTestDatabase, type TestDatabase, testDatabases } from '../support/database.ts';
import { type Answer, addFixtures, type Fixtures, type Json, type Rig, startRig } from '../support/gateway.ts';

const masterKey = randomBytes(32).toString('base64');
const env = { VALET_MASTER_KEY: masterKey, VALET_RATE_LIMIT: '100000', VALET_CONCURRENT_CALLS: '1000' };
const callBody = { serverName: 'demo', methodName: 'echo', args: { text: 'hi' } };
const direct = (rig: Rig, key: string, requestId?: string): Promise<Answer> =>
  rig.send('/mcp/tool/call', {
    key,
    body: callBody,
    ...(requestId !== undefined && { headers: { 'x-request-id': requestId } }),
  });
const okOf = (answers: readonly Answer[]): number => answers.filter(({ status }) => status === 200).length;
/** The seconds until midnight UTC, give or take what the test takes. */
const untilMidnight = (): number => (new Date().setUTCHours(24, 0, 0, 0) - Date.now()) / 1000;

describe.each(testDatabases())('limits on $kind', ({ open }) => {
  let rig: Rig;
  let world: Fixtures;
  beforeAll(async () => {
    rig = await startRig({ database: await open(), env });
    world = await addFixtures(rig);
  });
  afterAll(async () => {
    await rig?.close();
    await world?.close();
  });
  const made: string[] = [];
  const limit = async (rule: object): Promise<string> => {
    const { limitId } = await rig.manage('POST', '/api/limits', rule);
    made.push(limitId);
    return limitId;
  };
  const clear = async (): Promise<void> => {
    for (const id of made.splice(0)) await rig.manage('DELETE', `/api/limits/${id}`);
  };
  afterEach(clear);
  const alice = (requestId?: string) => direct(rig, world.home.alice.key, requestId);
  const bob = () => direct(rig, world.home.bob.key);
  const used = async (limitId: string): Promise<number> => {
    const rows = await rig.sql<{ used: number }>(
      world.home.accountId,
      'select used from quota_counters where limit_id = $1',
      [limitId],
    );
    return rows.reduce((sum, row) => sum + row.used, 0);
  };

  it('a daily quota of 37 admits exactly 37 of 100 calls at a time, and says when the next day begins', async () => {
    const limitId = await limit({ userId: 'alice', max: 37, window: 'day' });
    const answers = await Promise.all(Array.from({ length: 100 }, () => alice()));
    expect(okOf(answers)).toBe(37);
    expect(await used(limitId)).toBe(37);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(63);
    for (const { headers, body } of refused) {
      expect(body).toMatchObject({ success: false, code: 'rate_limited' });
      expect(Math.abs(Number(headers.get('retry-after')) - untilMidnight())).toBeLessThan(30);
    }
    expect(okOf([await bob()])).toBe(1);
  });

  it('shows the tightest limit of an admitted call, and beside it where the user stands', async () => {
    const limitId = await limit({ userId: 'alice', max: 5, window: 'day' });
    await limit({ max: 50, window: 60 });
    const { headers } = await alice();
    expect(headers.get('ratelimit-policy')).toMatch(new RegExp(`^"${limitId}";q=5;w=86400, "user";q=\\d+;w=60$`));
    expect(headers.get('ratelimit')).toMatch(new RegExp(`^"${limitId}";r=4;t=\\d+, "user";r=\\d+;t=\\d+$`));
    expect(headers.get('x-ratelimit-remaining')).toBe('4');
  });

  it('a call that one limit refuses consumes none of the others', async () => {
    const day = await limit({ userId: 'alice', max: 50, window: 'day' });
    const sharedDay = await limit({ max: 50, window: 'day', shared: true });
    await limit({ connectorId: 'demo', action: 'echo', max: 2, window: 3600 });
    const left = async () =>
      (await rig.manage('GET', '/api/me', undefined, world.home.alice.key)).limits.calls.remaining;
    const before = await left();
    const answers: Answer[] = [];
    for (let i = 0; i < 6; i++) answers.push(await alice());
    expect(okOf(answers)).toBe(2);
    expect([await used(day), await used(sharedDay)]).toEqual([2, 2]);
    expect(before - (await left())).toBe(2);

    await clear();
    // And the other way round: a quota that is used up costs nothing of a window.
    const quota = await limit({ userId: 'bob', max: 1, window: 'day' });
    await limit({ userId: 'bob', max: 3, window: 3600 });
    expect(okOf([await bob(), await bob(), await bob(), await bob()])).toBe(1);
    await rig.manage('PATCH', `/api/limits/${quota}`, { max: 1000 });
    expect(okOf([await bob(), await bob(), await bob()])).toBe(2);
  });

  it('takes of several quotas all or none, in whatever order they stand', async () => {
    const wide = async () => limit({ userId: 'alice', max: 50, window: 'day' });
    const quotas = [await wide(), await wide(), await wide()];
    const tight = await limit({ userId: 'alice', max: 3, window: 'day' });
    quotas.push(await wide(), await wide(), await wide());
    expect(okOf(await Promise.all(Array.from({ length: 20 }, () => alice())))).toBe(3);
    expect(await Promise.all([tight, ...quotas].map(used))).toEqual([3, 3, 3, 3, 3, 3, 3]);
  });

  it('counts each user alone, or all of them together', async () => {
    await limit({ max: 2, window: 'day', connectorId: 'demo' });
    expect(okOf(await Promise.all([alice(), alice(), alice(), bob(), bob(), bob()]))).toBe(4);
    await clear();
    await limit({ max: 3, window: 3600, shared: true });
    expect(okOf(await Promise.all([alice(), alice(), bob(), bob()]))).toBe(3);
  });

  it('counts what a selector names and nothing else', async () => {
    const { serverId } = world.home.server;
    await limit({ serverId, max: 0, window: 60 });
    await limit({ connectorId: 'demo', action: 'fail', max: 0, window: 'day' });
    const rpc = (name: string, args: object, key = world.home.alice.key) =>
      rig.rpc(`/mcp/${serverId}`, { method: 'tools/call', params: { name, arguments: args } }, { key });
    const echo = { connectorId: 'demo', actionId: 'echo', parameters: { text: 'hi' } };
    const blocked = await rpc('execute_action_alloy', echo);
    expect(blocked.status).toBe(429);
    expect(blocked.body.error).toMatchObject({ code: 429, data: { code: 'RATE_LIMITED', executed: 'no' } });
    expect(okOf([await alice()])).toBe(1);
    const failing = await rig.send('/mcp/tool/call', {
      key: world.home.alice.key,
      body: { ...callBody, methodName: 'fail' },
    });
    expect(failing.status).toBe(429);
    await clear();
    expect((await rpc('execute_action_alloy', echo)).status).toBe(200);
  });

  it('counts members of a group, in this gateway at once', async () => {
    const { accountId, alice: person } = world.home;
    await rig.sql(
      accountId,
      `with g as (insert into groups (id, account_id, name) values ('grp_interns', $1, 'interns') returning id)
       select id from g`,
      [accountId],
    );
    await rig.sql(
      accountId,
      `insert into group_members (account_id, group_id, user_id) values ($1, 'grp_interns', $2)`,
      [accountId, person.userId],
    );
    // Any change of the user tells the caches.
    await rig.manage('PUT', '/users/alice/mcp-access', {});
    await limit({ groupId: 'grp_interns', max: 1, window: 'day' });
    expect(okOf([await alice(), await alice(), await bob(), await bob()])).toBe(3);
  });

  it('leaves each refusal in the trail with the limit that refused', async () => {
    const limitId = await limit({ userId: 'alice', max: 0, window: 'day' });
    const requestId = `limited-${limitId}`;
    const answer = await rig.send('/mcp/tool/call', {
      key: world.home.enterprise,
      body: { ...callBody, username: 'alice' },
      headers: { 'x-request-id': requestId },
    });
    expect(answer.status).toBe(429);
    const events = async (): Promise<Json[]> => (await rig.manage('GET', `/api/audit?requestId=${requestId}`)).events;
    await expect.poll(events).toMatchObject([
      {
        action: 'call.refuse',
        outcome: 'refused',
        reason: `rate_limit:${limitId}`,
        userId: world.home.alice.userId,
        attemptedUser: 'alice',
      },
    ]);
    const { calls } = await rig.manage('GET', '/api/calls?limit=1');
    expect(calls[0]?.requestId).not.toBe(requestId);
  });

  it('refuses limits about what is not there, or belongs to another account', async () => {
    const post = (body: object) => rig.send('/api/limits', { key: rig.admin, body: { max: 1, window: 60, ...body } });
    const codes: unknown[] = [];
    for (const body of [
      { userId: world.other.alice.userId },
      { groupId: 'grp_nothing' },
      { serverId: world.other.server.serverId },
      { connectorId: 'nothing' },
      { action: 'echo' },
    ])
      codes.push((await post(body)).body.error.code);
    expect(codes).toEqual(['USER_NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND', 'UNPROCESSABLE']);
    expect((await rig.manage('GET', '/api/limits')).limits).toEqual([]);
  });

  it('counts of past days are swept, those of today stay', async () => {
    const limitId = await limit({ userId: 'alice', max: 5, window: 'day' });
    await alice();
    await rig.sql(
      world.home.accountId,
      `insert into quota_counters (account_id, limit_id, subject, day, used) select account_id, limit_id, subject, day - 2, 3
       from quota_counters where limit_id = $1`,
      [limitId],
    );
    const { sweepQuotas } = await import('../../packages/server/src/rate-limits/quotas.ts');
    const { installationScope, withScope } = await import('../../packages/server/src/db/scope.ts');
    await withScope(rig.gateway.gateway.parts.db, installationScope, sweepQuotas);
    expect(await used(limitId)).toBe(1);
  });
});

describe('a daily quota', () => {
  it('of 37 admits exactly 37 of 100 calls on two gateways over one PostgreSQL', async () => {
    const database = await openTestDatabase('postgres');
    const first = await startRig({ database, env });
    const shared: TestDatabase = { ...database, close: async () => undefined };
    const second = await startRig({ database: shared, env });
    const world = await addFixtures(first);
    try {
      await first.manage('POST', '/api/limits', { max: 37, window: 'day', shared: true });
      // The other one has the limit within its cache's life.
      await expect
        .poll(async () => (await direct(second, world.home.bob.key)).headers.get('ratelimit'), { timeout: 20_000 })
        .toMatch(/^"lim_/);
      const spent = await first.sql<{ used: number }>(world.home.accountId, 'select used from quota_counters');
      const keys = [world.home.alice.key, world.home.bob.key];
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) => direct(i % 2 ? first : second, keys[(i >> 1) % 2] as string)),
      );
      expect((spent[0]?.used ?? 0) + okOf(answers)).toBe(37);
      const counted = await first.sql<{ used: number }>(world.home.accountId, 'select used from quota_counters');
      expect(counted).toEqual([{ used: 37 }]);
    } finally {
      await second.close();
      await first.close();
      await world.close();
    }
  });

  it('goes on where it was after a restart', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'valet-limits-'));
    const database: TestDatabase = { kind: 'pglite', url: `pglite:${join(dir, 'data')}`, close: async () => undefined };
    try {
      let rig = await startRig({ database, env });
      const world = await addFixtures(rig);
      await rig.manage('POST', '/api/limits', { userId: 'alice', max: 5, window: 'day' });
      expect(okOf([await direct(rig, world.home.alice.key), await direct(rig, world.home.alice.key)])).toBe(2);
      await rig.close();
      rig = await startRig({ database, env });
      const after = await Promise.all(Array.from({ length: 10 }, () => direct(rig, world.home.alice.key)));
      expect(okOf(after)).toBe(3);
      await rig.close();
      await world.close();
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

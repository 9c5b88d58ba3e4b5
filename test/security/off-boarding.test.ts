// One request ends a user's access everywhere: what signs in, what is open, what runs, what is stored, and what providers gave out. With a real
// OpenID provider, a scripted one for its bad days, and real local processes.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../support/database.ts';
import type { Answer, Json, Rig } from '../support/gateway.ts';
import { startRig } from '../support/gateway.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { startOAuthStage } from '../upstreams/oauth-stage.ts';
import { callEcho, isGood, startRefreshStage, until } from '../upstreams/refresh-stage.ts';
import { writeCatalogue } from '../upstreams/stdio-catalogue-file.ts';
import { running, serversFolder } from '../upstreams/stdio-fixture.ts';
import { openListen, openSession } from './support/open-streams.ts';
import { noLimits } from './support/world.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const offboard = (rig: Rig, username: string): Promise<Json> => rig.manage('POST', `/api/users/${username}/offboard`);
const rowsOf = async (rig: Rig, account: string, userId: string): Promise<Record<string, number>> => {
  const tables = ['credentials', 'secrets', 'data_keys', 'claims'];
  const counts = tables.map((table) => `(select count(*)::int from ${table} where user_id = $1) as ${table}`);
  const [row] = await rig.sql<Record<string, number>>(account, `select ${counts.join(', ')}`, [userId]);
  return row ?? {};
};

describe('off-boarding with a real provider', () => {
  it('ends keys, tokens, links, credentials and the data key in one step, revokes the grant, and gives a receipt; again it finds nothing left', async () => {
    const stage = await startOAuthStage();
    closing.push(() => stage.close());
    const { rig, provider, keys, accountId } = stage;
    const { credentialId, oauthUrl } = await stage.link('alice');
    await stage.connect('alice', 'alice@provider', oauthUrl);
    const open = await stage.link('alice');
    expect(isGood(await callEcho(rig, 'alice', keys.alice))).toBe(true);
    const { token } = await rig.manage('POST', '/api/tokens', { userId: 'alice' });
    const { user_id: userId } = await rig.manage('GET', '/users/alice');

    const receipt = await offboard(rig, 'alice');

    expect(receipt).toMatchObject({
      status: 'offboarded',
      userId,
      username: 'alice',
      keysRevoked: 1,
      tokensRevoked: 1,
      linksEnded: 1,
      credentialsDeleted: 2,
      dataKeysDestroyed: 1,
    });
    const outcomes = receipt.grants.map((grant: Json) => [grant.credentialId, grant.outcome]).sort();
    expect(outcomes).toEqual(
      [
        [credentialId, 'revoked'],
        [open.credentialId, 'not_offered'],
      ].sort(),
    );
    expect(provider.requests.filter((request) => request === 'POST /token/revocation')).toHaveLength(2);
    expect(provider.errors).toEqual([]);
    expect(await rowsOf(rig, accountId, userId)).toEqual({ credentials: 0, secrets: 0, data_keys: 0, claims: 0 });
    for (const key of [keys.alice, token]) expect((await callEcho(rig, 'alice', key)).status).toBe(401);
    expect((await callEcho(rig, 'alice', rig.admin)).status).toBe(403);
    expect((await rig.send(new URL(open.oauthUrl).pathname)).status).toBeGreaterThanOrEqual(400);
    // Bob is none of it.
    const bobs = await stage.link('bob');
    await stage.connect('bob', 'bob@provider', bobs.oauthUrl);
    expect(isGood(await callEcho(rig, 'bob', keys.bob))).toBe(true);

    const { events } = await rig.manage('GET', '/api/audit?userId=alice&action=user.offboard');
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      outcome: 'ok',
      userId,
      details: { keys: 1, tokens: 1, data_keys: 1, grants: 2 },
    });
    expect(events[0].eventId ?? events[0].id).toBe(receipt.eventId);
    const told = await rig.manage('GET', '/api/audit?action=user.offboard_grants');
    expect(told.events[0]).toMatchObject({ target: receipt.eventId });

    const again = await offboard(rig, 'alice');
    expect(again).toMatchObject({
      offboardedAt: receipt.offboardedAt,
      keysRevoked: 0,
      tokensRevoked: 0,
      linksEnded: 0,
      credentialsDeleted: 0,
      dataKeysDestroyed: 0,
      grants: [],
    });
    expect(Object.keys(again).sort()).toEqual(Object.keys(receipt).sort());
    expect(again.eventId).not.toBe(receipt.eventId);

    // Who comes back finds nothing but the name.
    await rig.manage('PATCH', '/users/alice/enable', { enabled: true });
    expect((await callEcho(rig, 'alice', keys.alice)).status).toBe(401);
    expect((await rig.manage('GET', '/api/credentials?userId=alice')).credentials).toEqual([]);
    expect((await callEcho(rig, 'alice', rig.admin)).status).toBe(409);
  });
});

describe('off-boarding and a provider on a bad day', () => {
  it.each(['error-500', 'hang'] as const)(
    'ends everything here within seconds and says that the grant was not revoked (%s)',
    async (mood) => {
      const stage = await startRefreshStage();
      closing.push(() => stage.close());
      const { credentialId, key } = await stage.deposit('alice', { expiresIn: 3600 });
      stage.provider.mood = mood;
      const started = performance.now();
      let isPending = true;
      const pending = offboard(stage.rig, 'alice').finally(() => {
        isPending = false;
      });
      expect(await until(async () => (await stage.rig.send('/api/me', { key })).status === 401, 4_500)).toBe(true);
      // Long before the provider has answered, where it takes its time.
      expect(isPending || mood !== 'hang').toBe(true);
      const receipt = await pending;
      expect(performance.now() - started).toBeLessThan(15_000);
      expect(receipt.grants).toEqual([{ credentialId, connectorId: 'mail', outcome: 'failed' }]);
      const told = await stage.rig.manage('GET', '/api/audit?action=user.offboard_grants');
      expect(told.events[0]).toMatchObject({
        target: receipt.eventId,
        details: { grants: [{ credential: credentialId, outcome: 'failed' }] },
      });
    },
  );

  it('revokes also what a renewal brings that is under way', async () => {
    const stage = await startRefreshStage();
    closing.push(() => stage.close());
    const { key } = await stage.deposit('alice');
    stage.provider.delayMs = 800;
    const call = callEcho(stage.rig, 'alice', key);
    expect(await until(() => stage.provider.pending > 0)).toBe(true);
    await offboard(stage.rig, 'alice');
    await call;
    expect(stage.provider.refreshes).toHaveLength(1);
    expect(await until(() => stage.provider.living() === 0, 3_000)).toBe(true);
  });
});

describe('off-boarding', () => {
  it('leaves sealed values that nothing opens: put back into the database, they are not sent anywhere', async () => {
    const upstream = await startRecordingUpstream({ record: true });
    const rig = await startRig({ env: noLimits });
    closing.push(
      () => upstream.close(),
      () => rig.close(),
    );
    await rig.manage('POST', '/api/connectors', {
      connectorId: 'demo',
      kind: 'mcp-http',
      url: upstream.url,
      secretNames: ['TOKEN'],
      inject: { headers: { authorization: 'Bearer {{TOKEN}}' } },
    });
    await rig.manage('POST', '/users', { username: 'alice' });
    await rig.manage('POST', '/secrets/set', {
      username: 'alice',
      serverName: 'demo',
      secretName: 'TOKEN',
      secretValue: 'not-to-be-seen-again',
    });
    const call = (): Promise<Answer> =>
      rig.send('/mcp/tool/call', {
        key: rig.admin,
        body: { username: 'alice', serverName: 'demo', methodName: 'whoami', args: {} },
      });
    expect((await call()).status).toBe(200);
    await rig.asOwner(
      'create table kept_credentials as select * from credentials; create table kept_secrets as select * from secrets',
    );
    await offboard(rig, 'alice');
    await rig.asOwner(
      'insert into credentials select * from kept_credentials; insert into secrets select * from kept_secrets',
    );
    await rig.manage('PATCH', '/users/alice/enable', { enabled: true });
    const sent = upstream.recorded.length;
    const answer = await call();
    expect([answer.status >= 400, upstream.recorded.length]).toEqual([true, sent]);
  });

  it('refuses the user default and an unknown user, and needs a key that manages the account', async () => {
    const rig = await startRig();
    closing.push(() => rig.close());
    await rig.manage('POST', '/users', { username: 'alice' });
    const { api_key } = await rig.manage('POST', '/users/alice/keys', { key_name: 'k' });
    const ask = (username: string, key = rig.admin) =>
      rig.send(`/api/users/${username}/offboard`, { method: 'POST', key });
    expect((await ask('default')).status).toBe(409);
    expect((await ask('nobody')).status).toBe(404);
    expect((await ask('alice', api_key)).status).toBe(403);
    expect((await rig.send('/api/me', { key: api_key })).status).toBe(200);
  });

  it('takes the tokens along that the user’s own backend key had minted for others', async () => {
    const rig = await startRig();
    closing.push(() => rig.close());
    for (const username of ['alice', 'bob']) await rig.manage('POST', '/users', { username });
    const { api_key } = await rig.manage('POST', '/users/alice/keys', { key_name: 'k', kind: 'enterprise' });
    const { token } = await rig.manage('POST', '/api/tokens', { userId: 'bob' }, api_key);
    const list = () => rig.rpc('/mcp', { method: 'tools/list' }, { key: token });
    expect((await list()).status).toBe(200);
    expect(await offboard(rig, 'alice')).toMatchObject({ keysRevoked: 1, tokensRevoked: 1 });
    expect((await list()).status).toBe(401);
  });
});

describe.each([
  ['off-boarding', (rig: Rig) => offboard(rig, 'alice')],
  ['disabling', (rig: Rig) => rig.manage('PATCH', '/users/alice/enable', { enabled: false })],
  ['deleting', (rig: Rig) => rig.manage('DELETE', '/users/alice')],
])('%s a user', (_, end) => {
  it('ends sessions, streams of both eras, calls that run and processes of local servers, and nobody else’s', async () => {
    const marker = `off-${Math.random().toString(36).slice(2)}`;
    const catalogue = writeCatalogue({
      plain: {
        command: process.execPath,
        args: [`${serversFolder}/plain.mjs`, 'plain', marker],
        env: ['TOKEN'],
        files: [serversFolder],
      },
    });
    const upstream = await startRecordingUpstream();
    const rig = await startRig({
      database: await openTestDatabase('postgres'),
      env: { ...noLimits, VALET_STDIO_CATALOG: catalogue.file },
    });
    closing.push(
      () => upstream.close(),
      () => rig.close(),
      () => catalogue.remove(),
    );
    await rig.manage('POST', '/api/connectors', {
      connectorId: 'local',
      kind: 'mcp-stdio',
      entry: 'plain',
      secretNames: ['TOKEN'],
    });
    await rig.manage('POST', '/api/connectors', { connectorId: 'far', kind: 'mcp-http', url: upstream.url });
    const { url } = await rig.manage('POST', '/api/servers', { name: 'all', mode: 'direct', sessions: 'always' });
    const people = await Promise.all(
      ['alice', 'bob'].map(async (username) => {
        await rig.manage('POST', '/users', { username });
        const { api_key: key } = await rig.manage('POST', `/users/${username}/keys`, { key_name: 'k' });
        await rig.manage('POST', '/secrets/set', {
          username,
          serverName: 'local',
          secretName: 'TOKEN',
          secretValue: `${username}-token`,
        });
        const call = (serverName: string, methodName: string, args: object) =>
          rig.send('/mcp/tool/call', { key, body: { serverName, methodName, args } });
        expect((await call('local', 'whoami', { n: 1 })).status).toBe(200);
        const listen = await openListen(url, key);
        const session = await openSession(url, key);
        let isRunning = true;
        // Long enough for the other's end to be seen on a busy machine.
        const slow = call('far', 'slow', { ms: 12_000 }).finally(() => {
          isRunning = false;
        });
        return { key, slow, isRunning: () => isRunning, listen, session };
      }),
    );
    const [alice, bob] = people as [(typeof people)[0], (typeof people)[0]];
    const processes = running(marker).length;
    expect(processes).toBeGreaterThanOrEqual(2);
    await sleep(300);
    expect([alice.listen.isOpen(), alice.session.isOpen(), alice.isRunning()]).toEqual([true, true, true]);

    await end(rig);

    const isOver = () =>
      !alice.listen.isOpen() &&
      !alice.session.isOpen() &&
      !alice.isRunning() &&
      running(marker).length === processes / 2;
    expect([
      await until(isOver, 5_000),
      alice.listen.isOpen(),
      alice.session.isOpen(),
      alice.isRunning(),
      running(marker).length,
    ]).toEqual([true, false, false, false, processes / 2]);
    expect((await alice.slow).status).toBeGreaterThanOrEqual(400);
    expect([bob.listen.isOpen(), bob.session.isOpen(), bob.isRunning()]).toEqual([true, true, true]);
    expect((await bob.slow).status).toBe(200);
    for (const { listen, session } of people) {
      listen.stop();
      session.stop();
    }
  });
});

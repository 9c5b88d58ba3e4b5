// The gateway's side of safe retries, and the SDK on it: who is told the promise, what a re-send from another segment of the journal gets, and what
// is left of an answer that was lost.
import { AnswerLostError, OutcomeUnknownError } from '@mcp-valet/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { type Answer, addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';

const header = 'valet-idempotency';
const call = (marker: string) => ({
  method: 'tools/call',
  params: { name: 'demo__count', arguments: { marker } },
});
const refusalOf = (answer: Answer) => answer.body?.result?._meta?.['mcp-valet/error']?.code;

describe.each(testDatabases())('idempotency on $kind', ({ kind, open }) => {
  let rig: Rig;
  let fixtures: Fixtures;
  let server: string;
  let epoch: string;
  let last = 0;
  const unique = (what: string) => `${what}-${++last}`;

  beforeAll(async () => {
    rig = await startRig({ database: await open(), env: { VALET_RATE_LIMIT: '100000' } });
    fixtures = await addFixtures(rig);
    const made = await rig.manage('POST', '/api/servers', { name: 'direct', mode: 'direct' }, fixtures.home.enterprise);
    server = `/mcp/${made.serverId}`;
    const me = await rig.send('/api/me', { key: rig.admin });
    epoch = /epoch="([^"]+)"/.exec(me.headers.get(header) ?? '')?.[1] ?? '';
  });
  afterAll(async () => {
    await fixtures?.close();
    await rig?.close();
  });

  it('is promised on every reply to somebody who is signed in, errors included', async () => {
    const { alice, enterprise, server: opened } = fixtures.home;
    const asAlice = { key: enterprise, headers: { 'x-alloy-userid': 'alice' } };
    const answers: Record<string, Answer> = {
      'a read': await rig.send('/api/me', { key: alice.key }),
      'a missing object': await rig.send('/api/servers/none', { key: enterprise }),
      'a key of the wrong kind': await rig.send('/api/accounts', { key: alice.key }),
      'an invalid body': await rig.send('/api/servers', { key: enterprise, body: { nonsense: 1 } }),
      'no JSON': await rig.send('/api/servers', {
        key: enterprise,
        method: 'POST',
        body: '{',
        headers: { 'content-type': 'application/json' },
      }),
      'a direct call': await rig.send('/mcp/tool/call', {
        key: enterprise,
        body: { username: 'alice', serverName: 'demo', methodName: 'whoami' },
      }),
      'a refused direct call': await rig.send('/mcp/tool/call', {
        key: enterprise,
        body: { username: 'nobody', serverName: 'demo', methodName: 'whoami' },
      }),
      'a tool call': await rig.rpc(server, call(unique('m')), asAlice),
      'a call in the other lane': await rig.rpc(
        server,
        { method: 'tools/call', params: { name: 'demo__whoami', arguments: {}, _meta: { progressToken: 1 } } },
        asAlice,
      ),
      'a ping': await rig.rpc(server, { method: 'ping' }, asAlice),
      'a ping at a tokenized URL': await rig.rpc(new URL(opened.accessUrl).pathname, { method: 'ping' }),
      'an unknown user': await rig.rpc(
        server,
        { method: 'ping' },
        { key: enterprise, headers: { 'x-alloy-userid': 'nobody' } },
      ),
      'an unknown server': await rig.rpc('/mcp/none', { method: 'ping' }, asAlice),
      'an unknown method': await rig.rpc(server, { method: 'none' }, asAlice),
    };
    const expected = `ttl=86400, epoch="${epoch}"${kind === 'postgres' ? ', durable' : ''}`;
    expect(epoch).toMatch(/^[0-9a-f]{32}$/);
    for (const [what, answer] of Object.entries(answers)) expect(answer.headers.get(header), what).toBe(expected);
  });

  it('is promised to nobody else', async () => {
    const answers = [
      await rig.send('/api/me'),
      await rig.send('/api/me', { key: fixtures.dead.revoked }),
      await rig.rpc(server, { method: 'ping' }, { key: fixtures.dead.garbage }),
      await rig.send('/healthz'),
      await rig.send('/none', { key: rig.admin }),
    ];
    expect(answers.map((answer) => answer.headers.get(header))).toEqual(answers.map(() => null));
  });

  describe('a re-send that names its epoch', () => {
    const send = (marker: string, key: string, sent: string) =>
      rig.rpc(server, call(marker), {
        key: fixtures.home.enterprise,
        headers: { 'x-alloy-userid': 'alice', 'idempotency-key': key, 'valet-idempotency-epoch': sent },
      });

    it('is executed in its own segment, though the first attempt never arrived', async () => {
      const marker = unique('m');
      expect((await send(marker, unique('k'), epoch)).body.result.content[0].text).toBe('1');
    });

    it('is not executed in another one: the first attempt may have run where nobody can look', async () => {
      const [marker, key] = [unique('m'), unique('k')];
      expect(refusalOf(await send(marker, key, 'before-the-restore'))).toBe('OUTCOME_UNKNOWN');
      expect(fixtures.upstream.counts().get(marker)).toBeUndefined();
      // Nothing was kept under the key: who knows that it may run sends it as new.
      expect((await send(marker, key, epoch)).body.result.content[0].text).toBe('1');
    });

    it('is answered from what is stored, in whichever segment it was', async () => {
      const [marker, key] = [unique('m'), unique('k')];
      await send(marker, key, epoch);
      const again = await send(marker, key, 'before-the-restore');
      expect([again.headers.get('idempotent-replayed'), again.body.result.content[0].text]).toEqual(['true', '1']);
      expect(fixtures.upstream.counts().get(marker)).toBe(1);
    });

    it('may be made without a key, for then it promises itself nothing', async () => {
      const marker = unique('m');
      const headers = { 'x-alloy-userid': 'alice', 'valet-idempotency-epoch': 'before-the-restore' };
      await rig.rpc(server, call(marker), { key: fixtures.home.enterprise, headers });
      expect(fixtures.upstream.counts().get(marker)).toBe(1);
    });

    it('holds for the direct call', async () => {
      const marker = unique('m');
      const answer = await rig.send('/mcp/tool/call', {
        key: fixtures.home.enterprise,
        body: { username: 'alice', serverName: 'demo', methodName: 'count', args: { marker } },
        headers: { 'idempotency-key': unique('k'), 'valet-idempotency-epoch': 'before-the-restore' },
      });
      expect([answer.status, answer.body.code]).toEqual([409, 'outcome_unknown']);
      expect(fixtures.upstream.counts().get(marker)).toBeUndefined();
    });

    it('holds for a creating POST, and not for one that may run twice', async () => {
      const headers = { 'idempotency-key': unique('k'), 'valet-idempotency-epoch': 'before-the-restore' };
      const username = unique('user');
      const created = await rig.send('/users', { key: rig.admin, body: { username }, headers });
      expect([created.status, created.body.error]).toEqual([409, 'outcome_unknown']);
      expect((await rig.send(`/users/${username}`, { key: rig.admin })).status).toBe(404);
      const body = { username: 'alice', serverName: 'demo', secretName: 'OTHER', secretValue: 'v' };
      expect((await rig.send('/secrets/set', { key: rig.admin, body, headers })).status).toBe(200);
    });

    it('is told to the SDK as OutcomeUnknownError', async () => {
      const sdk = rig.sdk(fixtures.home.enterprise, {
        fetch: (input, init) => {
          const headers = new Headers(init?.headers ?? (input as Request).headers);
          headers.set('valet-idempotency-epoch', 'before-the-restore');
          return fetch(input, { ...init, headers });
        },
      });
      const calling = sdk.executeForUser('alice', 'demo__count', { marker: unique('m') }, { server: server.slice(5) });
      await expect(calling).rejects.toBeInstanceOf(OutcomeUnknownError);
      await expect(calling).rejects.toMatchObject({ state: 'unknown', executed: 'unknown' });
    });
  });

  it('is AnswerLostError for a repetition whose secret was shown once, with what was made', async () => {
    const sdk = rig.sdk(fixtures.home.enterprise);
    const key = { idempotencyKey: unique('k') };
    const made = await sdk.servers.create({ name: 'once' }, key);
    expect(made.accessToken).toBeTypeOf('string');
    const error = await sdk.servers.create({ name: 'once' }, key).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(AnswerLostError);
    expect(error).toMatchObject({ executed: 'yes', resource: { serverId: made.serverId } });
  });

  it('replays what was shown once to nobody, and the rest as it was where nothing was shown', async () => {
    const sdk = rig.sdk(fixtures.home.enterprise);
    const key = { idempotencyKey: unique('k') };
    const deposit = () =>
      sdk.credentials
        .deposit({ userId: 'bob', connectorId: 'demo', authenticationType: 'secrets', fields: { TOKEN: 'tttt' } }, key)
        .withMeta();
    const [first, again] = [await deposit(), await deposit()];
    expect([first.meta.replayed, again.meta.replayed]).toEqual([false, true]);
    expect(again.data).toEqual(first.data);
  });

  it('lets the journal tell by the key what became of a call', async () => {
    const sdk = rig.sdk(fixtures.home.enterprise, { server: server.slice(5) });
    const idempotencyKey = unique('k');
    await sdk.executeForUser('alice', 'demo__count', { marker: unique('m') }, { idempotencyKey });
    const found = await sdk.calls.findByIdempotencyKey(idempotencyKey, { userId: 'alice' });
    expect(found).toMatchObject({ idempotencyKey, outcome: 'ok', username: 'alice' });
    expect(await sdk.calls.findByIdempotencyKey(idempotencyKey, { userId: 'bob' })).toBeUndefined();
    expect(await sdk.calls.findByIdempotencyKey(unique('k'))).toBeUndefined();
  });

  it('marks a replay in both lanes', async () => {
    const sdk = rig.sdk(fixtures.home.enterprise, { server: server.slice(5) });
    for (const onProgress of [undefined, () => undefined]) {
      const [marker, idempotencyKey] = [unique('m'), unique('k')];
      const run = () =>
        sdk
          .executeForUser('alice', 'demo__count', { marker }, { idempotencyKey, ...(onProgress && { onProgress }) })
          .withMeta();
      const [first, again] = [await run(), await run()];
      expect([first.meta.replayed, again.meta.replayed]).toEqual([false, true]);
      expect(again.data.text()).toBe('1');
    }
  });
});

// What belongs to somebody else: another account's objects look exactly like missing ones, another user's are out of reach of a standard key.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import type { Json } from '../support/gateway.ts';
import { codeOf, type Stage, sendWire, startStage, unique, withoutRequestId } from './stage.ts';
import { managed, type Row } from './table.ts';

const masked = managed.flatMap((row) =>
  Object.entries(row.sample.masked ?? {}).map(([what, requests]) => ({ ...row, what, requests })),
);
const ofOthers = managed.flatMap((row: Row) => (row.sample.othersUser ? [{ ...row, ...row.sample.othersUser }] : []));

describe.each(testDatabases())('what belongs to others on $kind', ({ open }) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage(open);
  });
  afterAll(() => stage?.close());

  describe.each(masked)('$id: the $what of another account', ({ route, requests }) => {
    it.each((['adm', 'ent'] as const).filter((kind) => route.access.includes(kind)))(
      'is answered to an %s key like one that is nowhere, byte for byte',
      async (kind) => {
        const key = kind === 'adm' ? stage.home.admin : stage.home.enterprise;
        const foreign = await sendWire(stage, route, await requests.foreign(stage), { key });
        const missing = await sendWire(stage, route, await requests.missing(stage), { key });
        expect(foreign.status).toBe(404);
        expect(withoutRequestId(foreign)).toBe(withoutRequestId(missing));
        const names = (headers: Headers) =>
          [...headers.keys()].filter((name) => !/^(date|x-ratelimit|ratelimit)/.test(name)).sort();
        expect(names(foreign.headers)).toEqual(names(missing.headers));
        expect(foreign.headers.get('content-length')).toBe(missing.headers.get('content-length'));
      },
    );
  });

  it('stays as it was after all of these requests', async () => {
    const { other, rig } = stage;
    expect(await rig.manage('GET', '/users/alice', undefined, other.admin)).toMatchObject({
      enabled: true,
      mcp_allowed: [],
      mcp_blocked: [],
    });
    expect(await rig.manage('GET', `/api/servers/${other.server.serverId}`, undefined, other.admin)).toMatchObject({
      description: null,
    });
    expect(
      await rig.manage('GET', `/api/credentials/${other.alice.credentialId}`, undefined, other.admin),
    ).toMatchObject({ label: null });
    expect((await rig.send('/api/me', { key: other.alice.key })).status).toBe(200);
    expect((await rig.rpc(new URL(other.server.accessUrl).pathname, { method: 'tools/list' })).status).toBe(200);
    const { connectors } = await rig.manage('GET', '/api/connectors', undefined, other.admin);
    expect(connectors.every(({ enabled }: Json) => enabled)).toBe(true);
  });

  describe.each(ofOthers)('$id: another user’s, with a standard key', ({ route, wire, status, sample }) => {
    const key = () => stage.home.alice.key;

    it('is refused, and the same request about oneself is not', async () => {
      const answer = await sendWire(stage, route, await wire(stage), { key: key() });
      expect([answer.status, codeOf(answer)]).toEqual([
        status,
        status === 403
          ? expect.stringMatching(/^(FORBIDDEN|ACCESS_DENIED|NOT_ALLOWED)$/)
          : expect.stringMatching(/NOT_FOUND$/),
      ]);
      const own = await sendWire(stage, route, (await sample.own?.(stage)) ?? {}, { key: key() });
      expect(own.status, own.text).toBe(route.status);
      expect(own.text).not.toContain(stage.home.bob.userId);
    });

    it('leaves an audit event when it named the user', async () => {
      const requestId = unique('others');
      await sendWire(stage, route, await wire(stage), { key: key(), headers: { 'x-request-id': requestId } });
      const events = () =>
        stage.rig
          .manage('GET', `/api/audit?requestId=${requestId}`)
          .then((page) => page.events.map(({ outcome, attemptedUser }: Json) => [outcome, attemptedUser]));
      const isEvent = status === 403 || route.audit !== null;
      await expect.poll(events).toEqual(isEvent ? [['refused', status === 403 ? 'bob' : null]] : []);
    });
  });

  it('is untouched: bob’s credential and secret still work', async () => {
    const { bob, admin } = stage.home;
    expect(await stage.rig.manage('GET', `/api/credentials/${bob.credentialId}`, undefined, admin)).toMatchObject({
      label: null,
      isDefault: true,
    });
    const answer = await stage.rig.send('/mcp/tool/call', {
      key: bob.key,
      body: { serverName: 'demo', methodName: 'whoami' },
    });
    expect(answer.status).toBe(200);
    expect(stage.upstream.recorded.at(-1)?.headers.authorization).toBe(`Bearer ${bob.canary}`);
  });
});

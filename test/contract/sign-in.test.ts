// Who may call: every route of the contract with no key, with keys that open nothing, and with keys of the wrong kind.
import { apiError, secretsError, usersError } from '@mcp-valet/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import type { Answer, Json } from '../support/gateway.ts';
import { codeOf, type Stage, sendWire, startStage, unique, withoutRequestId } from './stage.ts';
import { headerKinds, keyOf, managed } from './table.ts';

const envelopes = { api: apiError, users: usersError, secrets: secretsError };

describe.each(testDatabases())('sign-in on $kind', ({ open }) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage(open);
  });
  afterAll(() => stage?.close());

  const expectRefusal = (answer: Answer, status: number, code: string, dialect: keyof typeof envelopes): void => {
    expect(answer.status).toBe(status);
    expect(codeOf(answer)).toBe(code);
    expect(envelopes[dialect].safeParse(answer.body).success, answer.text).toBe(true);
    expect(answer.headers.get('x-request-id')).toBe(answer.body.requestId ?? answer.body.request_id);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('x-should-retry')).toBe('false');
  };

  describe.each(managed)('$id', ({ route }) => {
    it('refuses a request without a key', async () => {
      const answer = await sendWire(stage, route, {});
      expectRefusal(answer, 401, 'UNAUTHORIZED', route.dialect);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    });

    it('refuses every bad key with the same bytes', async () => {
      const none = withoutRequestId(await sendWire(stage, route, {}));
      const { garbage, revoked, expired, deleted } = stage.dead;
      for (const key of [garbage, revoked, expired, deleted, `${stage.home.admin}x`]) {
        expect(withoutRequestId(await sendWire(stage, route, {}, { key }))).toBe(none);
      }
    });

    it('refuses a server’s token as a key, and a second identity', async () => {
      expect((await sendWire(stage, route, {}, { key: stage.home.server.accessToken })).status).toBe(403);
      const twice = { key: stage.home.admin, headers: { 'x-alloy-user-token': 'eyJ.eyJ.x' } };
      expect((await sendWire(stage, route, {}, twice)).status).toBe(401);
      expect((await sendWire(stage, route, {}, { headers: { authorization: 'Basic YTpi' } })).status).toBe(400);
    });

    it('refuses the key of a disabled user', async () => {
      expectRefusal(
        await sendWire(stage, route, {}, { key: stage.dead.disabled }),
        403,
        'USER_DISABLED',
        route.dialect,
      );
    });
  });

  const wrongKinds = managed.flatMap((row) =>
    headerKinds.filter((kind) => !row.route.access.includes(kind)).map((kind) => ({ ...row, kind })),
  );
  describe.each(wrongKinds)('$id with a key of kind $kind', ({ route, sample, kind }) => {
    it('is refused, with an event in the trail when it would have changed something', async () => {
      const requestId = unique('wrong');
      const request = { key: keyOf(stage, kind), headers: { 'x-request-id': requestId } };
      expectRefusal(await sendWire(stage, route, await sample.valid(stage), request), 403, 'FORBIDDEN', route.dialect);
      const { events } = await stage.rig.manage('GET', `/api/audit?requestId=${requestId}`);
      expect(events.map(({ action, outcome, actor }: Json) => [action, outcome, actor.kind])).toEqual(
        route.audit === null ? [] : [[route.audit, 'refused', kind]],
      );
    });
  });

  it('keeps accounts to the admin keys of the account `default`', async () => {
    const key = stage.other.admin;
    expect((await stage.rig.send('/api/accounts', { key })).status).toBe(403);
    expect((await stage.rig.send('/api/accounts', { key, body: { name: unique('account') } })).status).toBe(403);
  });
});

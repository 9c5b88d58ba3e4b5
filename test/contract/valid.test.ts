// A valid request to every route: status, reply by the contract's schema, headers, and the audit event in the same transaction.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import type { Answer, Json } from '../support/gateway.ts';
import { type Stage, sendWire, startStage, unique } from './stage.ts';
import { keyOf, managed, open as openRoutes } from './table.ts';

describe.each(testDatabases())('a valid request on $kind', ({ open }) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage(open);
  });
  afterAll(() => stage?.close());

  const events = async (requestId: string): Promise<Json[]> =>
    (await stage.rig.manage('GET', `/api/audit?requestId=${requestId}`)).events;
  const expectReply = (
    answer: Answer,
    { status, reply }: { status: number; reply: { safeParse(value: unknown): { success: boolean; error?: unknown } } },
  ): void => {
    expect(answer.status, answer.text).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    const parsed = reply.safeParse(answer.body);
    expect(parsed.error).toBeUndefined();
    expect(parsed.success).toBe(true);
  };

  describe.each(managed)('$id', ({ route, sample }) => {
    it('is answered as the contract says', async () => {
      const requestId = unique('valid');
      const answer = await sendWire(stage, route, await sample.valid(stage), {
        key: stage.home.admin,
        headers: { 'x-request-id': requestId },
      });
      expectReply(answer, route);
      expect(answer.headers.get('x-request-id')).toBe(requestId);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(answer.headers.get('ratelimit')).toMatch(/^"(management|user)";r=\d+;t=\d+$/);
      expect(answer.headers.get('ratelimit-policy')).toMatch(/^"(management|user)";q=\d+;w=\d+$/);
      expect(answer.headers.get('x-ratelimit-remaining')).toMatch(/^\d+$/);
      expect(answer.headers.get('set-cookie')).toBeNull();
      expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    });

    it('replaces a malformed request id by one of its own', async () => {
      const answer = await sendWire(stage, route, await sample.valid(stage), {
        key: stage.home.admin,
        headers: { 'x-request-id': 'not well formed' },
      });
      expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
    });

    it(`leaves ${route.audit ?? 'no event'} in the trail by the time it is answered`, async () => {
      const requestId = unique('audit');
      const { keyId } = await stage.rig.manage('GET', '/api/me');
      await sendWire(stage, route, await sample.valid(stage), {
        key: stage.home.admin,
        headers: { 'x-request-id': requestId },
      });
      const found = await events(requestId);
      const event = {
        action: route.audit,
        outcome: 'ok',
        actor: { keyId, kind: 'adm' },
        requestId,
        target: expect.stringMatching(/./),
      };
      expect(found).toMatchObject(route.audit === null ? [] : [event]);
    });
  });

  describe.each(managed.filter(({ route }) => route.access.includes('ent')))(
    '$id with an enterprise key',
    ({ route, sample }) => {
      it('is answered as the contract says', async () => {
        expectReply(await sendWire(stage, route, await sample.valid(stage), { key: keyOf(stage, 'ent') }), route);
      });
    },
  );

  describe.each(managed.filter(({ route }) => route.access.includes('std')))(
    '$id with a standard key',
    ({ route, sample }) => {
      it('is answered for its own user as the contract says', async () => {
        expectReply(
          await sendWire(stage, route, (await sample.own?.(stage)) ?? {}, { key: keyOf(stage, 'std') }),
          route,
        );
      });
    },
  );

  describe.each(openRoutes)('$id', ({ route, sample }) => {
    it('is answered without a key, and also with a bad one', async () => {
      expectReply(await sendWire(stage, route, await sample.valid(stage)), route);
      expectReply(await sendWire(stage, route, await sample.valid(stage), { key: stage.dead.garbage }), route);
    });
  });

  it('leaves a call in the journal', async () => {
    const headers = { 'x-request-id': unique('call') };
    await stage.rig.send('/mcp/tool/call', {
      key: stage.home.alice.key,
      headers,
      body: { serverName: 'demo', methodName: 'echo', args: {} },
    });
    const { calls } = await stage.rig.manage('GET', '/api/calls?limit=1');
    expect(calls[0]).toMatchObject({
      requestId: headers['x-request-id'],
      username: 'alice',
      tool: 'echo',
      outcome: 'ok',
      lane: 'rest',
      actorKeyId: stage.home.alice.keyId,
    });
  });
});

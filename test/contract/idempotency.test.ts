// Idempotency-Key on every POST: the same request again is answered, not carried out; another request under the key is refused; what is shown
// once is shown once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import type { Answer, Json } from '../support/gateway.ts';
import { codeOf, type Stage, sendWire, startStage, unique } from './stage.ts';
import { keyOf, posts } from './table.ts';

/** Without what the replay of a call adds to the tool's result. */
const bare = (body: Json): Json => {
  if (body?.data?._meta === undefined) return body;
  const { _meta, ...data } = body.data;
  return { ...body, data };
};

describe.each(testDatabases())('Idempotency-Key on $kind', ({ open }) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage(open);
  });
  afterAll(() => stage?.close());

  const eventsOf = async (requestId: string, action: string): Promise<Json[]> =>
    (await stage.rig.manage('GET', `/api/audit?requestId=${requestId}&outcome=ok&action=${action}`)).events;

  describe.each(posts)('$id', ({ route, sample }) => {
    const send = async (wire: object, key: string, requestId = unique('r')): Promise<Answer> =>
      sendWire(stage, route, wire, {
        key: stage.home.admin,
        headers: { 'idempotency-key': key, 'x-request-id': requestId },
      });

    it('carries out once and answers twice, but for what is shown once', async () => {
      const [wire, key] = [await sample.valid(stage), unique('key')];
      const first = await send(wire, key, `${key}-1`);
      const again = await send(wire, key, `${key}-2`);
      expect([first.status, first.headers.get('idempotent-replayed')]).toEqual([route.status, null]);
      expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([route.status, 'true']);
      expect(again.headers.get('x-request-id')).toBe(`${key}-2`);
      const shown = { ...first.body };
      for (const name of route.oneTime ?? []) {
        expect(shown[name], name).toBeTypeOf('string');
        expect(again.body[name] ?? null, name).toBeNull();
        expect(again.text).not.toContain(shown[name]);
        delete shown[name];
      }
      expect(bare(again.body)).toMatchObject(shown);
      expect(route.reply.safeParse(again.body).success, again.text).toBe(true);
      const action = route.audit ?? 'none';
      expect((await eventsOf(`${key}-1`, action)).length).toBe(route.audit === null ? 0 : 1);
      expect(await eventsOf(`${key}-2`, action)).toEqual([]);
    });

    it('refuses another request under the key', async () => {
      const key = unique('key');
      expect((await send(await sample.valid(stage), key)).status).toBe(route.status);
      const other = await send(await sample.valid(stage), key);
      expect([other.status, codeOf(other)]).toEqual([422, 'IDEMPOTENCY_MISMATCH']);
    });

    it('does not keep a refusal under the key', async () => {
      const key = unique('key');
      const refused = await send({ ...(await sample.valid(stage)), query: { nonsense: '1' } }, key);
      expect(refused.status).toBe(400);
      const answer = await send(await sample.valid(stage), key);
      expect([answer.status, answer.headers.get('idempotent-replayed')]).toEqual([route.status, null]);
    });

    it('refuses a key that is none', async () => {
      const wire = await sample.valid(stage);
      for (const key of ['with space', 'x'.repeat(256)]) expect((await send(wire, key)).status, key).toBe(400);
    });
  });

  it('is of one account: the same key does its own work in another', async () => {
    const request = { body: { username: unique('user') }, headers: { 'idempotency-key': unique('key') } };
    const [here, there] = [
      await stage.rig.send('/users', { ...request, key: stage.home.admin }),
      await stage.rig.send('/users', { ...request, key: stage.other.admin }),
    ];
    expect([here.status, there.status]).toEqual([201, 201]);
    expect(there.headers.get('idempotent-replayed')).toBeNull();
    expect(there.body.user_id).not.toBe(here.body.user_id);
  });

  it('is of one strength: what an admin key did is not replayed to another kind', async () => {
    const request = { body: { username: unique('user') }, headers: { 'idempotency-key': unique('key') } };
    await stage.rig.send('/users', { ...request, key: stage.home.admin });
    expect(codeOf(await stage.rig.send('/users', { ...request, key: keyOf(stage, 'ent') }))).toBe(
      'IDEMPOTENCY_MISMATCH',
    );
  });

  it('lets one of many simultaneous requests through', async () => {
    const [username, key] = [unique('user'), unique('key')];
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        stage.rig.send('/users', { key: stage.home.admin, body: { username }, headers: { 'idempotency-key': key } }),
      ),
    );
    const made = answers.filter(({ status }) => status === 201);
    expect(made.filter(({ headers }) => headers.get('idempotent-replayed') === null)).toHaveLength(1);
    expect(new Set(made.map(({ body }) => body.user_id)).size).toBe(1);
    expect(answers.filter(({ status }) => status !== 201).map(codeOf)).toEqual(
      answers.filter(({ status }) => status !== 201).map(() => 'IDEMPOTENCY_IN_PROGRESS'),
    );
    const { events } = await stage.rig.manage('GET', '/api/audit?action=user.create&outcome=ok&limit=1000');
    expect(events.filter(({ target }: Json) => target === username)).toHaveLength(1);
  });

  it('executes a tool once however often the call is sent', async () => {
    const [marker, key] = [unique('marker'), unique('key')];
    const body = { username: 'alice', serverName: 'demo', methodName: 'count', args: { marker } };
    const send = () =>
      stage.rig.send('/mcp/tool/call', { key: stage.home.admin, body, headers: { 'idempotency-key': key } });
    const answers = [await send(), await send(), ...(await Promise.all([send(), send()]))];
    expect(answers.map(({ status, body: { data } }) => [status, data.content[0].text])).toEqual(
      answers.map(() => [200, '1']),
    );
    expect(stage.upstream.counts().get(marker)).toBe(1);
  });
});

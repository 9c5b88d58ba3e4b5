// The trail as people search it: filters, one user's history, and whole lists as lines.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import type { Json } from '../support/gateway.ts';
import { newCall } from './make.ts';
import { type Stage, startStage, unique } from './stage.ts';

describe.each(testDatabases())('the trail on $kind', ({ open }) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage(open);
  });
  afterAll(() => stage?.close());

  const get = async (path: string, key = stage.home.admin): Promise<Json> => {
    const answer = await stage.rig.send(path, { key });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  };
  const lines = async (
    path: string,
    key = stage.home.admin,
  ): Promise<{ status: number; type: string | null; rows: Json[]; text: string }> => {
    const answer = await stage.rig.send(path, { key, headers: { accept: 'application/x-ndjson' } });
    const rows =
      answer.status === 200
        ? answer.text
            .split('\n')
            .slice(0, -1)
            .map((line) => JSON.parse(line))
        : [];
    return { status: answer.status, type: answer.headers.get('content-type'), rows, text: answer.text };
  };

  it('finds events by every filter, and nothing that does not fit', async () => {
    const { rig, home } = stage;
    const username = unique('searched');
    await rig.manage('POST', '/users', { username });
    const refused = await rig.send('/users', { key: home.admin, body: { username } });
    expect(refused.status).toBe(409);
    const { events } = await get(`/api/audit?search=${username.toUpperCase()}`);
    expect(events.map((event: Json) => [event.action, event.outcome])).toEqual([
      ['user.create', 'refused'],
      ['user.create', 'ok'],
    ]);
    const [second, first] = events;
    const by = async (query: string) =>
      (await get(`/api/audit?search=${username}&${query}`)).events.map((e: Json) => e.eventId);
    expect(await by('outcome=refused')).toEqual([second.eventId]);
    expect(await by(`reason=${second.reason}`)).toEqual([second.eventId]);
    expect(await by(`requestId=${first.requestId}`)).toEqual([first.eventId]);
    expect(await by(`actorKeyId=${first.actor.keyId}`)).toEqual([second.eventId, first.eventId]);
    expect(await by('actorKeyId=key_of_nobody')).toEqual([]);
    expect(await by(`target=${username}`)).toEqual([second.eventId, first.eventId]);
    expect(await by('action=user.delete')).toEqual([]);
    expect(await by(`from=${new Date(Date.now() + 60_000).toISOString()}`)).toEqual([]);
    // Wildcards of the database are ordinary characters here.
    expect((await get('/api/audit?search=%25')).events).toEqual([]);
    expect((await get(`/api/audit?search=${username.replace(/.$/, '_')}`)).events).toEqual([]);
  });

  it('says of a call who made it, how it was decided and a digest of what was sent', async () => {
    const requestId = await newCall(stage);
    const again = await newCall(stage);
    const [call] = (await get(`/api/calls?requestId=${requestId}`)).calls;
    const [other] = (await get(`/api/calls?requestId=${again}`)).calls;
    expect(call).toMatchObject({
      actorKind: 'adm',
      mintedBy: null,
      decision: 'allowed',
      outcome: 'ok',
      username: 'alice',
    });
    expect(call.argsDigest).toMatch(/^[0-9a-f]{64}$/);
    // Equal arguments are recognised; what they were is not told.
    expect(other.argsDigest).toBe(call.argsDigest);
    expect(
      (await get(`/api/calls?actorKeyId=${call.actorKeyId}&tool=${call.tool}&outcome=ok&requestId=${requestId}`)).total,
    ).toBe(1);
    expect((await get(`/api/calls?actorKeyId=key_nobody`)).total).toBe(0);
  });

  it('merges a user’s calls and events by time, and pages through them once while more are written', async () => {
    const { rig } = stage;
    const username = unique('told');
    await rig.manage('POST', '/users', { username });
    for (let n = 0; n < 4; n++) {
      await rig.manage('PUT', `/users/${username}/mcp-access`, { blocked_mcps: [`c${n}`] });
      await rig.send('/mcp/tool/call', {
        key: rig.admin,
        body: { username, serverName: 'demo', methodName: 'echo', args: { text: String(n) } },
      });
    }
    const whole = await get(`/api/users/${username}/history?limit=100`);
    expect(new Set(whole.history.map((entry: Json) => entry.type))).toEqual(new Set(['call', 'event']));
    expect(whole.history.at(-1)).toMatchObject({ type: 'event', event: { action: 'user.create' } });
    expect(whole.total).toBe(whole.history.length);
    const times = whole.history.map((entry: Json) => entry.at);
    expect(times).toEqual([...times].sort().reverse());
    const walked: Json[] = [];
    let cursor: string | null = null;
    do {
      const page: Json = await get(
        `/api/users/${username}/history?limit=3${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      walked.push(...page.history);
      cursor = page.nextCursor;
      // Written while somebody pages: not in what is still to come.
      await rig.manage('PUT', `/users/${username}/mcp-access`, { blocked_mcps: [] });
    } while (cursor !== null);
    expect(walked).toEqual(whole.history);
  });

  it('shows a standard key the history of its own user and nobody else’s', async () => {
    const { rig, home } = stage;
    await newCall(stage);
    await rig.send('/mcp/tool/call', {
      key: rig.admin,
      body: { username: 'bob', serverName: 'demo', methodName: 'echo', args: { text: 'b' } },
    });
    const own = await get('/api/users/alice/history?limit=1000', home.alice.key);
    expect(own.history.length).toBeGreaterThan(0);
    for (const { call, event } of own.history)
      expect([call?.userId, event?.userId, event?.actor.userId]).toContain(home.alice.userId);
    expect((await rig.send('/api/users/bob/history', { key: home.alice.key })).status).toBe(404);
  });

  it.each(['/api/audit', '/api/calls', '/api/users/alice/history'])(
    'streams all of %s as lines, equal to its pages',
    async (path) => {
      for (let n = 0; n < 3; n++) await newCall(stage);
      const { status, type, rows } = await lines(`${path}?limit=1`);
      expect([status, type]).toEqual([200, 'application/x-ndjson; charset=utf-8']);
      const body = await get(`${path}?limit=1000`);
      expect(rows).toEqual(body.events ?? body.calls ?? body.history);
      expect(rows.length).toBeGreaterThan(2);
    },
  );

  it('streams more than a page, with filters, and only what a page would show', async () => {
    const { rig, home } = stage;
    await rig.sql(
      home.accountId,
      `insert into audit_events (id, account_id, action, outcome, target) select 'aud_line' || n, $1, 'line.made', 'ok', 'line-' || n from generate_series(1, 2500) n`,
      [home.accountId],
    );
    const { rows } = await lines('/api/audit?action=line.made');
    expect(rows).toHaveLength(2500);
    expect(new Set(rows.map((row) => row.eventId)).size).toBe(2500);
    expect(rows[0].target).toBe('line-2500');
    expect((await lines('/api/audit?action=line.made', stage.other.admin)).rows).toEqual([]);
    expect(await lines('/api/audit', home.alice.key)).toMatchObject({ status: 403 });
    expect(await lines('/api/audit?outcome=fine')).toMatchObject({
      status: 400,
      type: 'application/json; charset=utf-8',
    });
    // Other lists have no lines.
    expect((await lines('/users')).type).toBe('application/json; charset=utf-8');
  });

  it('stops reading when the caller has gone', async () => {
    const { rig, home } = stage;
    await rig.sql(
      home.accountId,
      `insert into audit_events (id, account_id, action, outcome, details) select 'aud_long' || n, $1, 'long.made', 'ok', jsonb_build_object('text', repeat('x', 900))
        from generate_series(1, 20000) n`,
      [home.accountId],
    );
    const gone = new AbortController();
    const response = await fetch(`${rig.url}/api/audit?action=long.made`, {
      headers: { authorization: `Bearer ${home.admin}`, accept: 'application/x-ndjson' },
      signal: gone.signal,
    });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    gone.abort();
    await expect(reader.read()).rejects.toThrow();
    // The gateway is free for the next: nothing still reads 20,000 rows for nobody.
    expect((await get('/api/audit?limit=1')).events).toHaveLength(1);
  });

  it('ends a stream whose key was revoked on the way', async () => {
    const { rig, home } = stage;
    const { key_id: keyId, api_key: key } = await rig.manage('POST', '/users/default/keys', {
      key_name: unique('short'),
      kind: 'enterprise',
    });
    const response = await fetch(`${rig.url}/api/audit?action=long.made`, {
      headers: { authorization: `Bearer ${key}`, accept: 'application/x-ndjson' },
    });
    expect(response.status).toBe(200);
    await rig.manage('DELETE', `/api/keys/${keyId}`, undefined, home.admin);
    await expect(response.text()).rejects.toThrow();
  });
});

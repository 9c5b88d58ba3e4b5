// AUD-1: ten thousand random actions against a gateway (changes, refused changes, calls, overrides, refused sign-ins) leave exactly the rows that a
// model written by hand says: each request its rows, with their fields, and not one row more. Floods are collapsed and counted exactly.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mintToken } from '../../packages/server/src/crypto/token.ts';
import { openTestDatabase } from '../support/database.ts';
import { type Json, type Rig, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { Lane, type Model, type Row } from './support/audit-lane.ts';

const actions = 10_000;
const lanes = 8;
const seed = Number(process.env.PROOF_SEED ?? 20_261_121);

let rig: Rig;
let upstream: RecordingUpstream;
let accountId: string;
beforeAll(async () => {
  upstream = await startRecordingUpstream();
  const most = {
    VALET_CALL_TIMEOUT_MS: '120000',
    VALET_RATE_LIMIT: '1000000',
    VALET_LIST_RATE_LIMIT: '1000000',
    VALET_CONCURRENT_CALLS: '1000',
  };
  // The faster engine; the walls and triggers of both are the same statements.
  const database = await openTestDatabase('postgres');
  rig = await startRig({ database, env: { ...most, VALET_TRUST_PROXY: '127.0.0.1' } });
  const me = await rig.manage('GET', '/api/me');
  accountId = me.account.accountId;
  model = { rig, adminKeyId: me.keyId, seed, sent: 0, expected: new Map(), stalled: new Set() };
  await rig.manage('POST', '/api/connectors', { connectorId: 'open', kind: 'mcp-http', url: upstream.url });
});
afterAll(async () => {
  await rig?.close();
  await upstream?.close();
});

let model: Model;

async function rowsNow(): Promise<{ row: Row; requestId: string | null; collapsed: number }[]> {
  const events = (account: string) =>
    rig.sql<Json>(account, 'select * from audit_events where seq > $1 order by seq', [start.events]);
  const calls = await rig.sql<Json>(accountId, 'select * from calls where seq > $1 order by seq', [start.calls]);
  const eventRow = (account: 'home' | '_system') => (e: Json) => ({
    requestId: e.request_id,
    collapsed: Number(e.details.collapsed ?? 0),
    row: {
      table: 'event',
      account,
      key: e.actor_key_id,
      kind: e.actor_kind,
      actor: e.actor_user_id,
      action: e.action,
      outcome: e.outcome,
      user: e.user_id,
      attempted: e.attempted_user,
      target: e.target,
      reason: e.reason,
    } as Row,
  });
  return [
    ...(await events(accountId)).map(eventRow('home')),
    ...(await events('_system')).map(eventRow('_system')),
    ...calls.map((c) => ({
      requestId: c.request_id,
      collapsed: 0,
      row: {
        table: 'call',
        account: 'home',
        key: c.actor_key_id,
        kind: c.actor_kind,
        outcome: c.outcome,
        connector: c.connector_id,
        attempted: c.attempted_user,
        reason: c.reason,
        user: c.user_id,
        tool: c.tool,
      } as Row,
    })),
  ];
}

const start = { events: 0, calls: 0 };
const sortedText = (rows: readonly Row[]) =>
  rows.map((row) => JSON.stringify(Object.fromEntries(Object.entries(row).sort()))).sort();

it(`leaves the rows of ${actions} mixed actions one to one, and counts a flood exactly`, {
  timeout: 900_000,
}, async () => {
  // Once, so that what follows finds the tools known.
  await expect
    .poll(
      async () =>
        (
          await rig.send('/mcp/tool/call', {
            key: rig.admin,
            body: { serverName: 'open', methodName: 'echo', args: {} },
          })
        ).status,
      { timeout: 60_000 },
    )
    .toBe(200);
  await rig.gateway.gateway.parts.journal.flush();
  const max = async (account: string, table: string) =>
    Number((await rig.sql<Json>(account, `select coalesce(max(seq), 0) as n from ${table}`))[0].n);
  start.events = Math.max(await max(accountId, 'audit_events'), await max('_system', 'audit_events'));
  start.calls = await max(accountId, 'calls');

  await Promise.all(Array.from({ length: lanes }, (_, n) => new Lane(model, n).run(actions)));
  // A flood: far more refused sign-ins from one address than are written down.
  const flood = 400;
  const token = mintToken('std').token;
  for (let n = 0; n < flood; n++) {
    const answer = await rig.send('/users', {
      key: token,
      headers: { 'x-forwarded-for': '192.0.2.7', 'x-request-id': `flood-${n}` },
    });
    if (answer.status !== 401) throw new Error(answer.text);
  }
  const { journal, trail } = rig.gateway.gateway.parts;
  await journal.flush();
  await trail.close();

  const { expected, stalled } = model;
  const found = await rowsNow();
  const ofFlood = found.filter(({ requestId }) => requestId === null || requestId.startsWith('flood-'));
  expect(ofFlood.reduce((sum, { collapsed }) => sum + Math.max(1, collapsed), 0)).toBe(flood);
  expect(ofFlood.length).toBeLessThan(flood / 2);
  for (const { row } of ofFlood)
    expect(row).toMatchObject({
      account: '_system',
      action: 'auth.sign_in',
      outcome: 'refused',
      reason: 'unknown_token',
    });

  const byRequest = new Map<string, Row[]>();
  for (const { requestId, row } of found.filter((one) => !ofFlood.includes(one))) {
    const id = String(requestId);
    byRequest.set(id, [...(byRequest.get(id) ?? []), row]);
  }
  const wrong: unknown[] = [];
  for (const [id, rows] of expected) {
    const got = sortedText(byRequest.get(id) ?? []);
    const wanted = sortedText(rows);
    if (got.join('\n') !== wanted.join('\n') && wrong.length < 10) wrong.push({ id, wanted, got });
    byRequest.delete(id);
  }
  expect(wrong, `seed ${seed}`).toEqual([]);
  for (const id of stalled) {
    expect(byRequest.get(id)?.length ?? 0, id).toBeLessThanOrEqual(1);
    byRequest.delete(id);
  }
  expect([...byRequest.keys()]).toEqual([]);
  expect(stalled.size).toBeLessThan(actions / 50);
  expect(expected.size + stalled.size).toBeGreaterThanOrEqual(actions);
});

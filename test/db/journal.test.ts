// The journal's statements: intents and claims are committed together, outcomes are written once, and no key runs twice.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, internalsOf, openDatabase } from '../../packages/server/src/db/client.ts';
import { DatabaseError } from '../../packages/server/src/db/errors.ts';
import { beginCalls, type CallIntent, endCalls, sweepCalls } from '../../packages/server/src/db/hot-path.ts';
import { accountScope, installationScope, scopedQuery, withScope } from '../../packages/server/src/db/scope.ts';
import { newId } from '../../packages/server/src/ids.ts';
import { type TestDatabase, testDatabases } from '../support/database.ts';
import { addAccount, type SampleAccount } from './rows.ts';

describe.each(testDatabases())('the journal on $kind', ({ open }) => {
  let test: TestDatabase;
  let db: Database;
  let a: SampleAccount;
  let b: SampleAccount;
  beforeAll(async () => {
    test = await open();
    db = await openDatabase({ url: test.url });
    a = await addAccount(db);
    b = await addAccount(db);
  });
  afterAll(async () => {
    await db?.close();
    await test?.close();
  });

  const intent = (of: SampleAccount, more: Partial<CallIntent> = {}): CallIntent => ({
    id: newId('call'),
    accountId: of.account,
    userId: of.users[0],
    actorKeyId: of.key.id,
    serverId: of.server,
    connectorId: 'slack',
    tool: 'chat_postMessage',
    argsDigest: Buffer.from('00ff'.repeat(16), 'hex'),
    lane: 'direct',
    requestId: newId('req'),
    address: '127.0.0.1',
    leaseMs: 40_000,
    ...more,
  });
  const place = (of: SampleAccount, key: string) => ({ user: of.users[0], scope: of.server, key });
  const keyed = (of: SampleAccount, key: string, fingerprint = Buffer.alloc(32, 1)) =>
    intent(of, { claim: { ...place(of, key), fingerprint } });
  const rowOf = async (id: string, of: SampleAccount) =>
    (
      await scopedQuery<Record<string, unknown>>(db, accountScope(of.account), 'select * from calls where id = $1', [
        id,
      ])
    )[0];

  it('commits intents of several accounts in one batch and answers only those that must not run', async () => {
    const batch = [intent(a), intent(b), intent(a, { attemptedUser: 'Ünïcode "quoted"', credentialId: 'cred_x' })];
    expect(await beginCalls(db, batch)).toEqual(new Map());
    const row = await rowOf((batch[2] as CallIntent).id, a);
    expect(row).toMatchObject({
      account_id: a.account,
      user_id: a.users[0],
      actor_key_id: a.key.id,
      attempted_user: 'Ünïcode "quoted"',
      server_id: a.server,
      connector_id: 'slack',
      tool: 'chat_postMessage',
      credential_id: 'cred_x',
      lane: 'direct',
      address: '127.0.0.1',
      outcome: null,
      outcome_seq: null,
    });
    expect(Buffer.from(row?.args_digest as Uint8Array).toString('hex')).toBe('00ff'.repeat(16));
    expect(await rowOf((batch[1] as CallIntent).id, b)).toMatchObject({ account_id: b.account });
    expect(await rowOf((batch[1] as CallIntent).id, a)).toBeUndefined();
  });

  it('writes outcomes once, stamps their order, and names the ones that came too late', async () => {
    const calls = [intent(a), intent(b)];
    await beginCalls(db, calls);
    const ends = calls.map((call) => ({
      id: call.id,
      accountId: call.accountId,
      outcome: 'ok' as const,
      latencyMs: 12.6,
      upstreamStatus: 200,
    }));
    expect(await endCalls(db, ends)).toEqual([]);
    const late = await endCalls(
      db,
      calls.map((call) => ({ id: call.id, accountId: call.accountId, outcome: 'failed' as const })),
    );
    expect(late.sort()).toEqual(calls.map((call) => call.id).sort());
    const rows = [await rowOf((calls[0] as CallIntent).id, a), await rowOf((calls[1] as CallIntent).id, b)];
    for (const row of rows) expect(row).toMatchObject({ outcome: 'ok', latency_ms: 13, upstream_status: 200 });
    expect(rows.every((row) => Number(row?.outcome_seq) > 0 && row?.outcome_xid !== null)).toBe(true);
  });

  it('completes no call in the name of another account', async () => {
    const call = intent(a);
    await beginCalls(db, [call]);
    expect(await endCalls(db, [{ id: call.id, accountId: b.account, outcome: 'ok' }])).toEqual([call.id]);
    expect(await rowOf(call.id, a)).toMatchObject({ outcome: null });
  });

  it('takes its first statements all at once', async () => {
    const fresh = await open();
    const first = await openDatabase({ url: fresh.url });
    try {
      const calls = [intent(a), intent(a), intent(b)];
      const [one, two, late] = await Promise.all([
        beginCalls(first, calls.slice(0, 1)),
        beginCalls(first, calls.slice(1)),
        endCalls(first, [{ id: 'call_unknown', accountId: a.account, outcome: 'ok' }]),
      ]);
      expect([one, two, late]).toEqual([new Map(), new Map(), ['call_unknown']]);
      const ends = calls.map(({ id, accountId }) => ({ id, accountId, outcome: 'ok' as const }));
      expect(await endCalls(first, [...ends, { id: 'call_x', accountId: b.account, outcome: 'ok' }])).toEqual([
        'call_x',
      ]);
    } finally {
      await first.close();
      await fresh.close();
    }
  });

  it('takes rows that are already complete', async () => {
    const call = intent(a, {
      tool: 'list_connectors_alloy',
      completed: { outcome: 'refused', reason: 'not_allowed', latencyMs: 1 },
    });
    await beginCalls(db, [call]);
    const row = await rowOf(call.id, a);
    expect(row).toMatchObject({ outcome: 'refused', reason: 'not_allowed', latency_ms: 1 });
    expect(Number(row?.outcome_seq)).toBeGreaterThan(0);
    expect(await endCalls(db, [{ id: call.id, accountId: a.account, outcome: 'ok' }])).toEqual([call.id]);
  });

  it('refuses deletes, changed intents, second and withdrawn outcomes to every role, the owner’s included', async () => {
    const call = intent(a);
    await beginCalls(db, [call]);
    await endCalls(db, [{ id: call.id, accountId: a.account, outcome: 'ok' }]);
    for (const text of [
      'delete from calls',
      "update calls set tool = 'other'",
      "update calls set outcome = 'failed'",
      'update calls set outcome = null',
    ]) {
      await expect(scopedQuery(db, accountScope(a.account), text)).rejects.toThrow(DatabaseError);
    }
    // As the owner, with the scope set: the triggers stand even where no grant does.
    const asOwner = (text: string) =>
      internalsOf(db).driver.asOwner((owner) =>
        owner.transaction(async (run) => {
          await run(`set local valet.account_id = '${a.account}'; set local valet.user_id = '*'`);
          await run(text);
        }),
      );
    for (const text of [
      'delete from calls',
      'truncate calls',
      "update calls set tool = 'other'",
      "update calls set outcome = 'failed'",
      'delete from audit_events',
      "update audit_events set action = 'x'",
      'truncate audit_events',
    ]) {
      await expect(asOwner(text)).rejects.toThrow(/refused/);
    }
    expect(await rowOf(call.id, a)).toMatchObject({ outcome: 'ok', tool: 'chat_postMessage' });
  });

  describe('claims', () => {
    it('let one of many equal keys begin, in one batch and across batches', async () => {
      const rivals = Array.from({ length: 20 }, () => keyed(a, 'rivals'));
      const half = Math.floor(rivals.length / 2);
      const answers = await Promise.all([beginCalls(db, rivals.slice(0, half)), beginCalls(db, rivals.slice(half))]);
      const refused = new Map(answers.flatMap((answer) => [...answer]));
      expect(refused.size).toBe(19);
      const winner = rivals.find((call) => !refused.has(call.id)) as CallIntent;
      for (const claim of refused.values()) expect(claim).toMatchObject({ state: 'running', callId: winner.id });
      expect(await rowOf(winner.id, a)).toMatchObject({ idempotency_key: 'rivals', outcome: null });
      for (const id of refused.keys()) expect(await rowOf(id, a)).toBeUndefined();
    });

    it('replay the sealed answer when done, and tell another request with the same key from a repeat', async () => {
      const first = keyed(a, 'done');
      await beginCalls(db, [first]);
      const answer = randomBytes(65_000);
      const claim = { ...place(a, 'done'), state: 'done' as const, status: 200, answer };
      await endCalls(db, [{ id: first.id, accountId: a.account, outcome: 'ok', claim }]);
      const [again, other] = [keyed(a, 'done'), keyed(a, 'done', Buffer.alloc(32, 2))];
      const states = await beginCalls(db, [again, other]);
      expect(states.get(again.id)).toMatchObject({ state: 'done', status: 200, callId: first.id });
      expect(Buffer.from(states.get(again.id)?.answer as Uint8Array).equals(answer)).toBe(true);
      expect(states.get(other.id)).toMatchObject({ state: 'mismatch' });
    });

    it('belong to one account, user and scope: the same key elsewhere begins', async () => {
      const elsewhere = [
        keyed(b, 'done'),
        intent(a, {
          userId: a.users[1],
          claim: { ...place(a, 'done'), user: a.users[1], fingerprint: Buffer.alloc(32, 1) },
        }),
        intent(a, { claim: { ...place(a, 'done'), scope: 'other-server', fingerprint: Buffer.alloc(32, 1) } }),
      ];
      expect(await beginCalls(db, elsewhere)).toEqual(new Map());
    });

    it('let a retry begin once they are released, and bar it when the outcome is unknown', async () => {
      const first = keyed(a, 'released');
      await beginCalls(db, [first]);
      const released = { ...place(a, 'released'), state: 'released' as const };
      await endCalls(db, [
        { id: first.id, accountId: a.account, outcome: 'refused', reason: 'credentials_required', claim: released },
      ]);
      const second = keyed(a, 'released');
      expect(await beginCalls(db, [second])).toEqual(new Map());
      const unknown = { ...place(a, 'released'), state: 'unknown' as const };
      await endCalls(db, [{ id: second.id, accountId: a.account, outcome: 'unknown', claim: unknown }]);
      const third = keyed(a, 'released');
      expect((await beginCalls(db, [third])).get(third.id)).toMatchObject({ state: 'unknown', callId: second.id });
    });

    it('are unknown when their lease is over, and free again after their time', async () => {
      const first = intent(a, { leaseMs: -1, claim: { ...place(a, 'lease'), fingerprint: Buffer.alloc(32, 1) } });
      await beginCalls(db, [first]);
      const second = keyed(a, 'lease');
      expect((await beginCalls(db, [second])).get(second.id)).toMatchObject({ state: 'unknown', callId: first.id });
      const expired = intent(a, { claim: { ...place(a, 'expired'), fingerprint: Buffer.alloc(32, 1), ttlMs: -1 } });
      await beginCalls(db, [expired]);
      expect(await beginCalls(db, [keyed(a, 'expired')])).toEqual(new Map());
    });

    it('are not ended by a call that does not hold them', async () => {
      const holder = keyed(a, 'held');
      await beginCalls(db, [holder]);
      const stranger = intent(a);
      await beginCalls(db, [stranger]);
      const claim = { ...place(a, 'held'), state: 'released' as const };
      await endCalls(db, [{ id: stranger.id, accountId: a.account, outcome: 'ok', claim }]);
      const retry = keyed(a, 'held');
      expect((await beginCalls(db, [retry])).get(retry.id)).toMatchObject({ state: 'running', callId: holder.id });
    });
  });

  it('writes nothing of a batch when one row of it is refused', async () => {
    const good = intent(a);
    await expect(beginCalls(db, [good, intent({ ...b, account: '' })])).rejects.toThrow();
    expect(await rowOf(good.id, a)).toBeUndefined();
  });

  it('costs the same per outcome in a long journal as in a short one, although nobody gathers statistics', async () => {
    const round = async () => {
      const calls = Array.from({ length: 100 }, (_, i) => (i % 2 ? intent(a) : keyed(a, newId('req'))));
      await beginCalls(db, calls);
      const start = performance.now();
      await endCalls(
        db,
        calls.map((call) => ({
          id: call.id,
          accountId: a.account,
          outcome: 'ok' as const,
          claim: call.claim && { ...call.claim, state: 'done' as const, status: 200 },
        })),
      );
      return performance.now() - start;
    };
    const best = async () => Math.min(await round(), await round(), await round(), await round(), await round());
    const short = await best();
    for (let i = 0; i < 15; i++)
      await beginCalls(
        db,
        Array.from({ length: 500 }, () => intent(a)),
      );
    const long = await best();
    // Walking the account's rows for each outcome makes this about 50.
    expect(long / short).toBeLessThan(20);
  });

  it('sweeps open calls whose lease ended, in every account, and claims past their time', async () => {
    const [over, running] = [intent(a, { leaseMs: -10_000 }), intent(b)];
    const gone = intent(b, {
      leaseMs: -10_000,
      claim: { ...place(b, 'gone'), fingerprint: Buffer.alloc(32, 1), ttlMs: -1 },
    });
    await beginCalls(db, [over, running, gone]);
    const swept = await sweepCalls(db, 5_000, 100);
    expect(swept.map((row) => row.callId)).toEqual(expect.arrayContaining([over.id, gone.id]));
    expect(swept.map((row) => row.callId)).not.toContain(running.id);
    expect(swept.find((row) => row.callId === gone.id)?.accountId).toBe(b.account);
    expect(await rowOf(over.id, a)).toMatchObject({ outcome: 'unknown', reason: 'lease_over' });
    expect(await rowOf(running.id, b)).toMatchObject({ outcome: null });
    expect(await scopedQuery(db, accountScope(b.account), "select from claims where key = 'gone'")).toHaveLength(0);
    expect(await endCalls(db, [{ id: over.id, accountId: a.account, outcome: 'ok' }])).toEqual([over.id]);
  });

  it('gives the scope of the installation no other way to write into the journal', async () => {
    await expect(
      scopedQuery(db, installationScope, "update calls set reason = 'x' where outcome is null"),
    ).rejects.toThrow(DatabaseError);
    expect(
      await scopedQuery(
        db,
        installationScope,
        "update calls set outcome = 'ok' where outcome is not null returning id",
      ),
    ).toHaveLength(0);
    const forge = withScope(db, installationScope, (tx) =>
      tx.execute(
        `insert into calls (id, account_id, lease_until, tool, lane, request_id) values ('call_x', '${a.account}', now(), 't', 'l', 'r')`,
      ),
    );
    await expect(forge).rejects.toThrow(DatabaseError);
  });
});

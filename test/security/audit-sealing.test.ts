// What the sealer and retention promise: every committed row under exactly one checkpoint of one chain, whoever writes and whoever seals beside it,
// and nothing deleted but what a closing checkpoint stands for.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRetention } from '../../packages/server/src/audit/retention.ts';
import { createSealer } from '../../packages/server/src/audit/sealer.ts';
import { openDatabase } from '../../packages/server/src/db/client.ts';
import { DatabaseError } from '../../packages/server/src/db/errors.ts';
import {
  accountScope,
  installationScope,
  type Scope,
  scopedQuery,
  withScope,
} from '../../packages/server/src/db/scope.ts';
import { beginTask, leafColumns } from '../../packages/server/src/db/trail.ts';
import { createLog } from '../../packages/server/src/log.ts';
import { account, openSealedTrail, type SealedTrail, writeCalls, writeEvent } from './support/sealed-trail.ts';

const silent = createLog({ logLevel: 'silent' });
const all = `((select count(*) from audit_events) + (select count(*) from calls) + (select count(*) from calls where outcome is not null))::int`;

describe.each(['pglite', 'postgres'] as const)('sealing on %s', (kind) => {
  let trail: SealedTrail;
  beforeAll(async () => {
    trail = await openSealedTrail(kind, { rows: 60, checkpoints: 5 });
  });
  afterAll(() => trail?.close());
  const written = async () => Number((await trail.superuser(`select ${all} as n`))[0]?.n);

  it('covers every row, intents and outcomes apart, and verifies', async () => {
    const verdict = await trail.verify(trail.copy);
    expect(verdict).toMatchObject({ ok: true, unsealed: 0, firstBad: null, rows: await written() });
    expect(verdict.checkpoints).toBe(trail.checkpoints.length);
    expect([...trail.copy.keys()]).toEqual(trail.checkpoints.map(({ id }) => id));
  });

  it('covers every column of the two tables', async () => {
    for (const table of ['calls', 'audit_events'] as const) {
      const rows = await trail.superuser(
        `select column_name as name from information_schema.columns where table_name = '${table}'`,
      );
      expect(rows.map(({ name }) => name).sort(), table).toEqual([...leafColumns[table]].sort());
    }
  });

  it('says nothing twice when nothing happened', async () => {
    await trail.seal();
    await trail.seal();
    const verdict = await trail.verify();
    expect(verdict.checkpoints).toBe(trail.checkpoints.length);
  });

  it('bounds a checkpoint and goes on with the next', async () => {
    const before = (await trail.verify()).checkpoints;
    for (let n = 0; n < 30; n++) await writeEvent(trail.db, n);
    // Before there is a sealer: it looks by itself too, and would cover what is settled by then.
    await trail.settled();
    const small = createSealer({ db: trail.db, keyring: trail.keyring, log: silent, rowsPerCheckpoint: 7 });
    await small.sealNow();
    await small.close();
    const rows = await trail.superuser(`select count from checkpoints where id > ${before} order by id`);
    expect(rows.map(({ count }) => Number(count))).toEqual([7, 7, 7, 7, 2]);
    expect(await trail.verify()).toMatchObject({ ok: true, unsealed: 0 });
  });

  it('shows the trail of all accounts to the sealer’s task only, and not to the scope of the installation', async () => {
    const count = (scope: Scope) => scopedQuery(trail.db, scope, 'select from audit_events');
    expect(await count(installationScope)).toEqual([]);
    await withScope(trail.db, accountScope('acc_other'), (tx) => beginTask(tx, 'retention'));
    expect(await count(accountScope('acc_other'))).toEqual([]);
  });

  const asTask = (scope: Scope, task: 'seal' | 'retention' | undefined, text: string) =>
    withScope(trail.db, scope, async (tx) => {
      if (task !== undefined) await beginTask(tx, task);
      await tx.execute(text);
    });
  const left = () =>
    trail.superuser(
      'select (select count(*) from calls)::int as calls, (select count(*) from audit_events)::int as events, (select count(*) from checkpoints)::int as seals',
    );

  it('lets nobody delete what no closing checkpoint stands for, whatever task is claimed', async () => {
    const before = await left();
    for (const table of ['calls', 'audit_events', 'checkpoints']) {
      for (const scope of [installationScope, accountScope(account)]) {
        await expect(asTask(scope, undefined, `delete from ${table}`), table).rejects.toThrow(DatabaseError);
        await expect(asTask(scope, 'seal', `delete from ${table}`), table).rejects.toThrow(DatabaseError);
        // Nothing is closed: the wall shows no row that might go.
        await asTask(scope, 'retention', `delete from ${table}`);
      }
      await expect(asTask(installationScope, 'retention', `truncate ${table}`)).rejects.toThrow(DatabaseError);
    }
    await expect(asTask(installationScope, 'retention', `update checkpoints set count = 0`)).rejects.toThrow(
      DatabaseError,
    );
    // The owner, whom the walls of a login do not hold: the triggers do.
    expect(await left()).toEqual(before);
  });

  it('deletes after a closing checkpoint what is below it, keeps the rest, and the chain verifies all the while', async () => {
    const stillOpen = await trail.superuser('select id from calls where outcome is null');
    // An open call below the floor stops retention: its outcome is not written yet.
    const retention = createRetention({ db: trail.db, keyring: trail.keyring, log: silent, days: 0 });
    expect(stillOpen.length).toBeGreaterThan(0);
    expect(await retention.prune()).toBe(0);
    await withScope(trail.db, installationScope, (tx) =>
      tx.execute(
        `update calls set outcome = 'unknown', outcome_seq = nextval('calls_outcome_seq'), outcome_xid = pg_current_xact_id() where outcome is null`,
      ),
    );
    // Calls that straddle the floor: their intents below, their outcomes above.
    const end = await writeCalls(trail.db, 5);
    await trail.seal();
    await new Promise((resolve) => setTimeout(resolve, 20));
    // The floor is here, between the two seals, however long the second has to wait for other transactions of the cluster.
    const floorAt = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 600));
    await end();
    await trail.seal();
    await trail.settled();
    const days = (Date.now() - floorAt) / 86_400_000;
    const young = createRetention({ db: trail.db, keyring: trail.keyring, log: silent, days });
    expect(await young.prune()).toBeGreaterThan(10);
    await young.close();
    // The one that was complete at once went; the four that ended later stay, under the seal of their outcomes.
    expect((await left())[0]).toMatchObject({ calls: 4 });
    expect(await trail.verify(trail.copy)).toMatchObject({ ok: true, unsealed: 0 });
    const [straddling] = await trail.superuser(
      `update calls set tool = tool || 'x' where seq = (select min(seq) from calls) returning seq::int as seq`,
    );
    expect(await trail.verify()).toMatchObject({ ok: false, firstBad: { table: 'calls', seq: straddling?.seq } });
    await trail.superuser(`update calls set tool = substr(tool, 1, length(tool) - 1) where seq = ${straddling?.seq}`);
    const through = (await trail.superuser('select max(id)::int as id from checkpoints'))[0]?.id;
    await writeEvent(trail.db, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const before = await written();
    await trail.settled();
    expect(await retention.prune()).toBe(4);
    await retention.close();
    await trail.seal();
    const verdict = await trail.verify();
    expect(verdict).toMatchObject({ ok: true, unsealed: 0 });
    expect(await written()).toBeLessThan(before);
    // What was written after the floor is all there, and above the closing checkpoint nothing may be deleted now either.
    expect((await left())[0]).toMatchObject({ events: 1, calls: 0 });
    expect((await trail.superuser('select min(id)::int as id from checkpoints'))[0]?.id).toBe(Number(through) + 1);
    await asTask(installationScope, 'retention', 'delete from audit_events');
    await asTask(installationScope, 'retention', 'delete from checkpoints');
    expect((await left())[0]).toMatchObject({ events: 1 });
    expect(await trail.verify()).toMatchObject({ ok: true });
    // Copies from before are still good: what they hold of the deleted part is excused by a signature.
    expect(await trail.verify(trail.copy)).toMatchObject({ ok: true });
  });

  it('finds a row put in where retention left none, and a forged closing checkpoint', async () => {
    const [event] = await trail.superuser('select min(xid::text::bigint)::int as xid from audit_events');
    await trail.superuser(
      `insert into audit_events (id, xid, account_id, action, outcome) values ('aud_made', '${Number(event?.xid) - 5}', '${account}', 'made.up', 'ok')`,
    );
    expect(await trail.verify()).toMatchObject({ ok: false, firstBad: { table: 'audit_events', id: 'aud_made' } });
    await trail.superuser(`delete from audit_events where id = 'aud_made'`);
    const [last] = await trail.superuser('select max(id)::int as id from checkpoints');
    await trail.superuser(
      `update checkpoints set closing = '{"through": ${last?.id}, "hash": "${'0'.repeat(64)}", "floor": "99999999"}' where id = ${last?.id}; delete from audit_events`,
    );
    expect(await trail.verify()).toMatchObject({ ok: false, firstBad: { table: expect.any(String) } });
  });
});

it('misses no row and seals none twice while eight writers and two sealers work', { timeout: 120_000 }, async () => {
  const trail = await openSealedTrail('postgres', { rows: 3, checkpoints: 1 });
  const second = await openDatabase({ url: trail.url });
  const options = { keyring: trail.keyring, log: silent, rowsPerCheckpoint: 40 };
  const sealers = [createSealer({ ...options, db: trail.db }), createSealer({ ...options, db: second })];
  let isWriting = true;
  const sealing = sealers.map(async (sealer) => {
    while (isWriting) await sealer.sealNow();
  });
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    const db = writer % 2 === 0 ? trail.db : second;
    for (let n = 0; n < 60; n++) {
      if (n % 3 === 0) await (await writeCalls(db, 3))();
      else await writeEvent(db, n);
    }
  });
  await Promise.all(writers);
  isWriting = false;
  await Promise.all(sealing);
  await trail.settled();
  for (const sealer of sealers) await sealer.sealNow();
  for (const sealer of sealers) await sealer.close();
  await trail.seal();
  const [counted] = await trail.superuser(`select ${all} as n`);
  const verdict = await trail.verify();
  expect(verdict).toMatchObject({ ok: true, unsealed: 0, rows: counted?.n });
  // One chain: no two checkpoints stand on the same one.
  expect(verdict.checkpoints).toBeGreaterThan(20);
  await second.close();
  await trail.close();
});

// Work in the background with three gateways on one PostgreSQL: each piece is done once whoever does it, and a leader that dies is replaced.
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beginCalls, type CallIntent, sweepCalls } from '../../packages/server/src/db/hot-path.ts';
import { beatReplica, sweepWindows } from '../../packages/server/src/db/windows.ts';
import { newId } from '../../packages/server/src/ids.ts';
import { openTestDatabase, superuserUrl, type TestDatabase } from '../support/database.ts';
import type { Json, Rig } from '../support/gateway.ts';
import { startReplicas } from '../support/replicas.ts';

let database: TestDatabase;
let sql: postgres.Sql;
let replicas: Rig[] = [];
beforeAll(async () => {
  database = await openTestDatabase('postgres');
  sql = postgres(await superuserUrl(database), { max: 2, onnotice: () => undefined });
  replicas = await startReplicas(database, 3);
}, 120_000);
afterAll(async () => {
  await Promise.all(replicas.map((rig) => rig.close()));
  replicas = [];
  await sql?.end();
  await database?.close();
});

/** The lock of `db/trail`. */
const sealLock = 7_201_925_315;

const one = (at: number): Rig => replicas[at % replicas.length] as Rig;
const dbOf = (rig: Rig) => rig.gateway.gateway.parts.db;
/** Events that no checkpoint covers yet. */
const unsealed = async (): Promise<number> => {
  const [row] = await sql`select count(*)::int as n from audit_events e
    where e.xid >= (select coalesce(max(h1::text::numeric), 0)::text::xid8 from checkpoints)`;
  return row?.['n'] as number;
};
const change = (at: number): Promise<Json> => one(at).manage('POST', '/users', { username: `user${at}` });
/** Waits for what holds every seal of the cluster back and is none of the leader's business: older transactions, of other suites too. */
async function settled(): Promise<void> {
  const [now] = await sql`select pg_current_xact_id()::text as xid`;
  const past = () => sql`select pg_snapshot_xmin(pg_current_snapshot()) > ${now?.['xid'] as string}::xid8 as past`;
  await expect.poll(async () => (await past())[0]?.['past'], { timeout: 60_000 }).toBe(true);
}
async function sealed(withinMs: number): Promise<boolean> {
  const end = performance.now() + withinMs;
  while (performance.now() < end) {
    if ((await unsealed()) === 0) return true;
    await sleep(50);
  }
  return false;
}

describe('the number of replicas', () => {
  const live = () => replicas.map((rig) => rig.gateway.gateway.parts.replicas.live());

  it('is known to each, with one that nobody has met, and without one that has fallen silent', async () => {
    await expect.poll(live, { timeout: 20_000 }).toEqual([3, 3, 3]);
    const withAnother = async () => {
      await beatReplica(dbOf(one(0)), 'another', 10_000);
      return live();
    };
    await expect.poll(withAnother, { timeout: 20_000, interval: 500 }).toEqual([4, 4, 4]);
    await sql`update replicas set seen_at = now() - interval '11 seconds' where id = 'another'`;
    await expect.poll(live, { timeout: 20_000 }).toEqual([3, 3, 3]);
  });
});

describe('sealing with three replicas', () => {
  it('covers every event once, in one chain', async () => {
    for (let n = 0; n < 9; n++) await change(n);
    await settled();
    expect(await sealed(15_000)).toBe(true);
    expect(await one(0).manage('GET', '/api/audit/verify')).toMatchObject({ ok: true });
    const twice = await sql`select previous from checkpoints group by previous having count(*) > 1`;
    expect(twice).toHaveLength(0);
  });

  it('waits while a leader holds the lock, and goes on within seconds of its death', async () => {
    // A leader in the midst of its work, as the database sees it.
    const leader = postgres(await superuserUrl(database), { max: 1, onnotice: () => undefined });
    const held = await leader.reserve();
    await held`begin`;
    await held.unsafe(`select pg_advisory_xact_lock(${sealLock})`);
    await change(10);
    expect(await sealed(2_500)).toBe(false);
    const [row] = await held`select pg_backend_pid() as pid`;
    await sql`select pg_terminate_backend(${row?.['pid'] as number})`;
    await settled();
    expect(await sealed(10_000)).toBe(true);
    await leader.end({ timeout: 0 });
  });

  it('goes on when the replica that sealed is gone', async () => {
    const gone = replicas.shift() as Rig;
    await gone.close();
    const [left] = await sql`select count(*)::int as n from replicas where id <> 'another'`;
    expect(left?.['n']).toBe(2);
    await change(11);
    await settled();
    expect(await sealed(10_000)).toBe(true);
  });
});

/** A call whose lease was over when it began. */
const intent = (accountId: string): CallIntent => ({
  id: newId('call'),
  accountId,
  connectorId: 'demo',
  tool: 'count',
  argsDigest: Buffer.alloc(32, 1),
  lane: 'direct',
  requestId: newId('req'),
  address: '127.0.0.1',
  leaseMs: -1,
});

describe('sweeps by all replicas at once', () => {
  it('disturb nobody and close each open call once', async () => {
    const { account } = await one(0).manage('GET', '/api/me');
    const over = Array.from({ length: 300 }, () => intent(account.accountId));
    await beginCalls(dbOf(one(0)), over);
    const ended = await Promise.allSettled(
      [...replicas, ...replicas].map(async (rig) => {
        await sweepWindows(dbOf(rig));
        return sweepCalls(dbOf(rig), 0, 1_000);
      }),
    );
    expect(ended.filter(({ status }) => status === 'rejected')).toEqual([]);
    const closed = ended.flatMap((end) => (end.status === 'fulfilled' ? end.value.map(({ callId }) => callId) : []));
    expect(closed.sort()).toEqual(over.map(({ id }) => id).sort());
  });
});

// A small sealed trail: events and calls of every kind under a chain of checkpoints, a superuser who may do anything to it, and a reference that
// finds the first difference by comparing whole rows with what was written down when they were sealed. Knows nothing of leaves and hashes.
import { createHmac, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { recordEvent } from '../../../packages/server/src/audit/record.ts';
import { createSealer } from '../../../packages/server/src/audit/sealer.ts';
import { verifyTrail } from '../../../packages/server/src/audit/verify.ts';
import { type Database, internalsOf, openDatabase } from '../../../packages/server/src/db/client.ts';
import { beginCalls, type CallIntent, endCalls } from '../../../packages/server/src/db/hot-path.ts';
import { accountScope, withScope } from '../../../packages/server/src/db/scope.ts';
import { newId } from '../../../packages/server/src/ids.ts';
import { createLog } from '../../../packages/server/src/log.ts';
import { type DatabaseKind, openTestDatabase, superuserUrl } from '../../support/database.ts';

type Row = Record<string, unknown>;

export const account = 'acc_sealed';
const outcomes = ['ok', 'tool_error', 'refused', 'failed'] as const;

const intentOf = (n: number, more: Partial<CallIntent> = {}): CallIntent => ({
  id: newId('call'),
  accountId: account,
  userId: `usr_${n % 5}`,
  actorKeyId: `key_${n % 3}`,
  actorKind: 'ent',
  attemptedUser: n % 4 === 0 ? `eve-${n}` : undefined,
  serverId: 'main-00000000',
  connectorId: 'slack',
  tool: `tool_${n % 7}`,
  credentialId: n % 2 === 0 ? 'cred_1' : undefined,
  argsDigest: randomBytes(32),
  lane: 'direct',
  requestId: newId('req'),
  address: '203.0.113.9',
  leaseMs: 60_000,
  ...more,
});

export async function writeEvent(db: Database, n: number): Promise<void> {
  await withScope(db, accountScope(account), (tx) =>
    recordEvent(tx, {
      accountId: account,
      actor: n % 6 === 0 ? null : { keyId: `key_${n % 3}`, kind: 'ent', userId: n % 2 === 0 ? `usr_${n % 5}` : null },
      action: ['user.create', 'secret.set', 'auth.sign_in'][n % 3] as string,
      outcome: (['ok', 'refused', 'failed'] as const)[n % 3] as 'ok',
      userId: `usr_${n % 5}`,
      attemptedUser: n % 5 === 0 ? 'mallory' : undefined,
      target: `target-${n}`,
      reason: n % 3 === 0 ? undefined : 'because',
      requestId: newId('req'),
      address: '203.0.113.9',
      details: { n, nested: { a: [1, 2] } },
    }),
  );
}

/** Begins calls; the answer ends them. Some are complete at once, the last stays open. */
export async function writeCalls(db: Database, count: number): Promise<() => Promise<void>> {
  const complete = { outcome: 'refused' as const, reason: 'blocked', latencyMs: 1 };
  const intents = Array.from({ length: count }, (_, n) => intentOf(n, n % 5 === 4 ? { completed: complete } : {}));
  await beginCalls(db, intents);
  const open = intents.filter((intent) => intent.completed === undefined);
  return async () => {
    const ends = open.map(({ id }, n) => ({
      id,
      accountId: account,
      outcome: outcomes[n % 4] as 'ok',
      reason: n % 2 === 0 ? 'because' : undefined,
      upstreamStatus: 200,
      latencyMs: n,
      outcomeDigest: randomBytes(32),
    }));
    await endCalls(db, ends);
  };
}

const outcomeColumns = [
  'outcome',
  'reason',
  'upstream_status',
  'latency_ms',
  'outcome_digest',
  'outcome_seq',
  'outcome_xid',
];
const without = outcomeColumns.map((name) => `'${name}'`).join(', ');
const snapshot = `
  select 0 as kind, seq::int as seq, id, xid::text as xid, to_jsonb(e)::text as text from audit_events e
  union all select 1, seq::int, id, xid::text, (to_jsonb(c) - array[${without}])::text from calls c
  union all select 2, seq::int, id, outcome_xid::text, to_jsonb(c)::text from calls c where outcome_xid is not null`;

interface Seen {
  kind: number;
  seq: number;
  id: string;
  xid: string;
  text: string;
}
const byPlace = (a: { kind: number; seq: number }, b: { kind: number; seq: number }) =>
  a.kind - b.kind || a.seq - b.seq;

export async function openSealedTrail(kind: DatabaseKind, options: { rows: number; checkpoints: number }) {
  const test = await openTestDatabase(kind);
  const db = await openDatabase({ url: test.url });
  const key = randomBytes(32);
  const keyring = {
    installationId: 'inst_test',
    signSeal: (bytes: Uint8Array) => createHmac('sha256', key).update(bytes).digest(),
  };
  const lines: Row[] = [];
  const log = createLog({ logLevel: 'info' }, { write: (line) => void lines.push(JSON.parse(line) as Row) });
  const sealer = createSealer({ db, keyring, log });
  await sealer.close();
  const direct =
    kind === 'postgres' ? postgres(await superuserUrl(test), { max: 1, onnotice: () => undefined }) : undefined;
  /** Statements of a superuser whom no trigger and no policy binds. Answers the rows of the last one. */
  const superuser = async (script: string): Promise<Row[]> => {
    const free = `set local session_replication_role = replica; ${script}`;
    if (direct === undefined) return internalsOf(db).driver.asOwner((owner) => owner.transaction((run) => run(free)));
    const results = (await direct.begin((on) => on.unsafe(free).simple())) as unknown as Row[][];
    return [...(results.at(-1) ?? [])];
  };
  /** Waits until all that is committed now may be sealed: a transaction of any database of the cluster, so of another suite too, holds that back. */
  const settled = async (): Promise<void> => {
    const [now] = await superuser('select pg_current_xact_id()::text as xid');
    const isPast = `select pg_snapshot_xmin(pg_current_snapshot()) > '${now?.['xid']}'::xid8 as past`;
    for (const end = Date.now() + 60_000; (await superuser(isPast))[0]?.['past'] !== true; await sleep(20))
      if (Date.now() > end) throw new Error('a transaction of this cluster has been running for a minute');
  };
  const seal = async (): Promise<void> => {
    await settled();
    await sealer.sealNow();
  };

  const perStep = Math.max(1, Math.floor(options.rows / options.checkpoints / 3));
  let end: (() => Promise<void>) | undefined;
  for (let step = 0; step < options.checkpoints; step++) {
    for (let n = 0; n < perStep; n++) await writeEvent(db, step * 100 + n);
    // Outcomes of one step are sealed after the intents of the next.
    await end?.();
    end = await writeCalls(db, perStep);
    await seal();
  }
  await superuser(`
    alter table calls alter column seq set generated by default;
    alter table audit_events alter column seq set generated by default;
    alter table checkpoints alter column id set generated by default;
    create table kept_calls as select * from calls;
    create table kept_events as select * from audit_events;
    create table kept_checkpoints as select * from checkpoints`);
  const checkpoints = (await superuser('select id::int as id, h0, h1 from checkpoints order by id')) as unknown as {
    id: number;
    h0: string;
    h1: string;
  }[];
  const sealed = (await superuser(snapshot)) as unknown as Seen[];
  const copy = new Map(
    lines.flatMap((line) => {
      const { checkpoint } = line as { checkpoint?: { checkpointId: number; signature: string } };
      return checkpoint === undefined ? [] : [[checkpoint.checkpointId, checkpoint.signature] as const];
    }),
  );

  /** The first difference, in the order of checkpoints, kinds and numbers; undefined when there is none. */
  const difference = async () => {
    const now = (await superuser(snapshot)) as unknown as Seen[];
    for (const { id, h0, h1 } of checkpoints) {
      const within = ({ xid }: Seen) => BigInt(xid) >= BigInt(h0) && BigInt(xid) < BigInt(h1);
      const was = sealed.filter(within);
      const is = now.filter(within);
      const lost = was.filter((row) => !is.some((other) => other.kind === row.kind && other.text === row.text));
      const odd = is.filter((row) => !was.some((other) => other.kind === row.kind && other.text === row.text));
      const [first] = [...lost, ...odd].sort(byPlace);
      if (first !== undefined)
        return {
          checkpointId: id,
          table: first.kind === 0 ? ('audit_events' as const) : ('calls' as const),
          seq: first.seq,
        };
    }
    return undefined;
  };

  return {
    db,
    url: test.url,
    keyring,
    lines,
    settled,
    seal,
    superuser,
    checkpoints,
    copy,
    difference,
    verify: (outside?: Map<number, string>) => verifyTrail({ db, keyring }, outside),
    restore: () =>
      superuser(`
        truncate calls, audit_events, checkpoints;
        insert into calls overriding system value select * from kept_calls;
        insert into audit_events overriding system value select * from kept_events;
        insert into checkpoints overriding system value select * from kept_checkpoints`),
    async close() {
      await direct?.end();
      await db.close();
      await test.close();
    },
  };
}
export type SealedTrail = Awaited<ReturnType<typeof openSealedTrail>>;

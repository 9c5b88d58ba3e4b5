// The statements of the sealer, of verification and of retention: rows of all accounts by transaction id, as text.
// Only reads and writes; what a leaf is, what is signed and what is wrong belong to `audit/`. Every function wants a transaction in the scope of
// the installation; `beginTask` first, or the wall shows nothing.
import { type SQL, sql } from 'drizzle-orm';
import { type Db, rowsOf } from './scope.ts';

/** Columns of a leaf, in order, as text. A new column of a table gets a new format of rows and a list of its own; these are never edited. */
const event = [
  'seq',
  'xid',
  'format',
  'id',
  'account_id',
  'at',
  'actor_key_id',
  'actor_kind',
  'actor_user_id',
  'action',
  'user_id',
  'attempted_user',
  'target',
  'outcome',
  'reason',
  'request_id',
  'address',
  'details',
] as const;
const intent = [
  'seq',
  'xid',
  'format',
  'id',
  'account_id',
  'at',
  'lease_until',
  'user_id',
  'actor_key_id',
  'actor_kind',
  'attempted_user',
  'server_id',
  'connector_id',
  'tool',
  'credential_id',
  'args_digest',
  'lane',
  'request_id',
  'idempotency_key',
  'address',
] as const;
const ending = [
  'outcome',
  'reason',
  'upstream_status',
  'latency_ms',
  'outcome_digest',
  'outcome_seq',
  'outcome_xid',
] as const;
export const leafColumns = { audit_events: event, calls: [...intent, ...ending] } as const;

const asText = (column: string): string => {
  if (column === 'at' || column === 'lease_until') return `(extract(epoch from ${column}) * 1000)::bigint::text`;
  if (column === 'args_digest' || column === 'outcome_digest') return `encode(${column}, 'hex')`;
  return `${column}::text`;
};
const columnsOf = (columns: readonly string[]): SQL =>
  sql.raw(`json_build_array(${columns.map(asText).join(', ')})::text as columns`);
const eventColumns = columnsOf(event);
const intentColumns = columnsOf(intent);
const outcomeColumns = columnsOf([...intent, ...ending]);

/** Any constant: replicas of one installation meet at it. */
const sealLock = 7_201_925_315;

/** Names the task for the wall. `seal` reads the trail of all accounts, `retention` may also delete what is closed. */
export async function beginTask(tx: Db, task: 'seal' | 'retention'): Promise<void> {
  await tx.execute(sql`select set_config('valet.task', ${task}, true)`);
}

/** As `beginTask`, and whether this transaction is the only one that seals, prunes or closes until it ends. */
export async function beginAlone(tx: Db, task: 'seal' | 'retention'): Promise<boolean> {
  const [row] = rowsOf(
    await tx.execute(
      sql`select set_config('valet.task', ${task}, true), pg_try_advisory_xact_lock(${sql.raw(String(sealLock))}) as mine`,
    ),
  );
  return row?.mine === true;
}

export interface Ahead {
  /** No transaction below is running: which rows are below is final. */
  horizon: string;
  /** The transaction of the last row that fits into `most`, where there are more. */
  cut: string | null;
  /** Of the first rows that are not covered; null: there are none. */
  waitingMs: number | null;
}

/** What lies at or above `h0`. Indexes: audit_xid, calls_xid, calls_outcome_xid. */
export async function lookAhead(tx: Db, h0: string, most: number): Promise<Ahead> {
  const from = sql`${h0}::xid8`;
  const [first] = rowsOf(
    await tx.execute(sql`select valet_trail_xid(pg_snapshot_xmin(pg_current_snapshot()))::text as horizon,
      extract(epoch from now() - least(
        (select at from audit_events where xid >= ${from} order by xid limit 1),
        (select at from calls where xid >= ${from} order by xid limit 1),
        (select at from calls where outcome_xid >= ${from} order by outcome_xid limit 1)))::double precision * 1000 as waiting`),
  );
  const horizon = first?.horizon as string;
  const waitingMs = first?.waiting === null ? null : Number(first?.waiting);
  if (waitingMs === null) return { horizon, cut: null, waitingMs };
  const range = (column: string) => sql`${sql.raw(column)} >= ${from} and ${sql.raw(column)} < ${horizon}::xid8`;
  const limit = sql.raw(String(most));
  const [nth] = rowsOf(
    await tx.execute(sql`select x::text as cut from (
      (select xid as x from audit_events where ${range('xid')} order by xid limit ${limit}) union all
      (select xid from calls where ${range('xid')} order by xid limit ${limit}) union all
      (select outcome_xid from calls where ${range('outcome_xid')} order by outcome_xid limit ${limit})) as m
      order by x offset ${sql.raw(String(most - 1))} limit 1`),
  );
  return { horizon, cut: (nth?.cut as string | undefined) ?? null, waitingMs };
}

export interface TrailRow {
  /** 0 event, 1 intent, 2 outcome. */
  kind: 0 | 1 | 2;
  seq: number;
  id: string;
  /** Of the row, or of its outcome. */
  xid: bigint;
  /** Of intents: something of an outcome is there without its position. */
  torn: boolean;
  columns: (string | null)[];
}

/** Rows of transactions in `[h0, h1)`, by kind and seq. Indexes: audit_xid, calls_xid, calls_outcome_xid. */
export async function readTrail(tx: Db, h0: string, h1: string): Promise<TrailRow[]> {
  const range = (column: string) => sql`${sql.raw(column)} >= ${h0}::xid8 and ${sql.raw(column)} < ${h1}::xid8`;
  const rows = rowsOf(
    await tx.execute(sql`
      select 0 as kind, seq, id, xid::text as xid, false as torn, ${eventColumns} from audit_events where ${range('xid')}
      union all
      select 1, seq, id, xid::text, outcome_xid is null and num_nonnulls(outcome, reason, upstream_status, latency_ms, outcome_digest, outcome_seq) > 0,
        ${intentColumns} from calls where ${range('xid')}
      union all
      select 2, seq, id, outcome_xid::text, false, ${outcomeColumns} from calls where ${range('outcome_xid')}
      order by 1, 2, 3`),
  );
  return rows.map((row) => ({
    kind: Number(row.kind) as TrailRow['kind'],
    seq: Number(row.seq),
    id: row.id as string,
    xid: BigInt(row.xid as string),
    torn: row.torn === true,
    columns: JSON.parse(row.columns as string) as (string | null)[],
  }));
}

export type TrailTable = 'calls' | 'audit_events';
export interface Place {
  table: TrailTable;
  seq: number;
  id: string;
}

const places = (rows: Record<string, unknown>[]): Place[] =>
  rows.map((row) => ({ table: row.table as TrailTable, seq: Number(row.seq), id: row.id as string }));

/** Rows that no checkpoint covers yet. */
export async function countUnsealed(tx: Db, h1: string): Promise<number> {
  const from = sql`${h1}::xid8`;
  const [row] = rowsOf(
    await tx.execute(sql`select ((select count(*) from audit_events where xid >= ${from}) + (select count(*) from calls where xid >= ${from})
      + (select count(*) from calls where outcome_xid >= ${from}))::text as n`),
  );
  return Number(row?.n ?? 0);
}

/** A row of a transaction that has not begun: such a row would never be sealed. */
export async function rowFromTheFuture(tx: Db): Promise<Place | undefined> {
  const after = sql`valet_trail_xid(pg_snapshot_xmax(pg_current_snapshot()))`;
  const rows = await tx.execute(sql`
    (select 'audit_events' as table, seq, id from audit_events where xid >= ${after} order by xid, seq limit 1) union all
    (select 'calls', seq, id from calls where xid >= ${after} order by xid, seq limit 1) union all
    (select 'calls', seq, id from calls where outcome_xid >= ${after} order by outcome_xid, seq limit 1) limit 1`);
  return places(rowsOf(rows))[0];
}

/** A row where retention left none: below the floor, and no later outcome covers it. */
export async function rowBelow(tx: Db, floor: string): Promise<Place | undefined> {
  const below = sql`xid < ${floor}::xid8`;
  const rows = await tx.execute(sql`
    (select 'audit_events' as table, seq, id from audit_events where ${below} order by xid, seq limit 1) union all
    (select 'calls', seq, id from calls where ${below} and (outcome_xid is null or outcome_xid < ${floor}::xid8) order by xid, seq limit 1) limit 1`);
  return places(rowsOf(rows))[0];
}

/** Where a row with this number is now. */
export async function rowAt(tx: Db, table: TrailTable, seq: number): Promise<Place | undefined> {
  const rows = await tx.execute(
    sql`select ${table}::text as table, seq, id from ${sql.raw(table)} where seq = ${seq} limit 1`,
  );
  return places(rowsOf(rows))[0];
}

/** Whether a call of a transaction below has no outcome yet. */
export async function hasOpenCallBelow(tx: Db, floor: string): Promise<boolean> {
  const rows = rowsOf(await tx.execute(sql`select from calls where outcome is null and xid < ${floor}::xid8 limit 1`));
  return rows.length > 0;
}

/** Deletes closed rows, at most `most` of each table; how many went. The database refuses all others. */
export async function deleteClosedRows(tx: Db, floor: string, most: number): Promise<number> {
  const limit = sql.raw(String(most));
  const below = sql`${floor}::xid8`;
  const events = rowsOf(
    await tx.execute(
      sql`delete from audit_events where id in (select id from audit_events where xid < ${below} order by xid limit ${limit}) returning 1`,
    ),
  );
  const ended = rowsOf(
    await tx.execute(
      sql`delete from calls where id in (select id from calls where xid < ${below} and outcome_xid < ${below} order by outcome_xid limit ${limit}) returning 1`,
    ),
  );
  return events.length + ended.length;
}

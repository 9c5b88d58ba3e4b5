// The checkpoints of the trail: read in order, added, and at last deleted. Only statements; what is signed and what is wrong belong to `audit/`.
// Every function wants a transaction in the scope of the installation, with its task named (`beginTask` of `trail`).
import { sql } from 'drizzle-orm';
import { type Db, rowsOf } from './scope.ts';

/** A checkpoint as the database holds it, without its leaves. */
export interface CheckpointRow {
  id: number;
  segment: number;
  format: number;
  /** Decimal text of xid8: rows of transactions in `[h0, h1)` are covered. */
  h0: string;
  h1: string;
  count: number;
  firstSeq: number | null;
  lastSeq: number | null;
  root: Buffer;
  previous: Buffer;
  signature: Buffer;
  /** Canonical JSON, as the database prints it; null on ordinary ones. */
  closing: string | null;
  /** Milliseconds since 1970, decimal text. */
  at: string;
}

const checkpointColumns =
  sql.raw(`id, segment, format, h0, h1, count, first_seq, last_seq, root, previous, signature, closing::text as closing,
  (extract(epoch from at) * 1000)::bigint::text as at`);

const numberOrNull = (value: unknown): number | null => (value === null ? null : Number(value));
const bytes = (value: unknown): Buffer => Buffer.from(value as Uint8Array);
const checkpointFrom = (row: Record<string, unknown>): CheckpointRow => ({
  id: Number(row.id),
  segment: Number(row.segment),
  format: Number(row.format),
  h0: row.h0 as string,
  h1: row.h1 as string,
  count: Number(row.count),
  firstSeq: numberOrNull(row.first_seq),
  lastSeq: numberOrNull(row.last_seq),
  root: bytes(row.root),
  previous: bytes(row.previous),
  signature: bytes(row.signature),
  closing: row.closing as string | null,
  at: row.at as string,
});

export async function lastCheckpoint(tx: Db): Promise<CheckpointRow | undefined> {
  const [row] = rowsOf(await tx.execute(sql`select ${checkpointColumns} from checkpoints order by id desc limit 1`));
  return row && checkpointFrom(row);
}

/** Ascending by id, from after `id`. */
export async function checkpointsAfter(tx: Db, id: number, most: number): Promise<CheckpointRow[]> {
  return rowsOf(
    await tx.execute(
      sql`select ${checkpointColumns} from checkpoints where id > ${id} order by id limit ${sql.raw(String(most))}`,
    ),
  ).map(checkpointFrom);
}

/** Newest first, from before `id`. */
export async function checkpointsBefore(tx: Db, id: number | undefined, offset: number, most: number) {
  const before = id === undefined ? sql`true` : sql`id < ${id}`;
  const rows = rowsOf(
    await tx.execute(
      sql`select ${checkpointColumns} from checkpoints where ${before} order by id desc limit ${most} offset ${offset}`,
    ),
  ).map(checkpointFrom);
  const [counted] = rowsOf(
    await tx.execute(sql`select count(*)::int as total from (select from checkpoints limit 10000) as newest`),
  );
  return { rows, total: Number(counted?.total ?? 0) };
}

/** Newest first. Index: checkpoints_closing. */
export async function closingCheckpoints(tx: Db): Promise<CheckpointRow[]> {
  return rowsOf(
    await tx.execute(
      sql`select ${checkpointColumns} from checkpoints where closing is not null order by id desc limit 100`,
    ),
  ).map(checkpointFrom);
}

/** The newest checkpoint made before this time whose number is in the chain: where retention may close. */
export async function lastCheckpointBefore(tx: Db, days: number): Promise<CheckpointRow | undefined> {
  const [row] = rowsOf(
    await tx.execute(sql`select ${checkpointColumns} from checkpoints
      where at < now() - ${days}::double precision * interval '1 day' order by id desc limit 1`),
  );
  return row && checkpointFrom(row);
}

export async function leavesBetween(tx: Db, first: number, last: number): Promise<Map<number, Buffer>> {
  const rows = rowsOf(await tx.execute(sql`select id, leaves from checkpoints where id between ${first} and ${last}`));
  return new Map(rows.map((row) => [Number(row.id), bytes(row.leaves)]));
}

/** One time for the checkpoint, and its JSON as the database will print it, so that what is signed is what is read later. */
export async function clockAndJson(tx: Db, json: object | null): Promise<{ at: string; closing: string | null }> {
  const text = json === null ? null : JSON.stringify(json);
  const [row] = rowsOf(
    await tx.execute(
      sql`select (extract(epoch from clock_timestamp()) * 1000)::bigint::text as at, (${text}::text)::jsonb::text as closing`,
    ),
  );
  return { at: row?.at as string, closing: (row?.closing as string | null) ?? null };
}

/** `unique (previous)` refuses a second one after the same. */
export async function insertCheckpoint(tx: Db, row: CheckpointRow & { leaves: Uint8Array }): Promise<void> {
  await tx.execute(sql`insert into checkpoints
    (id, segment, format, h0, h1, count, first_seq, last_seq, leaves, root, previous, signature, closing, at) overriding system value
    values (${row.id}, ${row.segment}, ${row.format}, ${row.h0}, ${row.h1}, ${row.count}, ${row.firstSeq}, ${row.lastSeq}, ${row.leaves}, ${row.root},
      ${row.previous}, ${row.signature}, (${row.closing}::text)::jsonb, to_timestamp((${row.at}::text)::numeric / 1000))`);
}

/** Deletes checkpoints up to the one that a closing one remembers, the oldest first; how many went. */
export async function deleteClosedCheckpoints(tx: Db, through: number, most: number): Promise<number> {
  return rowsOf(
    await tx.execute(sql`delete from checkpoints where id in
      (select id from checkpoints where id <= ${through} order by id limit ${sql.raw(String(most))}) returning 1`),
  ).length;
}

// Compares the trail with its seals: the whole chain, and every row with its leaf. Reads only, in short transactions, so that calls go on beside it.
//
// Finds the first thing that does not hold, in the order of the chain: a checkpoint that was changed, taken out, put in or moved; then, under a
// checkpoint that holds, a row that was changed, deleted, put in or moved. Without a copy kept elsewhere it cannot see a chain that was cut at its
// end or made anew by whoever holds the seal key; with one it can.
import type { Checkpoint } from '@mcp-valet/shared';
import type { Keyring } from '../crypto/keyring.ts';
import { type CheckpointRow, checkpointsAfter, closingCheckpoints, leavesBetween } from '../db/checkpoints.ts';
import type { Database } from '../db/client.ts';
import { type Db, installationScope, withScope } from '../db/scope.ts';
import { beginTask, countUnsealed, readTrail, rowAt, rowBelow, rowFromTheFuture, type TrailRow } from '../db/trail.ts';
import {
  bodyOf,
  type Closing,
  decodeLeaves,
  type Leaf,
  leafKinds,
  linkOf,
  noPrevious,
  readClosing,
  rootOf,
} from './checkpoint.ts';
import { leafFrom } from './sealer.ts';

export interface FirstBad {
  checkpointId: number | null;
  table: 'calls' | 'audit_events' | 'checkpoints' | null;
  seq: number | null;
  id: string | null;
  problem: string;
}

export interface Verdict {
  ok: boolean;
  checkpoints: number;
  /** Leaves that were compared: events, intents and outcomes. */
  rows: number;
  unsealed: number;
  firstBad: FirstBad | null;
}

export interface VerifyParts {
  db: Database;
  keyring: Pick<Keyring, 'installationId' | 'signSeal'>;
}

/** What a copy kept elsewhere says: number -> signature. */
export type OutsideCopy = ReadonlyMap<Checkpoint['checkpointId'], string>;

const checkpointsPerRead = 200;
const rowsPerRead = 5_000;

type Chain = { last: CheckpointRow | undefined; checkpoints: number; rows: number };

class Broken extends Error {
  readonly bad: FirstBad;
  constructor(bad: FirstBad) {
    super(bad.problem);
    this.bad = bad;
  }
}

const badCheckpoint = (id: number, problem: string): Broken =>
  new Broken({ checkpointId: id, table: 'checkpoints', seq: null, id: String(id), problem });

export async function verifyTrail(parts: VerifyParts, copy?: OutsideCopy): Promise<Verdict> {
  const chain: Chain = { last: undefined, checkpoints: 0, rows: 0 };
  const read = <T>(fn: (tx: Db) => Promise<T>): Promise<T> =>
    withScope(parts.db, installationScope, async (tx) => {
      await beginTask(tx, 'seal');
      return fn(tx);
    });
  let firstBad: FirstBad | null = null;
  try {
    await walk(parts, read, chain, copy);
    await lookAround(parts, read, chain, copy);
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    firstBad = error.bad;
  }
  const h1 = chain.last?.h1 ?? '0';
  const unsealed = firstBad === null ? await read((tx) => countUnsealed(tx, h1)) : 0;
  return { ok: firstBad === null, checkpoints: chain.checkpoints, rows: chain.rows, unsealed, firstBad };
}

type Read = <T>(fn: (tx: Db) => Promise<T>) => Promise<T>;

/** The newest closing checkpoint whose signature holds: it alone excuses what is missing. */
async function findClosing(parts: VerifyParts, read: Read): Promise<Closing | undefined> {
  for (const row of await read(closingCheckpoints)) {
    const closing = isSigned(parts, row) ? readClosing(row.closing) : undefined;
    if (closing !== undefined) return closing;
  }
  return undefined;
}

function isSigned({ keyring }: VerifyParts, row: CheckpointRow): boolean {
  return keyring.signSeal(bodyOf(keyring.installationId, row)).equals(row.signature);
}

async function walk(parts: VerifyParts, read: Read, chain: Chain, copy: OutsideCopy | undefined): Promise<void> {
  const closing = await findClosing(parts, read);
  for (;;) {
    const page = await read((tx) =>
      checkpointsAfter(tx, chain.last?.id ?? Number.MIN_SAFE_INTEGER, checkpointsPerRead),
    );
    if (page.length === 0) return;
    while (page.length > 0) {
      const group: CheckpointRow[] = [];
      let problem: Broken | undefined;
      for (let rows = 0; page[0] !== undefined && (group.length === 0 || rows + page[0].count <= rowsPerRead); ) {
        const row = page[0];
        problem = problemOf(parts, row, group.at(-1) ?? chain.last, closing, copy);
        if (problem !== undefined) break;
        rows += row.count;
        group.push(row);
        page.shift();
      }
      // Rows under good checkpoints come before the bad one.
      await compareRows(parts, read, group, closing);
      chain.checkpoints += group.length;
      chain.rows += group.reduce((sum, row) => sum + row.count, 0);
      chain.last = group.at(-1) ?? chain.last;
      if (problem !== undefined) throw problem;
    }
  }
}

function problemOf(
  parts: VerifyParts,
  row: CheckpointRow,
  last: CheckpointRow | undefined,
  closing: Closing | undefined,
  copy: OutsideCopy | undefined,
): Broken | undefined {
  const { installationId } = parts.keyring;
  if (!isSigned(parts, row))
    return badCheckpoint(row.id, 'The signature does not hold: the checkpoint was changed or put in');
  const outside = copy?.get(row.id);
  if (outside !== undefined && outside !== row.signature.toString('hex'))
    return badCheckpoint(
      row.id,
      'The copy kept outside has another checkpoint of this number: the chain was rewritten',
    );
  if (last === undefined) {
    const isFirst = row.id === 1 && row.previous.equals(noPrevious);
    if (isFirst) return undefined;
    if (closing === undefined) return badCheckpoint(row.id, 'The checkpoints before this one are missing');
    // Below what a closing checkpoint remembers the oldest may be gone already.
    if (row.id <= closing.through) return undefined;
    if (row.id === closing.through + 1 && row.previous.toString('hex') === closing.hash && row.h0 === closing.floor)
      return undefined;
    return badCheckpoint(row.id, 'The checkpoints before this one are missing');
  }
  if (row.id !== last.id + 1) return badCheckpoint(last.id + 1, 'The checkpoint is missing');
  if (!row.previous.equals(linkOf(installationId, last)) || row.h0 !== last.h1 || row.segment !== last.segment)
    return badCheckpoint(row.id, 'The checkpoint does not continue the one before it');
  if (
    closing !== undefined &&
    last.id === closing.through &&
    linkOf(installationId, last).toString('hex') !== closing.hash
  )
    return badCheckpoint(last.id, 'A closing checkpoint remembers another one of this number');
  return undefined;
}

async function compareRows(
  parts: VerifyParts,
  read: Read,
  group: readonly CheckpointRow[],
  closing: Closing | undefined,
): Promise<void> {
  const [first] = group;
  const last = group.at(-1);
  if (first === undefined || last === undefined) return;
  const { lists, rows } = await read(async (tx) => ({
    lists: await leavesBetween(tx, first.id, last.id),
    rows: await readTrail(tx, first.h0, last.h1),
  }));
  let next = 0;
  const byXid = rows.toSorted((a, b) => (a.xid < b.xid ? -1 : a.xid > b.xid ? 1 : 0));
  for (const checkpoint of group) {
    const list = lists.get(checkpoint.id) ?? Buffer.alloc(0);
    const leaves = decodeLeaves(list);
    if (leaves === undefined || leaves.length !== checkpoint.count || !rootOf(list).equals(checkpoint.root))
      throw badCheckpoint(checkpoint.id, 'The list of rows is not the one that was signed');
    const h1 = BigInt(checkpoint.h1);
    const own: TrailRow[] = [];
    for (let row = byXid[next]; row !== undefined && row.xid < h1; row = byXid[next]) {
      own.push(row);
      next++;
    }
    const bad = firstDifference(leaves, own, closing !== undefined && checkpoint.id <= closing.through);
    if (bad !== undefined) await report(parts, read, checkpoint, bad);
  }
}

type Difference = {
  kind: Leaf['kind'];
  seq: number;
  id: string | null;
  problem: 'changed' | 'missing' | 'extra' | 'torn';
};

/** The first in the order of leaves. Two rows may claim one number: what is left over when each leaf took its own was put in. */
function firstDifference(
  leaves: readonly Leaf[],
  rows: readonly TrailRow[],
  mayBeGone: boolean,
): Difference | undefined {
  const found: Difference[] = [];
  const unused = new Map<string, (Leaf & { id: string })[]>();
  for (const row of rows) {
    const leaf = { ...leafFrom(row), id: row.id };
    const place = `${leaf.kind} ${leaf.seq}`;
    unused.set(place, [...(unused.get(place) ?? []), leaf]);
    if (row.torn) found.push({ kind: leaf.kind, seq: leaf.seq, id: row.id, problem: 'torn' });
  }
  for (const { kind, seq, hash } of leaves) {
    const there = unused.get(`${kind} ${seq}`) ?? [];
    const same = there.findIndex((row) => row.hash.equals(hash));
    const [taken] = there.splice(Math.max(same, 0), 1);
    if (taken === undefined) {
      if (!mayBeGone) found.push({ kind, seq, id: null, problem: 'missing' });
    } else if (same === -1) found.push({ kind, seq, id: taken.id, problem: 'changed' });
  }
  for (const left of unused.values())
    for (const { kind, seq, id } of left) found.push({ kind, seq, id, problem: 'extra' });
  return found.sort((a, b) => leafKinds.indexOf(a.kind) - leafKinds.indexOf(b.kind) || a.seq - b.seq)[0];
}

async function report(parts: VerifyParts, read: Read, checkpoint: CheckpointRow, bad: Difference): Promise<void> {
  const table = bad.kind === 'event' ? 'audit_events' : 'calls';
  const what = { event: 'The event', intent: 'The call', outcome: 'The outcome of the call' }[bad.kind];
  let { id } = bad;
  let problem = `${what} was changed after it was sealed`;
  if (bad.problem === 'torn') problem = 'The call carries parts of an outcome that nothing sealed';
  if (bad.problem === 'extra') problem = `${what} was put in after its time was sealed`;
  if (bad.problem === 'missing') {
    // Retention may have begun since we looked.
    const closing = await findClosing(parts, read);
    if (closing !== undefined && checkpoint.id <= closing.through) return;
    const elsewhere = await read((tx) => rowAt(tx, table, bad.seq));
    id = elsewhere?.id ?? null;
    problem =
      elsewhere === undefined
        ? `${what} was deleted after it was sealed`
        : `${what} was moved or emptied after it was sealed`;
  }
  throw new Broken({ checkpointId: checkpoint.id, table, seq: bad.seq, id, problem });
}

/** What no checkpoint tells: rows outside of every range, and what the outside copy knows and the chain does not. */
async function lookAround(parts: VerifyParts, read: Read, chain: Chain, copy: OutsideCopy | undefined): Promise<void> {
  const closing = await findClosing(parts, read);
  if (closing !== undefined) {
    const [oldest] = await read((tx) => checkpointsAfter(tx, Number.MIN_SAFE_INTEGER, 1));
    const below =
      oldest !== undefined && oldest.id > closing.through ? await read((tx) => rowBelow(tx, closing.floor)) : undefined;
    if (below !== undefined)
      throw new Broken({ checkpointId: null, ...below, problem: 'The row was put in where retention had left none' });
  }
  const future = await read(rowFromTheFuture);
  if (future !== undefined)
    throw new Broken({ checkpointId: null, ...future, problem: 'The row claims a transaction that has not been' });
  if (copy === undefined) return;
  const lastId = chain.last?.id ?? 0;
  const cut = [...copy.keys()].filter((id) => id > lastId).sort((a, b) => a - b)[0];
  if (cut !== undefined)
    throw badCheckpoint(cut, 'The copy kept outside has this checkpoint and the database does not: the chain was cut');
}

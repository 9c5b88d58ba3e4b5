// Seals the trail in the background: every second, whichever replica is first signs what was committed since the last checkpoint.
//
// Guarantee: a committed row is in exactly one checkpoint of one chain, because a checkpoint covers the transactions between two horizons below
// which none is running: sequence numbers commit out of order, these cannot. `unique (previous)` fences a second sealer behind the lock.
// Order: lock, last checkpoint, horizon, then the rows below it, signed, in one transaction; then the log and the outside copy. The rows below a
// horizon are final once it was read, whatever later statements of the transaction see.
// Failure: calls go on. The next look covers what this one did not; more than a minute behind is a warning, kill -9 leaves a whole chain.
import { appendFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Keyring } from '../crypto/keyring.ts';
import { type CheckpointRow, clockAndJson, insertCheckpoint, lastCheckpoint } from '../db/checkpoints.ts';
import type { Database } from '../db/client.ts';
import { isUniqueViolation } from '../db/errors.ts';
import { type Db, installationScope, withScope } from '../db/scope.ts';
import { beginAlone, lookAhead, readTrail, type TrailRow } from '../db/trail.ts';
import {
  bodyOf,
  type Closing,
  checkpointFormat,
  encodeLeaves,
  type Leaf,
  leafKinds,
  leafOf,
  linkOf,
  noPrevious,
  rootOf,
  shownCheckpoint,
} from './checkpoint.ts';

const everyMs = 1_000;
/** An empty checkpoint says that nothing happened; once a minute is enough. */
const emptyAfterMs = 60_000;
const behindMs = 60_000;
const warnEveryMs = 60_000;
/** A checkpoint of so many rows takes some 50 ms: of the process that seals, and on the embedded database of everybody. */
const rowsPerCheckpoint = 2_000;
const closingPatienceMs = 3_000;

export interface SealParts {
  db: Database;
  keyring: Pick<Keyring, 'installationId' | 'signSeal'>;
  log: Logger;
  /** Each checkpoint is appended to this file, a line each: the copy that a superuser of the database cannot rewrite. */
  copyFile?: string | undefined;
  /** For tests. */
  rowsPerCheckpoint?: number;
}

export interface Sealer {
  /** Seals all that is committed now, unless another replica is at it. */
  sealNow(): Promise<void>;
  /** How long the oldest row has waited for its seal, as far as this process knows; 0 where another one seals. */
  lagMs(): number;
  /** A last seal, then nothing more. */
  close(): Promise<void>;
}

/** Signs a checkpoint after the last one. In a transaction that holds the lock. */
export async function addCheckpoint(
  tx: Db,
  keyring: SealParts['keyring'],
  last: CheckpointRow | undefined,
  what: { h1: string; leaves: readonly Leaf[]; closing: Closing | null },
): Promise<CheckpointRow> {
  const leaves = encodeLeaves(what.leaves);
  const unsigned = {
    id: (last?.id ?? 0) + 1,
    segment: last?.segment ?? 1,
    format: checkpointFormat,
    h0: last?.h1 ?? '0',
    h1: what.h1,
    count: what.leaves.length,
    firstSeq: what.leaves[0]?.seq ?? null,
    lastSeq: what.leaves.at(-1)?.seq ?? null,
    root: rootOf(leaves),
    previous: last === undefined ? noPrevious : linkOf(keyring.installationId, last),
    ...(await clockAndJson(tx, what.closing)),
  };
  const row = { ...unsigned, signature: keyring.signSeal(bodyOf(keyring.installationId, unsigned)) };
  await insertCheckpoint(tx, { ...row, leaves });
  return row;
}

export const leafFrom = ({ kind, seq, columns }: TrailRow): Leaf => {
  const name = leafKinds[kind];
  return { kind: name, seq, hash: leafOf(name, columns) };
};

type Look =
  | { state: 'busy' }
  | { state: 'idle'; waitingMs: number }
  | { state: 'restarted' }
  | { state: 'sealed'; row: CheckpointRow; hasMore: boolean; waitingMs: number };

async function sealOnce(parts: SealParts): Promise<Look> {
  const most = parts.rowsPerCheckpoint ?? rowsPerCheckpoint;
  return withScope(parts.db, installationScope, async (tx): Promise<Look> => {
    if (!(await beginAlone(tx, 'seal'))) return { state: 'busy' };
    const last = await lastCheckpoint(tx);
    const h0 = last?.h1 ?? '0';
    const { horizon, cut, waitingMs } = await lookAhead(tx, h0, most);
    // A restored database counts its transactions from the start again: what is newer cannot be told from what is older by number.
    if (BigInt(horizon) < BigInt(h0)) return { state: 'restarted' };
    if (waitingMs === null && last !== undefined && Date.now() - Number(last.at) < emptyAfterMs)
      return { state: 'idle', waitingMs: 0 };
    const h1 = cut === null ? horizon : String(BigInt(cut) + 1n);
    const rows = waitingMs === null ? [] : await readTrail(tx, h0, h1);
    // All that waits belongs to transactions that are still running, or beside one.
    if (waitingMs !== null && rows.length === 0) return { state: 'idle', waitingMs };
    const row = await addCheckpoint(tx, parts.keyring, last, { h1, leaves: rows.map(leafFrom), closing: null });
    return { state: 'sealed', row, hasMore: cut !== null && h1 !== horizon, waitingMs: waitingMs ?? 0 };
  });
}

/** Tells the log and the outside copy of a checkpoint. Never throws. */
export async function tellCheckpoint(parts: Pick<SealParts, 'log' | 'copyFile'>, row: CheckpointRow): Promise<void> {
  const checkpoint = shownCheckpoint(row);
  parts.log.info({ checkpoint }, 'checkpoint');
  if (parts.copyFile === undefined) return;
  try {
    await appendFile(parts.copyFile, `${JSON.stringify(checkpoint)}\n`, { mode: 0o600 });
  } catch (error) {
    parts.log.error({ code: codeOf(error), checkpointId: row.id }, 'checkpoint_copy_failed');
  }
}

export function createSealer(parts: SealParts): Sealer {
  const { log } = parts;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let isClosed = false;
  const lastWarned = new Map<string, number>();
  /** The newest that this process has seen: a chain that ends before it was cut. */
  let known = 0;
  let waitingMs = 0;
  let lookedAt = Date.now();

  const warn = (message: string, fields: object): void => {
    const at = Date.now();
    if (at - (lastWarned.get(message) ?? Number.NEGATIVE_INFINITY) < warnEveryMs) return;
    lastWarned.set(message, at);
    log.warn(fields, message);
  };

  const sealAll = async (untilMs: number): Promise<void> => {
    for (let hasMore = true; hasMore && Date.now() < untilMs; ) {
      hasMore = false;
      const look = await sealOnce(parts);
      [lookedAt, waitingMs] = [Date.now(), 'waitingMs' in look ? look.waitingMs : 0];
      if (look.state === 'restarted') warn('seal_horizon_went_back', {});
      if ((look.state === 'idle' || look.state === 'sealed') && look.waitingMs > behindMs)
        warn('seal_behind', { behindMs: Math.round(look.waitingMs) });
      if (look.state !== 'sealed') continue;
      if (look.row.id <= known) log.error({ checkpointId: look.row.id, known }, 'checkpoint_chain_was_cut');
      known = look.row.id;
      hasMore = look.hasMore;
      await tellCheckpoint(parts, look.row);
      // Calls first: the next batch waits for what is due now.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  const attempt = async (untilMs: number): Promise<void> => {
    try {
      await sealAll(untilMs);
    } catch (error) {
      // Another sealer was first, with the same checkpoint before it.
      if (!isUniqueViolation(error)) warn('seal_failed', { code: codeOf(error) });
    }
  };

  /** One at a time in this process; whoever comes meanwhile has a look of its own afterwards. */
  const look = (untilMs: number): Promise<void> => {
    const next = (running ?? Promise.resolve()).then(() => attempt(untilMs));
    running = next;
    return next;
  };

  const plan = (): void => {
    if (isClosed) return;
    timer = setTimeout(() => void look(Date.now() + 30_000).then(plan), everyMs);
    timer.unref();
  };
  plan();

  return {
    sealNow: () => look(Number.POSITIVE_INFINITY),
    // A look is due every second: what is older is a look that failed.
    lagMs: () => waitingMs + Math.max(0, Date.now() - lookedAt - 2 * everyMs),
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await look(Date.now() + closingPatienceMs);
    },
  };
}

const codeOf = (error: unknown): string =>
  error instanceof Error ? `${error.name}${'code' in error ? ` ${String(error.code)}` : ''}` : 'unknown';

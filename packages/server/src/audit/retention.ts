// Deletes the trail that is older than the operator keeps it: once an hour it looks whether a day's worth is due.
//
// Guarantee: nothing goes that was not sealed, and what went stays accounted for. First a closing checkpoint is signed and committed: it remembers
// the last checkpoint below which rows may be gone. Only then rows go, in batches, and at last the checkpoints that it stands for.
// The database enforces the same: without a closing checkpoint above it no row can be deleted, whatever is asked.
// Failure: kill -9 between two batches leaves rows that the next look deletes.
import type { Logger } from 'pino';
import type { Keyring } from '../crypto/keyring.ts';
import {
  type CheckpointRow,
  closingCheckpoints,
  deleteClosedCheckpoints,
  lastCheckpoint,
  lastCheckpointBefore,
} from '../db/checkpoints.ts';
import type { Database } from '../db/client.ts';
import { type Db, installationScope, withScope } from '../db/scope.ts';
import { beginAlone, deleteClosedRows, hasOpenCallBelow } from '../db/trail.ts';
import { type Closing, linkOf, readClosing } from './checkpoint.ts';
import { addCheckpoint, tellCheckpoint } from './sealer.ts';

const everyMs = 3_600_000;
const firstMs = 60_000;
/** A closing checkpoint per day at most: the floor moves in days. */
const closeEveryMs = 86_400_000;
const rowsPerBatch = 2_000;
const pauseMs = 50;

export interface RetentionParts {
  db: Database;
  keyring: Pick<Keyring, 'installationId' | 'signSeal'>;
  log: Logger;
  copyFile?: string | undefined;
  /** Undefined: everything is kept. */
  days: number | undefined;
}

export interface Retention {
  /** Closes and deletes what is due; how many rows went. */
  prune(): Promise<number>;
  close(): Promise<void>;
}

type Alone = <T>(fn: (tx: Db) => Promise<T>) => Promise<T | undefined>;

export function createRetention(parts: RetentionParts): Retention {
  const { db, keyring, log, days } = parts;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let running: Promise<number> = Promise.resolve(0);

  /** Undefined: another replica is at it, or sealing. */
  const alone: Alone = (fn) =>
    withScope(db, installationScope, async (tx) => ((await beginAlone(tx, 'retention')) ? fn(tx) : undefined));

  const close = async (keepDays: number): Promise<CheckpointRow | undefined> =>
    alone(async (tx) => {
      const last = await lastCheckpoint(tx);
      const upTo = await lastCheckpointBefore(tx, keepDays);
      if (last === undefined || upTo === undefined) return undefined;
      const [newest] = await closingCheckpoints(tx);
      const closed = readClosing(newest?.closing ?? null);
      if (closed !== undefined && closed.through >= upTo.id) return undefined;
      if (newest !== undefined && Number(last.at) - Number(newest.at) < closeEveryMs && keepDays > 0) return undefined;
      // The sweeper ends such a call within minutes; its row goes another day.
      if (await hasOpenCallBelow(tx, upTo.h1)) return undefined;
      const hash = linkOf(keyring.installationId, upTo).toString('hex');
      return addCheckpoint(tx, keyring, last, {
        h1: last.h1,
        leaves: [],
        closing: { through: upTo.id, hash, floor: upTo.h1 },
      });
    });

  const inBatches = async (batch: (tx: Db, closed: Closing) => Promise<number>): Promise<number> => {
    let all = 0;
    for (;;) {
      const gone = isClosed
        ? 0
        : await alone(async (tx) => {
            const [newest] = await closingCheckpoints(tx);
            const closed = readClosing(newest?.closing ?? null);
            return closed === undefined ? 0 : batch(tx, closed);
          });
      if (gone === 0) return all;
      all += gone ?? 0;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };

  const pruneOnce = async (): Promise<number> => {
    if (days === undefined) return 0;
    const closing = await close(days);
    if (closing !== undefined) await tellCheckpoint(parts, closing);
    const rows = await inBatches((tx, { floor }) => deleteClosedRows(tx, floor, rowsPerBatch));
    const checkpoints = await inBatches((tx, { through }) => deleteClosedCheckpoints(tx, through, rowsPerBatch));
    if (rows + checkpoints > 0) log.info({ rows, checkpoints, days }, 'audit_retention');
    return rows;
  };

  const prune = (): Promise<number> => {
    running = running.then(pruneOnce, pruneOnce);
    return running;
  };

  const plan = (delayMs: number): void => {
    if (isClosed || days === undefined) return;
    timer = setTimeout(() => {
      prune()
        .catch((error: unknown) => {
          log.warn({ name: error instanceof Error ? error.name : typeof error }, 'audit_retention_failed');
        })
        .finally(() => plan(everyMs));
    }, delayMs);
    timer.unref();
  };
  plan(firstMs);

  return {
    prune,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await running.catch(() => undefined);
    },
  };
}

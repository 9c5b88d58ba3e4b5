// How many replicas are alive: each says so every three seconds in the database, and is forgotten after ten. Who they are is nobody's business.
// Failure: the last number stays. More replicas than known are found out with the next beat that works.
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Database } from './db/client.ts';
import { beatReplica } from './db/windows.ts';

export interface Replicas {
  /** At least this one. */
  live(): number;
  /** Says that this one is gone. */
  leave(): Promise<void>;
}

const everyMs = 3_000;
const aliveMs = 10_000;

export async function joinReplicas({ db, log }: { db: Database; log: Logger }): Promise<Replicas> {
  // Nobody else opens an embedded database.
  if (db.kind !== 'postgres') return { live: () => 1, leave: async () => undefined };
  const id = randomUUID();
  let alive = await beatReplica(db, id, aliveMs);
  let beating: Promise<void> | undefined;
  const beat = async (): Promise<void> => {
    try {
      alive = await beatReplica(db, id, aliveMs);
    } catch (error) {
      log.debug({ name: error instanceof Error ? error.name : typeof error }, 'replica_beat_failed');
    }
  };
  const timer = setInterval(() => {
    beating ??= beat().finally(() => {
      beating = undefined;
    });
  }, everyMs);
  timer.unref();
  return {
    live: () => Math.max(1, alive),
    async leave() {
      clearInterval(timer);
      await beating;
      // Whoever cannot say so is forgotten all the same.
      await beatReplica(db, id, 0).catch((error: unknown) =>
        log.debug({ name: error instanceof Error ? error.name : typeof error }, 'replica_leave_failed'),
      );
    },
  };
}

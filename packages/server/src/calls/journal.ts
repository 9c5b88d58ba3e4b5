// The journal of calls: intent committed before a byte leaves, outcome afterwards, each in group commits.
//
// Guarantee: a call whose intent could not be committed does not run; a keyed call runs at most once in 24 hours.
// Order: one batch of each kind is in flight, the next collects meanwhile; no timer, so a lone call waits for nothing but its own row.
// Failure: a full queue or a failed insert refuses the call (503). A failed outcome is kept and retried; the row's lease ends it as
// `unknown` if the process dies first.
import type { Logger } from 'pino';
import type { Database } from '../db/client.ts';
import { beginCalls, type CallEnd, type CallIntent, endCalls, type StandingClaim, sweepCalls } from '../db/hot-path.ts';
import { Refusal } from '../refusal.ts';

const maxBatch = 500;
const maxQueuedIntents = 2_000;
const maxQueuedOutcomes = 10_000;
const outcomeWaitMs = 250;
const retryDelayMs = 200;
const sweepEveryMs = 15_000;

interface Waiting<T> {
  item: T;
  resolve(): void;
  reject(error: unknown): void;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Collects items while a batch is being written, then writes what has collected. */
class Batcher<T> {
  #queue: Waiting<T>[] = [];
  #running: Promise<void> | undefined;
  readonly #write: (batch: Waiting<T>[]) => Promise<void>;
  constructor(write: (batch: Waiting<T>[]) => Promise<void>) {
    this.#write = write;
  }
  get size(): number {
    return this.#queue.length;
  }
  push(item: T): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      this.#running ??= this.#drain();
    });
  }
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      // A turn of the event loop before each batch: what is readable now is read first and shares the statement. A lone call waits microseconds.
      await turn();
      await this.#write(this.#queue.splice(0, maxBatch));
    }
    this.#running = undefined;
  }
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }
}

export interface Journal {
  /** Commits the intent. Undefined: it may run. Otherwise the claim that stands in its way. */
  begin(intent: CallIntent): Promise<StandingClaim | undefined>;
  /** Writes the outcome; returns when it is committed, or after 250 ms with the row still queued. */
  end(end: CallEnd): Promise<void>;
  /** Outcomes that are not committed yet. */
  readonly late: number;
  /** Intents that wait for their batch. */
  readonly waiting: number;
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface JournalOptions {
  db: Database;
  log: Logger;
  /** An outcome that came after the sweeper had closed the row. */
  onLate(callId: string, accountId: string): void;
}

const unavailable = (reason: string): Refusal =>
  new Refusal('UNAVAILABLE', 'The call cannot be recorded now, so it was not made', { retryAfterMs: 1000, reason });

export function createJournal({ db, log, onLate }: JournalOptions): Journal {
  const standing = new Map<string, StandingClaim>();
  let isClosed = false;

  const intents = new Batcher<CallIntent>(async (batch) => {
    try {
      const refused = await beginCalls(
        db,
        batch.map((waiting) => waiting.item),
      );
      for (const [id, claim] of refused) standing.set(id, claim);
      for (const waiting of batch) waiting.resolve();
    } catch (error) {
      // Nothing of the batch was committed, or nobody knows: none of these calls may run.
      for (const waiting of batch) waiting.reject(error);
    }
  });

  const outcomes = new Batcher<CallEnd>(async (batch) => {
    const accounts = new Map(batch.map(({ item }) => [item.id, item.accountId]));
    for (;;) {
      try {
        const late = await endCalls(
          db,
          batch.map((waiting) => waiting.item),
        );
        for (const waiting of batch) waiting.resolve();
        for (const id of late) onLate(id, accounts.get(id) ?? '');
        return;
      } catch (error) {
        log.warn({ code: codeOf(error), rows: batch.length }, 'journal_outcome_late');
        if (isClosed) {
          for (const waiting of batch) waiting.reject(error);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, retryDelayMs));
      }
    }
  });

  const sweep = async (graceMs: number): Promise<void> => {
    try {
      await sweepCalls(db, graceMs, 1_000);
    } catch (error) {
      log.warn({ code: codeOf(error) }, 'journal_sweep_failed');
    }
  };
  const sweeper = setInterval(() => void sweep(5_000), sweepEveryMs);
  sweeper.unref();

  return {
    async begin(intent) {
      if (isClosed || intents.size >= maxQueuedIntents || outcomes.size >= maxQueuedOutcomes)
        throw unavailable('journal_full');
      try {
        await intents.push(intent);
      } catch (error) {
        log.error({ code: codeOf(error), requestId: intent.requestId }, 'journal_intent_failed');
        throw unavailable('journal_failed');
      }
      const claim = standing.get(intent.id);
      standing.delete(intent.id);
      return claim;
    },
    async end(end) {
      await new Promise<void>((resolve) => {
        const patience = setTimeout(resolve, outcomeWaitMs);
        const written = (): void => {
          clearTimeout(patience);
          resolve();
        };
        outcomes.push(end).then(written, (error: unknown) => {
          log.error({ code: codeOf(error), callId: end.id }, 'journal_outcome_lost');
          written();
        });
      });
    },
    get late() {
      return outcomes.size;
    },
    get waiting() {
      return intents.size;
    },
    async flush() {
      await intents.idle();
      await outcomes.idle();
    },
    async close() {
      clearInterval(sweeper);
      isClosed = true;
      await intents.idle();
      await outcomes.idle();
    },
  };
}

const codeOf = (error: unknown): string =>
  error instanceof Error ? `${error.name}${'code' in error ? ` ${String(error.code)}` : ''}` : 'unknown';

// The breaker before PostgreSQL: while the database is silent, work is refused at once instead of waiting for its deadline each time.
//
// Guarantee: five failures to reach the database within ten seconds, with no good answer to what began after them, open it. An answer after more
// than a second is a failure too: a request asks some ten times. While it is open nothing waits, and one look a second goes through a pool of
// its own, because a pool whose server hung keeps its dead sockets. The pool of the first look that is answered in time serves from then on; what
// still runs on the old one has two seconds to end. Knows no statement: an error that the server itself answered does not count, and one tenant's
// slow search does not either, as long as others are answered.
import type { Driver } from './driver.ts';
import { DatabaseUnavailable } from './errors.ts';

const maxFailures = 5;
/** Closer together they are one: a process that stood still hears of all its statements late, and at once. */
const apartMs = 200;
const withinMs = 10_000;
const probeEveryMs = 1_000;
/** Shorter than the time between two looks, and no longer than what counts as an answer. */
const probeWithinMs = 900;
const slowStatementMs = 1_000;
const slowTransactionMs = 2_000;

/** Timeouts that a living server announces by itself: a lock, a long statement, an idle transaction. */
const saidByServer = new Set(['55P03', '57014', '25P03']);

export interface Breaker extends Driver {
  /** False while work is refused without asking. */
  isReachable(): boolean;
}

export function withBreaker(open: () => Driver, now: () => number = () => performance.now()): Breaker {
  let pool = open();
  let isOpen = false;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  let failures: number[] = [];

  /** Not waited for: a server that hangs never says goodbye. */
  const drop = (old: Driver): void => void old.close().catch(() => undefined);

  const probe = async (): Promise<void> => {
    const fresh = open();
    const answers = await fresh.ping(probeWithinMs);
    if (isClosed || !answers) {
      drop(fresh);
      if (!isClosed) plan();
      return;
    }
    pool = fresh;
    failures = [];
    isOpen = false;
  };
  const plan = (): void => {
    timer = setTimeout(() => void probe(), probeEveryMs);
    timer.unref();
  };

  const failed = (): void => {
    const at = now();
    if (at - (failures.at(-1) ?? Number.NEGATIVE_INFINITY) < apartMs) return;
    failures = [...failures.filter((since) => at - since < withinMs), at];
    if (isOpen || isClosed || failures.length < maxFailures) return;
    isOpen = true;
    drop(pool);
    plan();
  };

  const guarded = async <T>(slowMs: number, work: (on: Driver) => Promise<T>): Promise<T> => {
    if (isOpen) throw new DatabaseUnavailable('BREAKER_OPEN');
    const on = pool;
    const beganAt = now();
    try {
      const result = await work(on);
      if (on !== pool) return result;
      if (now() - beganAt > slowMs) failed();
      // What began before the last failure may have been answered before the database fell silent.
      else if (failures.length > 0 && beganAt > (failures.at(-1) ?? 0)) failures = [];
      return result;
    } catch (error) {
      // A pool that has been replaced says nothing about the one that serves.
      if (on === pool && error instanceof DatabaseUnavailable && !saidByServer.has(error.code)) failed();
      throw error;
    }
  };

  return {
    isReachable: () => !isOpen,
    call: (text, params) => guarded(slowStatementMs, (on) => on.call(text, params)),
    read: (scope, text, params) => guarded(slowStatementMs, (on) => on.read(scope, text, params)),
    transaction: (scope, fn) => guarded(slowTransactionMs, (on) => on.transaction(scope, fn)),
    asOwner: (fn) => pool.asOwner(fn),
    ping: async (timeoutMs) => !isOpen && pool.ping(timeoutMs),
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await pool.close();
    },
  };
}

// Windows that all replicas count in, with this replica's own window beside them for when the store fails.
//
// Guarantee: a call is admitted by the store, or by the replica's share of the limit in its own window, which has counted everything that this
// replica admitted; never by nobody. What was admitted without the store is counted there as soon as it answers again.
// Failure: an error, or no answer within 50 ms. After three in a row the store is asked once a second, so that a dead one delays nobody.
import type { Logger } from 'pino';
import type { SlidingWindowStore, WindowState } from './window.ts';
import { WindowStoreFull } from './window.ts';

/** Where the windows of all replicas are. The clock is the store's own. */
export interface WindowStore {
  readonly name: 'postgres' | 'redis';
  /** Counts one attempt if it fits, after `extra` that were admitted elsewhere. */
  take(key: string, windowMs: number, max: number, extra: number): Promise<WindowState>;
  peek(key: string, windowMs: number, max: number): Promise<WindowState>;
  /** Takes back the oldest count that is at most `ageMs` old. */
  giveBack(key: string, windowMs: number, ageMs: number): Promise<void>;
}

/** Whether the replica's own window decides when the store does not, or nobody. */
export type WhenDown = 'own' | 'refuse';

export interface LimiterHealth {
  store: 'memory' | 'postgres' | 'redis';
  /** False: the replica's own windows decide. */
  ok: boolean;
  liveReplicas: number;
  /** Questions to the store that failed or took too long, since the start. */
  failures: number;
  /** Decisions that the replica's own windows made instead, since the start. */
  ownDecisions: number;
}

/** What the choke point counts in. */
export interface Windows {
  take(key: string, windowMs: number, max: number, whenDown: WhenDown): WindowState | Promise<WindowState>;
  peek(key: string, windowMs: number, max: number): WindowState | Promise<WindowState>;
  /** What is known without asking anybody. Over `max`: the next attempt is refused. */
  glance(key: string, windowMs: number, max: number): WindowState;
  /** Takes back one count that was made at or after `at`, by this process's clock. */
  giveBack(key: string, windowMs: number, at: number): void;
  health(): LimiterHealth;
}

/** Windows of one process. */
export function ownWindows(own: SlidingWindowStore): Windows {
  return {
    take: (key, windowMs, max) => own.take(key, windowMs, max),
    peek: (key, windowMs, max) => own.peek(key, windowMs, max),
    glance: (key, windowMs, max) => own.peek(key, windowMs, max),
    giveBack: (key, windowMs, at) => own.giveBack(key, windowMs, at),
    health: () => ({ store: 'memory', ok: true, liveReplicas: 1, failures: 0, ownDecisions: 0 }),
  };
}

export interface SharedParts {
  store: WindowStore;
  own: SlidingWindowStore;
  now: () => number;
  /** How many replicas share a limit when the store fails. */
  live: () => number;
  log: Pick<Logger, 'warn' | 'info'>;
  /** For tests that count: how long an answer may take. Read anew for each question. */
  patienceMs?: number | undefined;
}

const patienceMs = 50;
/** Where nobody decides instead, a slow answer is better than none. */
const longPatienceMs = 2_000;
const failuresToOpen = 3;
const askAgainMs = 1_000;
const warnEveryMs = 60_000;
/** Clocks differ: an older count that goes instead of ours leaves ours to go later. */
const giveBackMarginMs = 250;
const maxBlocked = 100_000;

/** No store, and nobody else may decide. */
export class WindowStoreDown extends Error {
  override readonly name = 'WindowStoreDown';
}

type Told = { is: 'answered'; state: WindowState } | { is: 'failed'; why: string } | { is: 'late' };

async function inTime(asked: Promise<WindowState>, withinMs: number): Promise<Told> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Told>((resolve) => {
    // An answer that has arrived while this process was busy is read before the immediate.
    timer = setTimeout(() => setImmediate(() => resolve({ is: 'late' })), withinMs);
  });
  const answer = asked.then(
    (state): Told => ({ is: 'answered', state }),
    (error: unknown): Told => ({ is: 'failed', why: error instanceof Error ? error.name : typeof error }),
  );
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

export class SharedWindows implements Windows {
  readonly #parts: SharedParts;
  /** Admitted here and not counted in the store yet, and when last. */
  readonly #unsent = new Map<string, { count: number; at: number; windowMs: number }>();
  /** Refused by the store, and so until then: asking again would be told the same. `endsAt`: what the store said. */
  readonly #blocked = new Map<string, { max: number; askAt: number; endsAt: number }>();
  #failuresInRow = 0;
  #askAt = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #ownDecisions = 0;

  constructor(parts: SharedParts) {
    this.#parts = parts;
  }

  async take(key: string, windowMs: number, max: number, whenDown: WhenDown): Promise<WindowState> {
    const blockedMs = this.#blockedFor(key, max);
    if (blockedMs > 0) return { current: max + 1, ttl: blockedMs };
    // Whoever may not decide alone asks in any case: a store that was late for others, who wait 50 ms, may answer in time for this.
    if (whenDown === 'own' && !this.#mayAsk()) return this.#decideAlone(key, windowMs, max, whenDown);
    const extra = this.#takeUnsent(key);
    const asked = this.#parts.store.take(key, windowMs, max, extra);
    const told = await inTime(asked, whenDown === 'own' ? (this.#parts.patienceMs ?? patienceMs) : longPatienceMs);
    if (told.is === 'answered') {
      this.#worked();
      this.#learn(key, windowMs, max, told.state);
      return told.state;
    }
    this.#failed(told.is === 'late' ? 'late' : told.why);
    if (told.is === 'failed') this.#addUnsent(key, windowMs, extra);
    let isAdmitted = false;
    try {
      const state = this.#decideAlone(key, windowMs, max, whenDown);
      isAdmitted = state.current <= max;
      return state;
    } finally {
      if (told.is === 'late') this.#settle(asked, { key, windowMs, max, extra, isAdmitted });
    }
  }

  async peek(key: string, windowMs: number, max: number): Promise<WindowState> {
    if (!this.#mayAsk()) return this.#lookAlone(key, windowMs, max);
    const told = await inTime(this.#parts.store.peek(key, windowMs, max), this.#parts.patienceMs ?? patienceMs);
    if (told.is === 'answered') {
      this.#worked();
      return told.state;
    }
    this.#failed(told.is === 'late' ? 'late' : told.why);
    return this.#lookAlone(key, windowMs, max);
  }

  glance(key: string, windowMs: number, max: number): WindowState {
    const ttl = this.#blockedFor(key, max);
    if (ttl > 0) return { current: max, ttl };
    return this.#isDown() ? this.#lookAlone(key, windowMs, max) : { current: 0, ttl: 0 };
  }

  giveBack(key: string, windowMs: number, at: number): void {
    const { own, now } = this.#parts;
    own.giveBack(key, windowMs, at);
    this.#takeBack(key, windowMs, now() - at + giveBackMarginMs);
  }

  health(): LimiterHealth {
    const [ok, liveReplicas] = [!this.#isDown(), Math.max(1, this.#parts.live())];
    return {
      store: this.#parts.store.name,
      ok,
      liveReplicas,
      failures: this.#failures,
      ownDecisions: this.#ownDecisions,
    };
  }

  /** One count less at the store, or one less to tell it. A failure leaves the count where it is: too many, never too few. */
  #takeBack(key: string, windowMs: number, ageMs: number): void {
    this.#blocked.delete(key);
    const unsent = this.#unsent.get(key);
    if (unsent !== undefined && unsent.count > 0) {
      unsent.count--;
      return;
    }
    if (this.#isDown()) return;
    this.#parts.store.giveBack(key, windowMs, ageMs).catch((error: unknown) => {
      this.#failed(error instanceof Error ? error.name : typeof error);
    });
  }

  /** What a late answer changes: the store has counted, or refused, a call that was decided here meanwhile. */
  #settle(
    asked: Promise<WindowState>,
    call: { key: string; windowMs: number; max: number; extra: number; isAdmitted: boolean },
  ): void {
    const { key, windowMs, max, extra, isAdmitted } = call;
    const from = this.#parts.now();
    asked.then(
      ({ current }) => {
        // Counted in both places, or admitted there and refused here.
        if (current <= max) this.#takeBack(key, windowMs, this.#parts.now() - from + longPatienceMs + giveBackMarginMs);
        if (!isAdmitted) this.#blocked.delete(key);
      },
      () => this.#addUnsent(key, windowMs, extra),
    );
  }

  /** The own window follows what the store admitted; a refusal is remembered for as long as a slot lasts. */
  #learn(key: string, windowMs: number, max: number, { current, ttl }: WindowState): void {
    const { own, now } = this.#parts;
    if (current > max) {
      if (this.#blocked.size >= maxBlocked) this.#blocked.clear();
      const at = now();
      this.#blocked.set(key, { max, askAt: at + Math.min(ttl, windowMs / 60, 1_000), endsAt: at + ttl });
      return;
    }
    try {
      own.take(key, windowMs, Number.POSITIVE_INFINITY);
    } catch (error) {
      // The store has counted it. If it fails now, the own window knows no such key and refuses.
      if (!(error instanceof WindowStoreFull)) throw error;
    }
  }

  #blockedFor(key: string, max: number): number {
    const blocked = this.#blocked.get(key);
    if (blocked === undefined) return 0;
    const at = this.#parts.now();
    if (blocked.max === max && at < blocked.askAt) return Math.max(1, Math.ceil(blocked.endsAt - at));
    this.#blocked.delete(key);
    return 0;
  }

  #share(max: number): number {
    return Math.ceil(max / Math.max(1, this.#parts.live()));
  }

  #decideAlone(key: string, windowMs: number, max: number, whenDown: WhenDown): WindowState {
    if (whenDown === 'refuse') throw new WindowStoreDown('The store of rate limits does not answer');
    this.#ownDecisions++;
    const share = this.#share(max);
    const { current, ttl } = this.#parts.own.take(key, windowMs, share);
    if (current > share) return { current: max + 1, ttl };
    this.#addUnsent(key, windowMs, 1);
    return { current: max - share + current, ttl };
  }

  #lookAlone(key: string, windowMs: number, max: number): WindowState {
    const share = this.#share(max);
    const { current, ttl } = this.#parts.own.peek(key, windowMs, share);
    return { current: Math.min(max, max - share + current), ttl };
  }

  #addUnsent(key: string, windowMs: number, count: number): void {
    if (count === 0) return;
    const at = this.#parts.now();
    // What has left its window needs not be told any more. As many keys as the own windows have, at most.
    if (this.#unsent.size >= 1_000 && !this.#unsent.has(key))
      for (const [old, entry] of this.#unsent) if (hasEnded(entry, at)) this.#unsent.delete(old);
    const before = this.#unsent.get(key)?.count ?? 0;
    this.#unsent.set(key, { count: before + count, at, windowMs });
  }

  #takeUnsent(key: string): number {
    const entry = this.#unsent.get(key);
    if (entry === undefined) return 0;
    this.#unsent.delete(key);
    return hasEnded(entry, this.#parts.now()) ? 0 : entry.count;
  }

  #isDown(): boolean {
    return this.#failuresInRow >= failuresToOpen;
  }

  /** While the store is down one question a second finds out whether it is back; the others do not wait for it. */
  #mayAsk(): boolean {
    if (!this.#isDown()) return true;
    const at = this.#parts.now();
    if (at < this.#askAt) return false;
    this.#askAt = at + askAgainMs;
    return true;
  }

  #worked(): void {
    if (this.#isDown()) this.#parts.log.info({ store: this.#parts.store.name }, 'rate_limit_store_back');
    this.#failuresInRow = 0;
  }

  #failed(why: string): void {
    const at = this.#parts.now();
    this.#failures++;
    this.#failuresInRow++;
    this.#askAt = at + askAgainMs;
    if (at - this.#warnedAt < warnEveryMs) return;
    this.#warnedAt = at;
    const { store, log } = this.#parts;
    log.warn(
      { store: store.name, why, failures: this.#failures, liveReplicas: this.#parts.live() },
      'rate_limit_store_failed',
    );
  }
}

const hasEnded = ({ at, windowMs }: { at: number; windowMs: number }, now: number): boolean =>
  now - at > (windowMs / 60) * 61;

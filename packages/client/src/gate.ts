// Who goes next: first come first served for one user, in turn between users, and nobody before the server would take them.
// One per server and credential. Keys are map keys only, so `constructor` is an ordinary user. No I/O and no promises here.
import { Alarm, type GateClock, systemClock } from './gate-alarm.ts';
import {
  type Ask,
  type Denial,
  deny,
  type GateScope,
  nothingKnown,
  type Pass,
  type Waiter,
  waitOf,
} from './gate-ask.ts';
import { Entries } from './gate-entries.ts';
import { Entry, type Heard } from './gate-entry.ts';
import { isNarrow, isNarrowRefusal, type PolicyReport } from './gate-headers.ts';
import type { GateOptions, RateLimitSnapshot } from './gate-options.ts';
import type { Free } from './gate-window.ts';

const sweptPerCall = 3;
const prefixes: Record<GateScope, string> = { calls: 'c', lists: 'l', management: 'm' };
/** Policies that hold everybody of a credential. */
const isOfAll = (report: PolicyReport): boolean => report.name === 'account' || report.name === 'server';

export class Gate {
  readonly #clock: GateClock;
  readonly #entries = new Entries<Waiter>();
  readonly #all = new Entry<Waiter>('', true);
  /** Keys whose first waiter lacks nothing but what all share. In turn. */
  readonly #ring = new Set<Entry<Waiter>>();
  readonly #alarm: Alarm<Entry<Waiter>>;
  /** The limit that was seen last, for users of whom nothing is known yet. */
  readonly #seen: Partial<Record<GateScope, number>> = {};
  #waiting = 0;

  constructor(clock: GateClock = systemClock) {
    this.#clock = clock;
    this.#alarm = new Alarm(clock, (entry) => (entry.ofAll ? this.#drain() : this.#advance(entry)));
  }

  get size(): number {
    return this.#entries.size;
  }

  get waiting(): number {
    return this.#waiting;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Settles at once, or later when it has to wait; then `cancel` takes what is returned. */
  enter(ask: Ask, settle: (result: Pass | Denial) => void): Waiter | undefined {
    const now = this.#clock.now();
    this.#entries.sweep(now, sweptPerCall);
    const entry = this.#entryOf(ask, now);
    const queue = entry?.queue;
    const free = entry ? this.#free(entry, ask, now) : undefined;
    const all = this.#all.free(now, ask.options, ask.options.maxConcurrent, undefined);
    const isFirst = ask.isBack || (queue?.length ?? 0) === 0;
    if (isFirst && (ask.isBack || this.#ring.size === 0) && (free?.at ?? now) <= now && all.at <= now) {
      settle(this.#admit(entry, ask, now));
      return undefined;
    }
    // Without a place in the map nobody can wait in it.
    if (entry === undefined) {
      settle(deny('full', undefined, undefined));
      return undefined;
    }
    const { options, mode } = ask;
    const least =
      Math.max(free?.least ?? now, all.least) + (isFirst ? 0 : (queue?.length ?? 0) * entry.stepMs(options));
    const giveUpAt = Math.min(
      mode === 'auto' ? now + ask.patienceMs : Number.POSITIVE_INFINITY,
      ask.deadlineAt ?? Number.POSITIVE_INFINITY,
    );
    if (mode === 'reject' || least > giveUpAt) {
      settle(deny('limited', waitOf(Math.max(least, free?.at ?? 0), now), entry.tightest?.name));
      return undefined;
    }
    const isFull = (queue?.length ?? 0) >= options.maxQueuePerUser || this.#waiting >= options.maxQueue;
    if (isFull && !ask.isBack) {
      settle(deny('full', waitOf(Math.max(least, free?.at ?? 0), now), entry.tightest?.name));
      return undefined;
    }
    const waiter: Waiter = { ask, giveUpAt, entry, settle };
    entry.queue ??= [];
    if (ask.isBack) entry.queue.unshift(waiter);
    else entry.queue.push(waiter);
    this.#waiting++;
    this.#advance(entry);
    // Time went on meanwhile: it may have been its turn already.
    return entry.queue?.includes(waiter) ? waiter : undefined;
  }

  /** Leaves the queue at once; nothing is settled. */
  cancel(waiter: Waiter): void {
    const { entry } = waiter;
    const at = entry.queue?.indexOf(waiter) ?? -1;
    if (at < 0) return;
    entry.queue?.splice(at, 1);
    this.#left(1);
    this.#advance(entry);
  }

  /** A request ended: makes room, and learns from its answer. */
  leave(pass: Pass, heard: Heard, learn: boolean): void {
    const now = this.#clock.now();
    const { entry, scope } = pass;
    this.#all.leave(pass);
    entry?.leave(pass);
    const reports = (heard.reports ?? []).filter((report) => !isNarrow(report));
    const isNarrowly = heard.limited && isNarrowRefusal(heard.reports ?? []);
    if ((learn || heard.limited) && !isNarrowly) {
      const random = this.#clock.random();
      const told = { ...heard, reports: heard.reports && reports };
      const ofAll = reports.filter(isOfAll);
      const own = reports.filter((report) => !isOfAll(report));
      const limit = own.find((report) => !report.concurrent)?.limit;
      if (limit !== undefined) this.#seen[scope] = limit;
      if (ofAll.length > 0 || !heard.limited) this.#all.hear(told, ofAll, pass, now, random);
      entry?.hear(told, own, pass, now, random);
    }
    if (entry) this.#advance(entry);
    this.#drain();
  }

  /** A store says that the user has nothing left: nobody of the key goes before that. */
  hold(pass: Pass, ms: number): void {
    pass.entry?.hold(this.#clock.now() + ms);
  }

  snapshot(scope: GateScope, user: string, options: GateOptions): RateLimitSnapshot {
    const now = this.#clock.now();
    const entry = this.#entries.get(prefixes[scope] + user);
    if (!entry) return nothingKnown;
    const window = entry.tightest;
    const free = this.#free(entry, { scope, options }, now);
    const guess = entry.guessed;
    return {
      policy: window?.name || undefined,
      limit: window ? window.limit || undefined : guess,
      windowMs: window?.windowMs ?? (guess === undefined ? undefined : 60_000),
      remaining: window?.left(entry.tickets),
      retryAfterMs: waitOf(free.at, now) ?? 0,
      inFlight: entry.tickets.length,
      waiting: entry.queue?.length ?? 0,
    };
  }

  #free(entry: Entry<Waiter>, ask: Pick<Ask, 'scope' | 'options'>, now: number): Free {
    const { scope, options } = ask;
    const cap = scope === 'management' ? options.maxConcurrent : options.maxConcurrentPerUser;
    return entry.free(now, options, cap, this.#seen[scope]);
  }

  #entryOf(ask: Ask, now: number): Entry<Waiter> | undefined {
    const key = prefixes[ask.scope] + ask.user;
    let entry = this.#entries.get(key);
    if (entry?.isOver(now)) {
      this.#entries.delete(entry);
      entry = undefined;
    }
    if (entry === undefined) {
      if (this.#entries.size >= ask.options.maxUsers && !this.#entries.forgetOldest()) return undefined;
      entry = new Entry<Waiter>(key, false);
    }
    this.#entries.use(entry);
    return entry;
  }

  #admit(entry: Entry<Waiter> | undefined, ask: Ask, now: number): Pass {
    const { scope, options } = ask;
    const seq = entry ? ++entry.sent : 0;
    const pass: Pass = { ok: true, sentAt: now, seq, seqOfAll: ++this.#all.sent, entry, scope };
    const random = this.#clock.random();
    entry?.enter(pass, options, random);
    this.#all.enter(pass, options, random);
    return pass;
  }

  /** Lets go who may, sends away who would wait too long, and sees to it that the others are looked at in time. */
  #advance(entry: Entry<Waiter>): void {
    const now = this.#clock.now();
    this.#dismiss(entry, now);
    const first = entry.queue?.[0];
    if (first === undefined) {
      this.#ring.delete(entry);
      return;
    }
    const free = this.#free(entry, first.ask, now);
    if (free.at <= now) {
      this.#ring.add(entry);
      this.#drain();
    } else {
      this.#ring.delete(entry);
      this.#alarm.set(entry, free.at);
    }
    for (const waiter of entry.queue ?? []) this.#alarm.set(entry, waiter.giveUpAt);
  }

  #drain(): void {
    const now = this.#clock.now();
    for (const entry of this.#ring) {
      const first = entry.queue?.[0];
      if (first !== undefined) {
        const { options } = first.ask;
        const all = this.#all.free(now, options, options.maxConcurrent, undefined);
        if (all.at > now) {
          this.#alarm.set(this.#all, all.at);
          return;
        }
      }
      this.#ring.delete(entry);
      if (first === undefined) continue;
      const free = this.#free(entry, first.ask, now);
      if (free.at > now) {
        this.#alarm.set(entry, free.at);
        continue;
      }
      entry.queue?.shift();
      this.#left(1);
      // Behind the others: its next one has to wait for its turn.
      if ((entry.queue?.length ?? 0) > 0) this.#ring.add(entry);
      first.settle(this.#admit(entry, first.ask, now));
    }
  }

  /** Sends away who has waited long enough, and who certainly would have to wait too long. */
  #dismiss(entry: Entry<Waiter>, now: number): void {
    const { queue } = entry;
    const first = queue?.[0];
    if (queue === undefined || first === undefined) return;
    const { options } = first.ask;
    const free = this.#free(entry, first.ask, now);
    const least = Math.max(free.least, this.#all.free(now, options, options.maxConcurrent, undefined).least);
    const stepMs = entry.stepMs(options);
    const kept: Waiter[] = [];
    const gone: { waiter: Waiter; at: number }[] = [];
    for (const waiter of queue) {
      const at = least + kept.length * stepMs;
      if (waiter.giveUpAt <= now || at > waiter.giveUpAt) gone.push({ waiter, at });
      else kept.push(waiter);
    }
    if (gone.length === 0) return;
    entry.queue = kept;
    this.#left(gone.length);
    for (const { waiter, at } of gone) {
      const isEnd = at <= waiter.giveUpAt && waiter.giveUpAt === waiter.ask.deadlineAt;
      waiter.settle(deny(isEnd ? 'deadline' : 'limited', waitOf(Math.max(at, free.at), now), entry.tightest?.name));
    }
  }

  #left(count: number): void {
    this.#waiting -= count;
    if (this.#waiting === 0) this.#alarm.clear();
  }
}

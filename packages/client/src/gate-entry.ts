// What is known of one key (one user, or management, or everybody), and whether one more of its requests may go now.
// Knows windows, pace and concurrency; nothing of who waits. Pure: the clock is given.
import type { Sleeper } from './gate-alarm.ts';
import { maxWaitMs, type PolicyReport } from './gate-headers.ts';
import type { GateOptions } from './gate-options.ts';
import { backoffMs, Guess, guessLifeMs, Pace } from './gate-pace.ts';
import { type Free, type Ticket, Window } from './gate-window.ts';

/** What came back of a request, reduced to what the gate learns from. */
export interface Heard {
  /** Policies of the answer; `undefined` when there was no answer. */
  reports: readonly PolicyReport[] | undefined;
  /** The server refused it because of a limit. */
  limited: boolean;
  /** How long the server asked to wait. */
  retryAfterMs: number | undefined;
  /** Provably nothing reached the server. */
  unsent: boolean;
}

/** In flight before anything is known. */
const firstTries = 8;
const minuteMs = 60_000;
const idleMs = 60_000;
const none: readonly Ticket[] = [];

const later = (a: Free, b: Free): Free => ({ at: Math.max(a.at, b.at), least: Math.max(a.least, b.least) });

export class Entry<W> implements Sleeper {
  readonly key: string;
  /** It stands for all keys of a credential. */
  readonly ofAll: boolean;
  wakeAt = Number.POSITIVE_INFINITY;
  /** Who waits, in order. Made by the first one. */
  queue: W[] | undefined;
  /** Its neighbours in order of last use. */
  older: Entry<W> | undefined;
  newer: Entry<W> | undefined;
  /** Requests sent so far. */
  sent = 0;
  #tickets: Ticket[] | undefined;
  #windows: Window[] | undefined;
  #guess: Guess | undefined;
  #quota: Pace | undefined;
  #isAnswered = false;
  #holdUntil = 0;
  #lastAt = 0;
  #strikes = 0;
  #cap: number | undefined;
  #capAt: number | undefined;

  constructor(key: string, ofAll: boolean) {
    this.key = key;
    this.ofAll = ofAll;
  }

  get tickets(): readonly Ticket[] {
    return this.#tickets ?? none;
  }

  /** Somebody waits, or a request is under way. */
  get isBusy(): boolean {
    return (this.queue?.length ?? 0) > 0 || this.tickets.length > 0;
  }

  /** Nothing would be lost by forgetting it. */
  isOver(now: number): boolean {
    if (this.isBusy || now < this.#holdUntil) return false;
    if (this.#guess?.perMinute !== undefined && now - this.#lastAt < guessLifeMs) return false;
    if (this.#quota !== undefined && !this.#quota.isRested(now)) return false;
    if (this.#windows === undefined) return now - this.#lastAt >= idleMs;
    return this.#windows.every((window) => now >= window.endsAt);
  }

  /** When one more may go. `seen`: the limit that others of the same kind were told. */
  free(now: number, options: GateOptions, cap: number, seen: number | undefined): Free {
    let free: Free = { at: this.#holdUntil, least: this.#holdUntil };
    const first = seen === undefined ? firstTries : Math.max(1, Math.floor(seen / 2));
    const most = Math.min(cap, this.#cap ?? cap, this.#isAnswered || !options.learn || this.ofAll ? cap : first);
    // Only an answer can tell when one of those under way ends.
    if (this.tickets.length >= most) free.at = Number.POSITIVE_INFINITY;
    if (options.quota && this.#quota && !this.ofAll) {
      const at = this.#quota.freeAt(options.quota.intervalMs, options.quota.burst);
      free = later(free, { at, least: at });
    }
    if (!options.learn) return free;
    if (this.#guess) {
      const at = this.#guess.freeAt(now);
      free = later(free, { at, least: at });
    }
    for (const window of this.#windows ?? []) free = later(free, window.free(now, this.tickets));
    return free;
  }

  /** Milliseconds that each of those ahead in the queue adds to a certain wait. */
  stepMs(options: GateOptions): number {
    return Math.max(this.ofAll ? 0 : (options.quota?.intervalMs ?? 0), this.#guess?.intervalMs ?? 0);
  }

  enter(ticket: Ticket, options: GateOptions, random: number): void {
    const { sentAt: now } = ticket;
    for (const window of this.#windows ?? []) window.take(now, this.tickets, random);
    if (options.quota && !this.ofAll) {
      this.#quota ??= new Pace();
      this.#quota.take(now, options.quota.intervalMs);
    }
    this.#guess?.take(now);
    this.#tickets ??= [];
    this.#tickets.push(ticket);
    this.#lastAt = now;
  }

  leave(ticket: Ticket): void {
    const at = this.#tickets?.indexOf(ticket) ?? -1;
    if (at >= 0) this.#tickets?.splice(at, 1);
  }

  /** Nothing is sent before this time. */
  hold(until: number): void {
    this.#holdUntil = Math.max(this.#holdUntil, until);
  }

  /** Takes in an answer. `mine`: the policies that hold this key; the answer may tell others, or none. */
  hear(heard: Heard, mine: readonly PolicyReport[], ticket: Ticket, now: number, random: number): void {
    if (heard.unsent) return;
    this.#isAnswered ||= heard.reports !== undefined;
    if (heard.limited) {
      this.#refused(heard, mine, ticket, now, random);
      return;
    }
    this.#strikes = 0;
    for (const report of mine) {
      if (!report.concurrent) this.#windowOf(report, ticket, now)?.hear(report, ticket, now, random, this.tickets);
      else if (report.limit !== undefined) this.#cap ??= Math.max(1, report.limit);
    }
    if (this.#cap !== undefined && this.#capAt !== undefined && now - this.#capAt >= minuteMs) {
      this.#cap++;
      this.#capAt = now;
    }
    if (heard.reports !== undefined && heard.reports.length > 0) return;
    if (this.#windows) for (const window of this.#windows) window.lower();
    else if (!this.ofAll) {
      this.#guess ??= new Guess();
      if (heard.reports) this.#guess.accept(ticket.sentAt, now);
    }
  }

  #windowOf(report: PolicyReport, ticket: Ticket, now: number): Window | undefined {
    if (report.remaining === undefined) return undefined;
    const known = this.#windows?.find((each) => each.name === report.name && isSame(each, report));
    if (known) return known;
    const made = new Window(report, this.ofAll, ticket, now);
    // The server does send headers, so nothing has to be guessed.
    this.#guess = undefined;
    this.#windows = [...(this.#windows ?? []).filter((each) => now < each.endsAt), made];
    return made;
  }

  #refused(heard: Heard, mine: readonly PolicyReport[], ticket: Ticket, now: number, random: number): void {
    const empty = mine.filter((report) => report.remaining === 0);
    const isBare = (heard.reports ?? []).length === 0;
    if (empty.length === 0 && !isBare) return;
    const told = heard.retryAfterMs;
    if (empty.some((report) => report.concurrent)) {
      this.#cap = Math.max(1, Math.floor((this.tickets.length + 1) / 2));
      this.#capAt = now;
    }
    const windows = isBare
      ? (this.#windows ?? [])
      : empty.filter((each) => !each.concurrent).flatMap((each) => this.#windowOf(each, ticket, now) ?? []);
    const reset = empty.find((each) => each.resetMs !== undefined)?.resetMs;
    const waitMs = (guessed: () => number) => Math.min(told ?? reset ?? guessed(), maxWaitMs);
    if (isBare && windows.length === 0 && !this.ofAll) {
      this.#guess ??= new Guess();
      const guessed = this.#guess.refuse(ticket.sentAt, now, random);
      this.hold(now + waitMs(() => guessed));
      return;
    }
    const until = now + waitMs(() => backoffMs(++this.#strikes, random));
    for (const window of windows) window.refuse(until, ticket, random, this.tickets);
    if (told !== undefined || windows.length === 0) this.hold(until);
  }

  /** The window that ends first. */
  get tightest(): Window | undefined {
    return this.#windows?.reduce((a, b) => (b.base < a.base ? b : a));
  }

  get guessed(): number | undefined {
    return this.#guess?.perMinute;
  }
}

/** A server's own limit and the user's have the same name and different sizes. */
const isSame = (window: Window, report: PolicyReport): boolean =>
  (report.limit === undefined || report.limit === window.limit) &&
  (report.windowMs === undefined || report.windowMs === window.windowMs);

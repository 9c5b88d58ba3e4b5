// The mirror of one window that the server counts in: what is left of it, as far as answers have told. Pure: the clock is given.
// Learns from answers in whatever order they come, and notices when somebody else draws on the same window.
import type { PolicyReport } from './gate-headers.ts';

/** A request that was let through and is not answered yet. */
export interface Ticket {
  readonly sentAt: number;
  /** Its number among the requests of its key, and among all. */
  readonly seq: number;
  readonly seqOfAll: number;
}

/** When something may be sent: not before `least`, which is certain, and not before `at`, as far as is known now. */
export interface Free {
  at: number;
  least: number;
}

/** The server may see requests in another order than they were sent, by this much. */
const reorderMs = 250;
/** Permits that are saved up while nobody asks. */
const maxArrears = 4;
/** What is left is believed less than it seems while others draw on it, because they read the same number. */
const prudence = 0.6;
const slowing = 1.15;
const recovering = 0.996;
const slowest = 16;
/** Own and foreign use are forgotten by halves. */
const memory = 200;
const leastShare = 0.02;
const unknownWindowMs = 60_000;

export class Window {
  readonly name: string;
  readonly ofAll: boolean;
  limit: number;
  windowMs: number;
  /** What the last answer that counts left over. */
  base: number;
  until: number;
  #sentAt: number;
  #seq: number;
  #nextPermitAt: number;
  #shyUntil = 0;
  #pace = 1;
  #own = 0;
  #foreign = 0;
  #anchorBase: number;
  #anchorSeq: number;
  /** In flight at the anchor: may have been counted after it. */
  #anchorOut = 0;

  constructor(report: PolicyReport, ofAll: boolean, ticket: Ticket, now: number) {
    this.name = report.name;
    this.ofAll = ofAll;
    this.limit = report.limit ?? 0;
    this.windowMs = report.windowMs ?? unknownWindowMs;
    this.base = report.remaining ?? 0;
    this.#sentAt = ticket.sentAt;
    this.#seq = this.#seqOf(ticket);
    this.#anchorBase = this.base;
    this.#anchorSeq = this.#seq;
    this.until = admittedBy(ticket, now) + (report.resetMs ?? this.#interval());
    this.#nextPermitAt = this.until;
  }

  #seqOf(ticket: Ticket): number {
    return this.ofAll ? ticket.seqOfAll : ticket.seq;
  }

  /** How much of what is used is used by us, 0 to 1. */
  get share(): number {
    return this.#foreign === 0 ? 1 : Math.max(leastShare, this.#own / (this.#own + this.#foreign));
  }

  /** Milliseconds between two permits when nothing more is known. */
  #interval(): number {
    const even = this.limit > 0 ? this.windowMs / this.limit : 1000;
    return (even * this.#pace) / this.share;
  }

  #uncounted(tickets: readonly Ticket[]): number {
    const from = this.#sentAt - reorderMs;
    let count = 0;
    for (let i = tickets.length - 1; i >= 0 && (tickets[i]?.sentAt ?? 0) > from; i--) count++;
    return count;
  }

  #isFree(tickets: readonly Ticket[]): boolean {
    const uncounted = this.#uncounted(tickets);
    if (this.#foreign === 0) return this.base - uncounted >= 1;
    return prudence * this.share * this.base - uncounted >= 1 || (this.base >= 4 && uncounted === 0);
  }

  /** What may be sent now on the strength of the last answer. */
  left(tickets: readonly Ticket[]): number {
    return Math.max(0, Math.floor(this.base - this.#uncounted(tickets)));
  }

  free(now: number, tickets: readonly Ticket[]): Free {
    if (this.#isFree(tickets)) return { at: now, least: now };
    // The last few are left to whoever comes, one after the other.
    const isShy = this.base >= 2 && this.#foreign > 0 && this.#uncounted(tickets) === 0;
    const at = isShy ? this.#shyUntil : Math.max(this.until, this.#nextPermitAt);
    // With something left, the answer of one that is under way may open the window earlier.
    return { at, least: this.base < 1 ? at : now };
  }

  /** A request goes out. `tickets` are those before it. */
  take(now: number, tickets: readonly Ticket[], random: number): void {
    if (this.#isFree(tickets)) return;
    const interval = this.#interval();
    if (now < this.until) return;
    const from = Math.max(this.#nextPermitAt, now - (this.base < 1 ? (maxArrears - 1) * interval : 0));
    this.#nextPermitAt = from + interval * (this.#foreign > 0 ? 0.75 + 0.5 * random : 1);
  }

  /** An answer told about this window. */
  hear(report: PolicyReport, ticket: Ticket, now: number, random: number, tickets: readonly Ticket[]): void {
    const remaining = report.remaining ?? 0;
    const seq = this.#seqOf(ticket);
    this.#pace = Math.max(1, this.#pace * recovering);
    if (report.limit !== undefined) this.limit = report.limit;
    if (report.windowMs !== undefined) this.windowMs = report.windowMs;
    const isLater = seq > this.#seq;
    // More than before can only be left when something came back; else this one was overtaken by the one behind `base`.
    const isStale = !isLater || (now < this.until && ticket.sentAt < this.#sentAt + reorderMs);
    if (isStale && remaining >= this.base) return;
    if (isLater) this.#weigh(remaining, seq, tickets.length);
    const wasOpen = this.base >= 1;
    this.base = remaining;
    this.#sentAt = Math.max(this.#sentAt, ticket.sentAt);
    this.#seq = Math.max(this.#seq, seq);
    this.#shyUntil = now + this.#interval() * (0.5 + random);
    const until = admittedBy(ticket, now) + (report.resetMs ?? this.#interval());
    if (isLater || wasOpen) this.#close(until, random);
  }

  /** The server refused one request. `isTold`: `until` is its own word. */
  refuse(until: number, ticket: Ticket, random: number, tickets: readonly Ticket[]): void {
    // It was sent because something seemed to be left: somebody else has taken that.
    const taken = this.base - this.#uncounted(tickets);
    if (taken >= 1) this.#note(0, taken);
    this.#pace = Math.min(slowest, this.#pace * slowing);
    const isOpen = this.base >= 1 || until > this.until;
    this.base = 0;
    this.#sentAt = Math.max(this.#sentAt, ticket.sentAt);
    this.#seq = Math.max(this.#seq, this.#seqOf(ticket));
    this.#anchorBase = 0;
    this.#anchorSeq = this.#seq;
    if (isOpen) this.#close(until, random);
  }

  /** An answer that told nothing, or none at all: it was counted somewhere. */
  lower(): void {
    this.base = Math.max(0, this.base - 1);
  }

  /** When nothing of this window is known any more. */
  get endsAt(): number {
    return Math.max(this.until, this.#sentAt + this.windowMs);
  }

  #close(until: number, random: number): void {
    this.until = until;
    // All who share the window were told the same time, so they must not come at the same time.
    this.#nextPermitAt = this.#foreign > 0 ? until + random * this.#interval() : until;
  }

  /** Compares what is gone with what we sent, until something comes back. Those in flight may be counted on either side. */
  #weigh(remaining: number, seq: number, inFlight: number): void {
    const gone = this.#anchorBase - remaining;
    const ours = seq - this.#anchorSeq;
    const foreign = gone - ours;
    if (gone >= 0 && foreign <= inFlight + this.#anchorOut && ours < memory / 2) return;
    if (gone >= 0) this.#note(ours, foreign > inFlight + this.#anchorOut ? foreign : 0);
    this.#anchorBase = remaining;
    this.#anchorSeq = seq;
    this.#anchorOut = inFlight;
  }

  #note(own: number, foreign: number): void {
    this.#own += own;
    this.#foreign += foreign;
    if (this.#own + this.#foreign > memory) {
      this.#own /= 2;
      this.#foreign /= 2;
    }
    // A few that were miscounted are not a second process.
    if (this.#foreign < 0.02 * this.#own) this.#foreign = 0;
  }
}

/** The server computed its answer on admission; a slow tool answers long after. */
const admittedBy = (ticket: Ticket, now: number): number => Math.min(now, ticket.sentAt + reorderMs);

// An even pace without a server's help: GCRA, one theoretical arrival time per key. For a quota that the caller configures,
// and for servers that send no headers, whose limit is guessed from what they accepted. Pure: the clock is given.

/** At most one per `intervalMs` over time, `burst` at once. */
export class Pace {
  /** When the next request would be due if all had come evenly. */
  #dueAt = 0;

  /** When the next request may be sent. */
  freeAt(intervalMs: number, burst: number): number {
    return this.#dueAt - (burst - 1) * intervalMs;
  }

  take(now: number, intervalMs: number): void {
    this.#dueAt = Math.max(this.#dueAt, now) + intervalMs;
  }

  /** From now on nothing is saved up. */
  drain(now: number, intervalMs: number, burst: number): void {
    this.#dueAt = Math.max(this.#dueAt, now + (burst - 1) * intervalMs);
  }

  /** Everything is saved up again. */
  isRested(now: number): boolean {
    return this.#dueAt <= now;
  }
}

const minuteMs = 60_000;
/** Of the guessed limit: the pace and what may be sent at once together never exceed it in any window. */
const paced = 0.95;
const bursting = 0.05;
/** Added after each clean minute; after many of them twice as much with each, because the guess may have been far too low. */
const gain = 0.02;
const manyMinutes = 8;
const loss = 0.9;
/** One who is let in again so soon was not held by a limit per minute: the first guess was too low, and is raised in such steps. */
const quicklyMs = 10_000;
const climb = 1.5;
const longestBlockMs = 30_000;
/** How long a guess outlives its last use. */
export const guessLifeMs = 600_000;

/** What can be guessed of a limit that the server never tells. */
export class Guess {
  readonly #pace = new Pace();
  #perMinute: number | undefined;
  #minuteAt = 0;
  #accepted = 0;
  #acceptedBefore = 0;
  #strikes = 0;
  #strikeAt = Number.NEGATIVE_INFINITY;
  #cleanSince = 0;
  #pressed = false;
  #cleanMinutes = 0;
  #isFirst = false;
  #isClimbing = false;
  #climbedFrom = 0;

  /** The guessed limit per minute; none before the first refusal. */
  get perMinute(): number | undefined {
    return this.#perMinute;
  }

  get #burst(): number {
    return Math.max(1, (this.#perMinute ?? 0) * bursting);
  }

  get intervalMs(): number {
    return this.#perMinute === undefined ? 0 : minuteMs / (this.#perMinute * paced);
  }

  /** When the next request may be sent. */
  freeAt(now: number): number {
    if (this.#perMinute === undefined) return now;
    const at = this.#pace.freeAt(this.intervalMs, this.#burst);
    this.#pressed ||= at > now;
    return at;
  }

  take(now: number): void {
    if (this.#perMinute !== undefined) this.#pace.take(now, this.intervalMs);
  }

  accept(sentAt: number, now: number): void {
    this.#turn(now);
    this.#accepted++;
    // It was admitted before somebody else was refused.
    if (sentAt < this.#strikeAt) return;
    if (this.#strikes > 0 && this.#isFirst) this.#isClimbing = now - this.#strikeAt < quicklyMs;
    if (this.#strikes > 0) this.#isFirst = false;
    this.#strikes = 0;
    if (this.#perMinute === undefined) return;
    if (now - this.#cleanSince < (this.#isClimbing ? quicklyMs : minuteMs)) return;
    // A time in which nobody had to wait proves nothing about a higher pace.
    if (this.#pressed) {
      const step = Math.min(1, gain * 2 ** Math.max(0, ++this.#cleanMinutes - manyMinutes));
      this.#climbedFrom = this.#perMinute;
      this.#perMinute *= this.#isClimbing ? climb : 1 + step;
    }
    this.#pressed = false;
    this.#cleanSince = now;
  }

  /** A refusal. Returns for how long nothing should be sent when the server did not say. */
  refuse(sentAt: number, now: number, random: number): number {
    this.#turn(now);
    this.#cleanSince = now;
    // Those that were on their way when the first of them was refused say nothing new.
    if (sentAt >= this.#strikeAt) {
      if (this.#strikes === 0) this.#lose(now);
      this.#strikes++;
      this.#strikeAt = now;
    }
    this.#pace.drain(now, this.intervalMs, this.#burst);
    return backoffMs(this.#strikes, random);
  }

  #lose(now: number): void {
    this.#cleanMinutes = 0;
    if (this.#perMinute === undefined) {
      // Refused before anything was accepted: others have used the limit up, which says nothing about its size.
      const recent = this.#recent(now);
      if (recent < 1) return;
      this.#perMinute = recent;
      this.#climbedFrom = recent;
      this.#isFirst = true;
    } else this.#perMinute = Math.max(1, this.#isClimbing ? this.#climbedFrom : this.#perMinute * loss);
    this.#isClimbing = false;
  }

  #turn(now: number): void {
    const minutes = Math.floor((now - this.#minuteAt) / minuteMs);
    if (minutes < 1) return;
    this.#acceptedBefore = minutes === 1 ? this.#accepted : 0;
    this.#accepted = 0;
    this.#minuteAt = minutes === 1 ? this.#minuteAt + minuteMs : now;
  }

  /** What was accepted in the last minute, to the accuracy of two counters. */
  #recent(now: number): number {
    return this.#accepted + this.#acceptedBefore * (1 - (now - this.#minuteAt) / minuteMs);
  }
}

/** 1, 2, 4 … 30 seconds, a fifth up or down. */
export function backoffMs(strikes: number, random: number): number {
  return Math.min(longestBlockMs, 1000 * 2 ** (strikes - 1)) * (0.8 + 0.4 * random);
}

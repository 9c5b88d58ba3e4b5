// Which sessions and streams are open, whose they are, and when they end: by their caps and times, by the end of who they are for (`live-use`),
// or with the process. Knows nothing of what flows through them. A handle is never authentication: who comes with it is checked every time.
import type { Live, LiveUse, Owner } from '../live-use.ts';
import { Refusal } from '../refusal.ts';

export interface LiveSession extends Live {
  id: string;
  openedAt: number;
  usedAt: number;
  /** Whether anything came after `initialize`. */
  wasUsed: boolean;
  /** A session with a stream or a call in flight is not idle. */
  isBusy(): boolean;
}

const unusedMs = 60_000;
const idleMs = 30 * 60_000;
const ageMs = 24 * 3_600_000;
const sweepMs = 5_000;
const maxPerUser = 20;
const maxSessions = 5_000;
const maxStreamsPerUser = 5;

const userOf = ({ accountId, userId }: Owner): string => `${accountId} ${userId}`;

export class Sessions {
  readonly #live: Pick<LiveUse, 'add'>;
  readonly #now: () => number;
  readonly #onError: (error: unknown) => void;
  readonly #sessions = new Map<string, { session: LiveSession; leave: () => void }>();
  readonly #streams = new Map<Live, () => void>();
  readonly #timer: NodeJS.Timeout;
  #isClosed = false;

  constructor(live: Pick<LiveUse, 'add'>, now: () => number, onError: (error: unknown) => void) {
    this.#live = live;
    this.#now = now;
    this.#onError = onError;
    this.#timer = setInterval(() => this.#sweep(), sweepMs);
    this.#timer.unref();
  }

  counts(): { sessions: number; streams: number } {
    return { sessions: this.#sessions.size, streams: this.#streams.size };
  }

  find(id: string): LiveSession | undefined {
    const session = this.#sessions.get(id)?.session;
    if (session !== undefined && this.#isOver(session)) {
      void this.#endSession(session);
      return undefined;
    }
    return session;
  }

  /** A user's oldest unused session makes room for a new one: only the user's own sessions can push it out. */
  async add(session: LiveSession): Promise<void> {
    if (this.#isClosed || this.#sessions.size >= maxSessions) {
      throw new Refusal('UNAVAILABLE', 'The gateway holds as many sessions as it can', {
        retryAfterMs: 5_000,
        reason: 'sessions_full',
      });
    }
    const own = this.#all().filter(({ owner }) => userOf(owner) === userOf(session.owner));
    if (own.length >= maxPerUser) {
      const [oldest] = own.sort((a, b) => Number(a.isBusy()) - Number(b.isBusy()) || a.usedAt - b.usedAt);
      if (oldest !== undefined) await this.#endSession(oldest);
    }
    const { owner } = session;
    const end = (): Promise<void> => this.#endSession(session);
    const leave = this.#live.add({ owner, end, changed: () => session.changed() });
    this.#sessions.set(session.id, { session, leave });
  }

  #all(): LiveSession[] {
    return [...this.#sessions.values()].map(({ session }) => session);
  }

  async end(id: string): Promise<void> {
    const session = this.#sessions.get(id)?.session;
    if (session !== undefined) await this.#endSession(session);
  }

  /** Throws RATE_LIMITED when the user holds as many streams as allowed. */
  open(stream: Live): () => void {
    const key = userOf(stream.owner);
    const held = [...this.#streams.keys()].filter(({ owner }) => userOf(owner) === key).length;
    if (this.#isClosed || held >= maxStreamsPerUser) {
      throw new Refusal('RATE_LIMITED', `A user may hold ${maxStreamsPerUser} streams`, {
        retryAfterMs: 1_000,
        reason: 'streams_full',
      });
    }
    const end = (): Promise<void> => this.#endStream(stream);
    const leave = this.#live.add({ owner: stream.owner, end, changed: () => stream.changed() });
    this.#streams.set(stream, leave);
    return () => {
      leave();
      this.#streams.delete(stream);
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await Promise.all([
      ...this.#all().map((session) => this.#endSession(session)),
      ...[...this.#streams.keys()].map((stream) => this.#endStream(stream)),
    ]);
  }

  get size(): { sessions: number; streams: number } {
    return { sessions: this.#sessions.size, streams: this.#streams.size };
  }

  #isOver(session: LiveSession): boolean {
    const now = this.#now();
    if (now - session.openedAt > ageMs) return true;
    if (session.isBusy()) return false;
    return now - session.usedAt > (session.wasUsed ? idleMs : unusedMs);
  }

  #sweep(): void {
    for (const session of this.#all()) if (this.#isOver(session)) void this.#endSession(session);
  }

  async #endSession(session: LiveSession): Promise<void> {
    const held = this.#sessions.get(session.id);
    if (held === undefined) return;
    this.#sessions.delete(session.id);
    held.leave();
    // One that does not end cleanly must not keep the others from ending.
    await session.end().catch(this.#onError);
  }

  async #endStream(stream: Live): Promise<void> {
    this.#streams.get(stream)?.();
    if (this.#streams.delete(stream)) await stream.end().catch(this.#onError);
  }
}

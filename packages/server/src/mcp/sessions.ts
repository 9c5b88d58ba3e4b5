// Which sessions and streams are open, whose they are, and when they end: by their caps and times, by a revoked key, user or server, or
// with the process. Knows nothing of what flows through them. A handle is never authentication: who comes with it is checked every time.
import type { Directory } from '../identity/directory.ts';
import { Refusal } from '../refusal.ts';
import type { UserCall } from './request.ts';

export interface Owner {
  accountId: string;
  userId: string;
  keyId: string;
  /** Whose key it is, where a key acts for others. */
  keyUserId: string | null;
  serverId: string | null;
}

export const ownerOf = ({ principal, user, server }: UserCall): Owner => ({
  accountId: principal.accountId,
  userId: user.record.id,
  keyId: principal.keyId,
  keyUserId: principal.userId,
  serverId: server?.id ?? null,
});

export const isSameOwner = (a: Owner, b: Owner): boolean =>
  a.accountId === b.accountId && a.userId === b.userId && a.keyId === b.keyId && a.serverId === b.serverId;

/** Something that stays open for its owner. */
export interface Live {
  owner: Owner;
  /** Ends it; asked for once. */
  end(): Promise<void>;
  /** What the owner may use has changed. */
  changed(): void;
}

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
  readonly #directory: Pick<Directory, 'onChange' | 'user' | 'server'>;
  readonly #now: () => number;
  readonly #onError: (error: unknown) => void;
  readonly #sessions = new Map<string, LiveSession>();
  readonly #streams = new Set<Live>();
  readonly #timer: NodeJS.Timeout;
  #isClosed = false;

  constructor(
    directory: Pick<Directory, 'onChange' | 'user' | 'server'>,
    now: () => number,
    onError: (error: unknown) => void,
  ) {
    this.#directory = directory;
    this.#now = now;
    this.#onError = onError;
    directory.onChange((topic) => void this.#follow(topic).catch(onError));
    this.#timer = setInterval(() => this.#sweep(), sweepMs);
    this.#timer.unref();
  }

  find(id: string): LiveSession | undefined {
    const session = this.#sessions.get(id);
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
    const own = [...this.#sessions.values()].filter(({ owner }) => userOf(owner) === userOf(session.owner));
    if (own.length >= maxPerUser) {
      const [oldest] = own.sort((a, b) => Number(a.isBusy()) - Number(b.isBusy()) || a.usedAt - b.usedAt);
      if (oldest !== undefined) await this.#endSession(oldest);
    }
    this.#sessions.set(session.id, session);
  }

  async end(id: string): Promise<void> {
    const session = this.#sessions.get(id);
    if (session !== undefined) await this.#endSession(session);
  }

  /** Throws RATE_LIMITED when the user holds as many streams as allowed. */
  open(stream: Live): () => void {
    const key = userOf(stream.owner);
    const held = [...this.#streams].filter(({ owner }) => userOf(owner) === key).length;
    if (this.#isClosed || held >= maxStreamsPerUser) {
      throw new Refusal('RATE_LIMITED', `A user may hold ${maxStreamsPerUser} streams`, {
        retryAfterMs: 1_000,
        reason: 'streams_full',
      });
    }
    this.#streams.add(stream);
    return () => void this.#streams.delete(stream);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#endAll(() => true);
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
    for (const session of this.#sessions.values()) if (this.#isOver(session)) void this.#endSession(session);
  }

  async #endSession(session: LiveSession): Promise<void> {
    if (!this.#sessions.delete(session.id)) return;
    // One that does not end cleanly must not keep the others from ending.
    await session.end().catch(this.#onError);
  }

  async #endAll(matches: (owner: Owner) => boolean): Promise<void> {
    const sessions = [...this.#sessions.values()].filter(({ owner }) => matches(owner));
    const streams = [...this.#streams].filter(({ owner }) => matches(owner));
    for (const stream of streams) this.#streams.delete(stream);
    await Promise.all([
      ...sessions.map((session) => this.#endSession(session)),
      ...streams.map((stream) => stream.end().catch(this.#onError)),
    ]);
  }

  /** What a change means for who is connected: gone keys, users and servers end them, everything else may change what they see. */
  async #follow(topic: string): Promise<void> {
    const [noun, id = ''] = topic.split(':');
    // Anything may have changed, a revocation too. Clients open again, and are asked who they are.
    if (topic === '*' || topic === 'account:*') return this.#endAll(() => true);
    if (noun === 'account') return this.#endAll(({ accountId }) => accountId === id);
    if (noun === 'key') return this.#endAll(({ keyId }) => keyId === id);
    const matches = ({ accountId, userId, keyUserId, serverId }: Owner): boolean =>
      noun === 'user'
        ? userId === id || keyUserId === id
        : noun === 'server'
          ? serverId === id
          : noun === 'connectors' && accountId === id;
    const touched = [...this.#sessions.values(), ...this.#streams].filter(({ owner }) => matches(owner));
    await Promise.all(
      touched.map(async (live) => {
        if (await this.#mayStay(live.owner)) live.changed();
        else await this.#endAll((owner) => isSameOwner(owner, live.owner));
      }),
    );
  }

  async #mayStay({ accountId, userId, keyUserId, serverId }: Owner): Promise<boolean> {
    try {
      const [user, keyUser, server] = await Promise.all([
        this.#directory.user(accountId, userId),
        keyUserId === null ? null : this.#directory.user(accountId, keyUserId),
        serverId === null ? true : this.#directory.server(accountId, serverId),
      ]);
      return user?.enabled === true && (keyUser === null || keyUser?.enabled === true) && server !== undefined;
    } catch {
      // Whoever cannot be looked up cannot stay.
      return false;
    }
  }
}

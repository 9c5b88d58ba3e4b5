// Upstream sessions that callers without a session of their own borrow: one call at a time, kept for five minutes under the upstream key,
// at most three per key. They declare no capability, so nothing can be asked on them. A session holds secrets only while it is borrowed.
import { type Upstream, UpstreamFailure } from '../backend.ts';
import type { UpstreamKey } from '../upstream-key.ts';
import { Connection, type SdkOptions } from './mcp-http-sdk-client.ts';
import { failureOfSignal } from './mcp-http-sdk-failure.ts';

const idleMs = 5 * 60_000;
const maxPerKey = 3;
const maxSessions = 2_000;

type Listener = (notification: { method: string; params?: Record<string, unknown> }) => void;

interface Session {
  connection: Connection;
  key: UpstreamKey;
  listener: Listener | undefined;
  isBusy: boolean;
  isLost: boolean;
  idle: NodeJS.Timeout | undefined;
}

interface Waiter {
  resolve: () => void;
}

export class SessionPool {
  readonly #options: SdkOptions;
  readonly #sessions = new Map<UpstreamKey, Set<Session>>();
  readonly #waiting = new Map<UpstreamKey, Waiter[]>();
  #count = 0;

  constructor(options: SdkOptions) {
    this.#options = options;
  }

  /** Runs `use` with a session of this upstream that nobody else uses meanwhile. */
  async borrow<T>(
    upstream: Upstream,
    signal: AbortSignal,
    listener: Listener | undefined,
    use: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const session = await this.#take(upstream, signal);
    session.connection.upstream = upstream;
    session.listener = listener;
    try {
      return await use(session.connection);
    } finally {
      session.listener = undefined;
      this.#giveBack(session);
    }
  }

  async forget(matches: (key: UpstreamKey) => boolean): Promise<void> {
    const gone = [...this.#sessions].filter(([key]) => matches(key)).flatMap(([, sessions]) => [...sessions]);
    await Promise.all(gone.map((session) => this.#end(session)));
  }

  async #take(upstream: Upstream, signal: AbortSignal): Promise<Session> {
    const { key } = upstream;
    for (;;) {
      if (signal.aborted) throw failureOfSignal(signal, 'no');
      const sessions = this.#sessions.get(key) ?? new Set<Session>();
      for (const session of sessions) {
        if (session.isBusy || session.isLost) continue;
        clearTimeout(session.idle);
        session.isBusy = true;
        return session;
      }
      if (sessions.size < maxPerKey) return this.#open(upstream, signal);
      await this.#wait(key, signal);
    }
  }

  async #open(upstream: Upstream, signal: AbortSignal): Promise<Session> {
    const { key } = upstream;
    if (this.#count >= maxSessions) await this.#makeRoom();
    const session: Session = {
      key,
      listener: undefined,
      isBusy: true,
      isLost: false,
      idle: undefined,
      connection: new Connection(
        upstream,
        {
          capabilities: {},
          hasOwnStream: false,
          onNotification: (notification) => session.listener?.(notification),
          onLost: () => {
            session.isLost = true;
          },
        },
        this.#options,
      ),
    };
    const sessions = this.#sessions.get(key) ?? new Set();
    this.#sessions.set(key, sessions.add(session));
    this.#count++;
    try {
      await session.connection.connect(signal);
      return session;
    } catch (error) {
      session.isLost = true;
      this.#giveBack(session);
      throw error;
    }
  }

  #giveBack(session: Session): void {
    session.isBusy = false;
    if (session.isLost) {
      void this.#end(session);
    } else {
      if (session.connection.upstream?.secrets.size !== 0) session.connection.upstream = undefined;
      session.idle = setTimeout(() => void this.#end(session), idleMs);
      session.idle.unref();
    }
    this.#waiting.get(session.key)?.shift()?.resolve();
  }

  async #end(session: Session): Promise<void> {
    clearTimeout(session.idle);
    session.isLost = true;
    const sessions = this.#sessions.get(session.key);
    if (sessions?.delete(session)) this.#count--;
    if (sessions?.size === 0) this.#sessions.delete(session.key);
    await session.connection.close();
  }

  /** The session that was not used for longest makes room; when all are in use, nobody new comes in. */
  async #makeRoom(): Promise<void> {
    for (const sessions of this.#sessions.values()) {
      for (const session of sessions) if (!session.isBusy) return this.#end(session);
    }
    throw new UpstreamFailure('unreachable', 'no');
  }

  #wait(key: UpstreamKey, signal: AbortSignal): Promise<void> {
    const waiters = this.#waiting.get(key) ?? [];
    this.#waiting.set(key, waiters);
    return new Promise((resolve, reject) => {
      const done = (): void => {
        signal.removeEventListener('abort', onAbort);
        if (waiters.length === 0) this.#waiting.delete(key);
      };
      const waiter: Waiter = {
        resolve: () => {
          done();
          resolve();
        },
      };
      const onAbort = (): void => {
        const at = waiters.indexOf(waiter);
        if (at !== -1) waiters.splice(at, 1);
        done();
        reject(failureOfSignal(signal, 'no'));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      waiters.push(waiter);
    });
  }
}

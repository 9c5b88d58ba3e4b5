// A short cache of what the call plane reads on every request. It makes nothing true for longer than 5 seconds: entries are counted from
// before their look-up, die with the topics they depend on, and are bypassed while changes of other replicas cannot be heard.
// Never cached: decisions, opened secrets, misses.

/**
 * What caches are told about. `key:*` ends principals, `user:*` a user's rows and credentials, `server:*` a server,
 * `connectors:*` the account's connectors, `groups:*` its groups and who is in them, `limits:*` its limits, `issuers:*` all issuers.
 */
export type Topic =
  | `key:${string}`
  | `user:${string}`
  | `server:${string}`
  | `connectors:${string}`
  | `account:${string}`
  | `groups:${string}`
  | `limits:${string}`
  | 'issuers:*';

export interface CacheOptions {
  ttlMs: number;
  maxEntries: number;
  /** Monotonic milliseconds. */
  now: () => number;
  /** False while the change link is silent: every read then goes to the database. */
  isFresh: () => boolean;
}

interface Entry<T> {
  value: T;
  until: number;
  topics: readonly Topic[];
  changes: number;
}

/** The generations of topics, shared by all caches of the process. */
export class Changes {
  #count = 0;
  /** Topic -> number of the change that last touched it. Pruned: an entry older than its cache's life cannot be asked about. */
  readonly #last = new Map<string, number>();

  get count(): number {
    return this.#count;
  }
  touch(topic: string): void {
    this.#count++;
    this.#last.delete(topic);
    this.#last.set(topic, this.#count);
    if (this.#last.size > 200_000) {
      // Forgetting which topics changed is answered by treating everything as changed.
      this.#last.clear();
      this.#floor = this.#count;
    }
  }
  #floor = 0;
  /** Whether any of the topics changed after `since`. */
  changedSince(topics: readonly Topic[], since: number): boolean {
    if (since < this.#floor) return true;
    if (since === this.#count) return false;
    return topics.some((topic) => (this.#last.get(topic) ?? 0) > since);
  }
}

export class Cache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #loading = new Map<string, { since: number; startedAt: number; promise: Promise<T> }>();
  readonly #options: CacheOptions;
  readonly #changes: Changes;

  constructor(changes: Changes, options: CacheOptions) {
    this.#changes = changes;
    this.#options = options;
  }

  /** The cached value if it is certainly current; no promise, for the hot path. */
  peek(key: string): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || !this.#options.isFresh()) return undefined;
    if (entry.until <= this.#options.now() || this.#changes.changedSince(entry.topics, entry.changes)) {
      this.#entries.delete(key);
      return undefined;
    }
    return entry.value;
  }

  /** The value, loaded at most once at a time per key. `topics` names what a loaded value depends on; `keepMs` may shorten its life. */
  async get(
    key: string,
    load: () => Promise<T>,
    topics: (value: T) => readonly Topic[],
    keepMs?: (value: T) => number,
  ): Promise<T> {
    const cached = this.peek(key);
    if (cached !== undefined) return cached;
    const since = this.#changes.count;
    const running = this.#loading.get(key);
    const startedAt = this.#options.now();
    // Joining a look-up that began before a change, or too long ago, would hand out what was true then.
    const isJoinable =
      running !== undefined && running.since === since && startedAt - running.startedAt < this.#options.ttlMs;
    if (isJoinable && this.#options.isFresh()) return running.promise;
    const promise = load();
    this.#loading.set(key, { since, startedAt, promise });
    try {
      const value = await promise;
      if (value !== undefined && value !== null)
        this.#store(key, value, topics(value), since, startedAt, keepMs?.(value));
      return value;
    } finally {
      if (this.#loading.get(key)?.promise === promise) this.#loading.delete(key);
    }
  }

  #store(
    key: string,
    value: T,
    topics: readonly Topic[],
    since: number,
    startedAt: number,
    keepMs = Number.POSITIVE_INFINITY,
  ): void {
    if (this.#entries.size >= this.#options.maxEntries) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: startedAt + Math.min(this.#options.ttlMs, keepMs), topics, changes: since });
  }
}

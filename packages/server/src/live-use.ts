// Everything that is open for somebody: sessions, streams, running calls, and through a source what upstreams hold. Ends it when whoever it is
// open for may stay no longer.
//
// Guarantee: at most 5 s after a key, token, user, server or account ended, nothing of it is open on this replica. A notification makes that
// milliseconds; without any, one statement every two seconds looks at all who are connected. Who cannot be looked up for four seconds
// cannot stay. Knows nothing of what flows through what it ends.
import type { Admission } from './db/find-ended.ts';

export interface Owner extends Admission {
  /** Whose key it is, where a key acts for others. */
  keyUserId: string | null;
  /** Of a delegated token: the key that minted it. */
  mintedBy: string | null;
  /** When the credential ends by itself, in milliseconds since 1970. */
  expiresAt: number | null;
}

/** Something that stays open for its owner. */
export interface Live {
  owner: Owner;
  /** Ends it; asked for once. */
  end(): Promise<void>;
  /** What the owner may use has changed. */
  changed(): void;
}

export interface LiveParts {
  onChange(listener: (topic: string) => void): void;
  /** Positions of those whose admission has ended, from the database and no cache. */
  findEnded(admissions: readonly Admission[]): Promise<readonly number[]>;
}

const sweepMs = 2_000;
/** After this long without an answer nobody stays. */
const blindMs = 4_000;

export class LiveUse {
  readonly #parts: LiveParts;
  readonly #onError: (error: unknown) => void;
  readonly #lives = new Set<Live>();
  readonly #sources: (() => Iterable<Live>)[] = [];
  readonly #timer: NodeJS.Timeout;
  /** When the last look that got an answer began. */
  #seenAt = performance.now();
  #isLooking = false;

  constructor(parts: LiveParts, onError: (error: unknown) => void) {
    this.#parts = parts;
    this.#onError = onError;
    parts.onChange((topic) => void this.#follow(topic).catch(onError));
    this.#timer = setInterval(() => void this.sweep().catch(onError), sweepMs);
    this.#timer.unref();
  }

  /** Watches over it until the returned function is called. */
  add(live: Live): () => void {
    this.#lives.add(live);
    return () => void this.#lives.delete(live);
  }

  /** What is kept somewhere else and asked for at each look. */
  addSource(source: () => Iterable<Live>): void {
    this.#sources.push(source);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  get size(): number {
    return this.#lives.size;
  }

  /** Looks at everybody once. */
  async sweep(): Promise<void> {
    const now = Date.now();
    await this.#end([...this.#lives].filter(({ owner }) => owner.expiresAt !== null && owner.expiresAt <= now));
    if (this.#isLooking) return;
    this.#isLooking = true;
    const beganAt = performance.now();
    const all = [...this.#lives, ...this.#sources.flatMap((source) => [...source()])];
    try {
      if (all.length > 0) await this.#end(await this.#ended(all));
      this.#seenAt = beganAt;
    } catch (error) {
      this.#onError(error);
      if (performance.now() - this.#seenAt >= blindMs) await this.#end(all);
    } finally {
      this.#isLooking = false;
    }
  }

  async #ended(lives: readonly Live[]): Promise<Live[]> {
    const positions = await this.#parts.findEnded(lives.map(({ owner }) => owner));
    return positions.flatMap((at) => lives[at] ?? []);
  }

  async #end(lives: readonly Live[]): Promise<void> {
    for (const live of lives) this.#lives.delete(live);
    // One that does not end cleanly must not keep the others from ending.
    await Promise.all(lives.map((live) => live.end().catch(this.#onError)));
  }

  /** What a change means for who is connected: whoever may stay no longer is ended, the others are told. */
  async #follow(topic: string): Promise<void> {
    // Anything may have changed, a revocation too. Clients open again, and are asked who they are.
    if (topic === '*' || topic === 'account:*') return this.#end([...this.#lives]);
    const touched = [...this.#lives].filter(({ owner }) => concerns(topic, owner));
    if (touched.length === 0) return;
    let ended = touched;
    try {
      ended = await this.#ended(touched);
    } catch (error) {
      // Whoever cannot be looked up cannot stay.
      this.#onError(error);
    }
    await this.#end(ended);
    for (const live of touched) if (this.#lives.has(live)) live.changed();
  }
}

function concerns(topic: string, owner: Owner): boolean {
  const at = topic.indexOf(':');
  const id = topic.slice(at + 1);
  switch (topic.slice(0, at)) {
    case 'account':
    case 'connectors':
    case 'groups':
      return owner.accountId === id;
    case 'key':
      return owner.keyId === id || owner.mintedBy === id;
    case 'user':
      return owner.userId === id || owner.keyUserId === id;
    case 'server':
      return owner.serverId === id;
    case 'issuers':
      return owner.issuerId !== null;
    default:
      return false;
  }
}

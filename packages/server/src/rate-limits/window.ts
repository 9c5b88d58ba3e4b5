// A sliding window of 61 slots for the limiter plugin: a store in one process. The partial oldest slot counts in full, so no interval of
// the window's length ever admits more than the limit; refused attempts do not count. A live window is never evicted.

interface Entry {
  slots: Uint32Array;
  /** Index of the newest slot written. */
  newest: number;
  total: number;
  windowMs: number;
}

export interface WindowState {
  current: number;
  /** Milliseconds until a refused call would be admitted; when admitted, until the oldest counted call leaves. */
  ttl: number;
}

const slotCount = 61;
const slotsPerWindow = slotCount - 1;

/** Thrown instead of forgetting somebody: an eviction would free a blocked user. */
export class WindowStoreFull extends Error {
  override readonly name = 'WindowStoreFull';
}

export class SlidingWindowStore {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;
  readonly #maxKeys: number;

  constructor(now: () => number, maxKeys = 100_000) {
    this.#now = now;
    this.#maxKeys = maxKeys;
  }

  /** Counts one attempt if it fits. `current` is over `max` exactly when it did not. */
  take(key: string, windowMs: number, max: number): WindowState {
    const entry = this.#entry(key, windowMs);
    if (entry.total + 1 > max) return { current: max + 1, ttl: this.#untilNext(entry, max) };
    const index = entry.newest % slotCount;
    entry.slots[index] = (entry.slots[index] ?? 0) + 1;
    entry.total++;
    return { current: entry.total, ttl: this.#untilNext(entry, entry.total) };
  }

  /** The same answer without counting. */
  peek(key: string, windowMs: number, max: number): WindowState {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.windowMs !== windowMs) return { current: 0, ttl: 0 };
    this.#advance(entry);
    return { current: entry.total, ttl: entry.total === 0 ? 0 : this.#untilNext(entry, Math.min(max, entry.total)) };
  }

  /**
   * Takes back one count that was made at or after `at`. Of several it is the oldest: a count that is not ours then stands in a younger slot
   * and leaves later, never sooner.
   */
  giveBack(key: string, windowMs: number, at: number): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.windowMs !== windowMs) return;
    this.#advance(entry);
    const first = Math.max(this.#slotOf(at, windowMs), entry.newest - slotCount + 1);
    for (let slot = first; slot <= entry.newest; slot++) {
      const index = slot % slotCount;
      const count = entry.slots[index] ?? 0;
      if (count === 0) continue;
      entry.slots[index] = count - 1;
      entry.total--;
      return;
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  #entry(key: string, windowMs: number): Entry {
    let entry = this.#entries.get(key);
    if (entry !== undefined && entry.windowMs === windowMs) {
      this.#advance(entry);
    } else {
      this.#sweep(entry === undefined ? 4 : 0);
      if (entry === undefined && this.#entries.size >= this.#maxKeys)
        throw new WindowStoreFull('The rate limit store is full');
      entry = { slots: new Uint32Array(slotCount), newest: this.#slot(windowMs), total: 0, windowMs };
    }
    // Re-inserting keeps the map in order of last use, so a sweep looks at the stalest first.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  /** Multiplied before it is divided: a slot's length need not be a whole number, its edges must agree with `#untilNext`. */
  #slot(windowMs: number): number {
    return this.#slotOf(this.#now(), windowMs);
  }

  #slotOf(at: number, windowMs: number): number {
    return Math.floor((at * slotsPerWindow) / windowMs);
  }

  #advance(entry: Entry): void {
    const slot = this.#slot(entry.windowMs);
    const steps = Math.min(slot - entry.newest, slotCount);
    for (let i = 1; i <= steps; i++) {
      const index = (entry.newest + i) % slotCount;
      entry.total -= entry.slots[index] ?? 0;
      entry.slots[index] = 0;
    }
    if (slot > entry.newest) entry.newest = slot;
  }

  /** Time until enough of the oldest slots have left that one more call fits under `max`. */
  #untilNext(entry: Entry, max: number): number {
    let left = entry.total;
    for (let age = slotCount - 1; age >= 0; age--) {
      left -= entry.slots[(entry.newest - age + slotCount) % slotCount] ?? 0;
      if (left < max) {
        return Math.max(
          1,
          Math.ceil(((entry.newest - age + slotCount) * entry.windowMs) / slotsPerWindow - this.#now()),
        );
      }
    }
    return Math.ceil((entry.windowMs / slotsPerWindow) * slotCount);
  }

  #sweep(count: number): void {
    for (const [key, entry] of this.#entries) {
      if (count-- <= 0) return;
      this.#advance(entry);
      this.#entries.delete(key);
      // A live one goes to the back: a long window must not keep the dead behind it in the store.
      if (entry.total > 0) this.#entries.set(key, entry);
    }
  }
}

// The keys that are remembered, in order of last use. A linked list beside the map: walking a map from its oldest entry on would step over
// every one that was deleted before.
import type { Entry } from './gate-entry.ts';

const lookedAt = 64;

export class Entries<W> {
  readonly #map = new Map<string, Entry<W>>();
  #oldest: Entry<W> | undefined;
  #newest: Entry<W> | undefined;

  get size(): number {
    return this.#map.size;
  }

  get(key: string): Entry<W> | undefined {
    return this.#map.get(key);
  }

  /** Makes it the newest, known or not. */
  use(entry: Entry<W>): void {
    if (entry === this.#newest) return;
    if (this.#map.get(entry.key) === entry) this.#unlink(entry);
    else this.#map.set(entry.key, entry);
    entry.older = this.#newest;
    if (this.#newest) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
  }

  delete(entry: Entry<W>): void {
    if (this.#map.get(entry.key) !== entry) return;
    this.#map.delete(entry.key);
    this.#unlink(entry);
  }

  /** Forgets those of the `count` oldest that are over. One that is in use is not old, and must not keep others from being looked at. */
  sweep(now: number, count: number): void {
    let entry = this.#oldest;
    for (let i = 0; i < count && entry !== undefined; i++) {
      const { newer } = entry;
      if (entry.isOver(now)) this.delete(entry);
      else if (entry.isBusy) this.use(entry);
      entry = newer;
    }
  }

  /** Forgets the idle one that is unused for longest; false when all are in use, as far as can be seen at a glance. */
  forgetOldest(): boolean {
    let entry = this.#oldest;
    for (let i = 0; i < lookedAt && entry !== undefined; i++) {
      if (!entry.isBusy) {
        this.delete(entry);
        return true;
      }
      entry = entry.newer;
    }
    return false;
  }

  #unlink(entry: Entry<W>): void {
    if (entry.older) entry.older.newer = entry.newer;
    else this.#oldest = entry.newer;
    if (entry.newer) entry.newer.older = entry.older;
    else this.#newest = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
  }
}

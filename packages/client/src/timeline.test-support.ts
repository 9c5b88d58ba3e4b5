// Time that passes only when somebody runs it, and chance that is the same every time: for tests of what waits. Never part of the build.
import type { GateClock } from './gate-alarm.ts';

/** Numbers that look random and are the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Time that passes only when somebody runs it. */
export class Timeline {
  readonly #heap: Event[] = [];
  #order = 0;
  now = 0;
  /** Timers that are set and have neither run nor been cancelled. */
  pending = 0;

  after(ms: number, run: () => void): () => void {
    const event: Event = { at: this.now + ms, order: this.#order++, run };
    this.#push(event);
    this.pending++;
    return () => {
      if (event.run !== undefined) this.pending--;
      event.run = undefined;
    };
  }

  clock(random: () => number): GateClock {
    return { now: () => this.now, after: (ms, run) => this.after(ms, run), random };
  }

  runUntil(end: number): void {
    for (let first = this.#heap[0]; first !== undefined && first.at <= end; first = this.#heap[0]) {
      this.#pop();
      if (first.run === undefined) continue;
      this.now = Math.max(this.now, first.at);
      this.pending--;
      const { run } = first;
      first.run = undefined;
      run();
    }
    this.now = end;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const event = heap.pop();
    if (event === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, event)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = event;
  }
}

interface Event {
  at: number;
  order: number;
  run: (() => void) | undefined;
}

const isBefore = (a: Event, b: Event) => a.at < b.at || (a.at === b.at && a.order < b.order);

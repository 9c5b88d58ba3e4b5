// One timer for everybody who waits, and none when nobody does. A heap of wake-up times; one that was moved is left in it and skipped.

/** Time, chance and the one timer: injected, so that tests need no real time. */
export interface GateClock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Runs once after the given milliseconds; returns what cancels it. */
  after(ms: number, run: () => void): () => void;
  /** 0 (inclusive) to 1 (exclusive). */
  random(): number;
}

export const systemClock: GateClock = {
  now: () => performance.now(),
  after: (ms, run) => {
    // Not unref'ed: while somebody waits for a turn nothing else may keep the process alive.
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

export interface Sleeper {
  wakeAt: number;
}

const longestTimerMs = 2_147_483_647;

export class Alarm<T extends Sleeper> {
  readonly #clock: GateClock;
  readonly #wake: (sleeper: T) => void;
  readonly #heap: { at: number; sleeper: T }[] = [];
  #cancel: (() => void) | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  constructor(clock: GateClock, wake: (sleeper: T) => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Wakes no later than `at`. */
  set(sleeper: T, at: number): void {
    if (at >= sleeper.wakeAt) return;
    sleeper.wakeAt = at;
    this.#push({ at, sleeper });
    this.#arm();
  }

  clear(): void {
    for (const { sleeper } of this.#heap) sleeper.wakeAt = Number.POSITIVE_INFINITY;
    this.#heap.length = 0;
    this.#disarm();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first !== undefined && first.at >= this.#armedFor) return;
    this.#disarm();
    if (first === undefined) return;
    this.#armedFor = first.at;
    const ms = Math.min(longestTimerMs, Math.max(0, Math.ceil(first.at - this.#clock.now())));
    this.#cancel = this.#clock.after(ms, () => this.#fire());
  }

  #disarm(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      const { at, sleeper } = this.#pop();
      if (sleeper.wakeAt !== at) continue;
      sleeper.wakeAt = Number.POSITIVE_INFINITY;
      this.#wake(sleeper);
    }
    this.#arm();
  }

  #push(item: { at: number; sleeper: T }): void {
    const heap = this.#heap;
    let at = heap.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.at <= item.at) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = item;
  }

  #pop(): { at: number; sleeper: T } {
    const heap = this.#heap;
    const top = heap[0];
    const item = heap.pop();
    if (top === undefined || item === undefined) throw new Error('Nothing to pop');
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const right = heap[child + 1];
      let least = heap[child];
      if (least === undefined) break;
      if (right !== undefined && right.at < least.at) {
        child++;
        least = right;
      }
      if (least.at >= item.at) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = item;
    return top;
  }
}

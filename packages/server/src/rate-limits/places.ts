// Places for calls in flight: how many at once, by whatever key. Pure: no clock, no store; this process only.

export class Places {
  readonly #held = new Map<string, number>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** Holds one place until the returned function is called; undefined: none is free. */
  enter(key: string): (() => void) | undefined {
    const held = this.#held.get(key) ?? 0;
    if (held >= this.#max) return undefined;
    this.#held.set(key, held + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const rest = (this.#held.get(key) ?? 1) - 1;
      if (rest > 0) this.#held.set(key, rest);
      else this.#held.delete(key);
    };
  }
}

// Stops asking an upstream that cannot be reached, so that its dead address costs a caller nothing. Only failures to connect count: a slow or
// failing tool is one user's business and must not shut an upstream for the others. Pure but for the clock that it is given.

const failuresToOpen = 5;
const withinMs = 10_000;
const openMs = 5_000;
const maxUpstreams = 20_000;

interface State {
  /** Failures since the last answer, within one window. */
  failures: number;
  firstAt: number;
  /** While it is open: when one call may try again. */
  retryAt: number;
}

export class Breaker {
  readonly #states = new Map<string, State>();
  readonly #now: () => number;
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Milliseconds until somebody may try, 0 when this caller may. The first who may after a pause is the probe; others keep waiting for it. */
  blockedMs(upstream: string): number {
    const state = this.#states.get(upstream);
    if (state === undefined || state.failures < failuresToOpen) return 0;
    const now = this.#now();
    if (now < state.retryAt) return Math.ceil(state.retryAt - now);
    state.retryAt = now + openMs;
    return 0;
  }

  isOpen(upstream: string): boolean {
    const state = this.#states.get(upstream);
    return state !== undefined && state.failures >= failuresToOpen;
  }

  answered(upstream: string): void {
    if (this.#states.size > 0) this.#states.delete(upstream);
  }

  failed(upstream: string): void {
    const now = this.#now();
    const state = this.#states.get(upstream);
    if (state === undefined || (state.failures < failuresToOpen && now - state.firstAt > withinMs)) {
      if (this.#states.size >= maxUpstreams) this.#states.clear();
      this.#states.set(upstream, { failures: 1, firstAt: now, retryAt: 0 });
      return;
    }
    state.failures++;
    if (state.failures >= failuresToOpen) state.retryAt = now + openMs;
  }

  forget(matches: (upstream: string) => boolean): void {
    for (const upstream of this.#states.keys()) if (matches(upstream)) this.#states.delete(upstream);
  }
}

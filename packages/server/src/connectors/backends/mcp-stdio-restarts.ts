// What is remembered of a key between two of its processes: how often they crashed, so that a broken server is not started in a loop, and
// that it speaks the 2025 era only. In memory, bounded.
import { performance } from 'node:perf_hooks';
import { UpstreamFailure } from '../backend.ts';
import type { UpstreamKey } from '../upstream-key.ts';
import type { StdioLimits } from './mcp-stdio-options.ts';

interface History {
  crashes: number;
  notBefore: number;
  legacyUntil: number;
}

/** A crash after so long is not a crash at start. */
const settledMs = 60_000;
/** Asking again would cost its users five seconds where the server is silent about it. */
const legacyKeepMs = 3_600_000;
const maxKept = 10_000;
/** A short pause is waited for, a long one is told. */
const longestWaitMs = 2_000;

export class Restarts {
  readonly #limits: Pick<StdioLimits, 'restartMs' | 'longestRestartMs'>;
  readonly #kept = new Map<UpstreamKey, History>();

  constructor(limits: Pick<StdioLimits, 'restartMs' | 'longestRestartMs'>) {
    this.#limits = limits;
  }

  /** Resolves when the key may start again; throws UpstreamFailure when that is a while off. */
  async wait(key: UpstreamKey): Promise<void> {
    const waitMs = (this.#kept.get(key)?.notBefore ?? 0) - performance.now();
    if (waitMs <= 0) return;
    if (waitMs > longestWaitMs) {
      const words = `The server process failed several times; it is started again in ${Math.ceil(waitMs / 1000)} s`;
      throw new UpstreamFailure('unreachable', 'no', { words, retryAfterMs: Math.ceil(waitMs) });
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }

  crashed(key: UpstreamKey, startedAt: number): void {
    const history = this.#of(key);
    const now = performance.now();
    history.crashes = now - startedAt < settledMs ? history.crashes + 1 : 1;
    const { restartMs, longestRestartMs } = this.#limits;
    const delay = history.crashes < 2 ? 0 : Math.min(restartMs * 2 ** (history.crashes - 2), longestRestartMs);
    history.notBefore = now + delay;
  }

  isLegacy(key: UpstreamKey): boolean {
    return performance.now() < (this.#kept.get(key)?.legacyUntil ?? 0);
  }
  noteLegacy(key: UpstreamKey): void {
    this.#of(key).legacyUntil = performance.now() + legacyKeepMs;
  }

  forget(matches: (key: UpstreamKey) => boolean): void {
    for (const key of this.#kept.keys()) if (matches(key)) this.#kept.delete(key);
  }

  #of(key: UpstreamKey): History {
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    if (this.#kept.size >= maxKept) this.#kept.delete(this.#kept.keys().next().value as UpstreamKey);
    const history: History = { crashes: 0, notBefore: 0, legacyUntil: 0 };
    this.#kept.set(key, history);
    return history;
  }
}

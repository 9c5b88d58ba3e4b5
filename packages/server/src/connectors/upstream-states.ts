// What was last heard of each upstream: for people who look, and for the breaker that spares callers a dead address. In memory, of this
// process. Words are ours, never the upstream's.
import { performance } from 'node:perf_hooks';
import { type Upstream, UpstreamFailure } from './backend.ts';
import { Breaker } from './breaker.ts';
import { poolKey, type UpstreamKey } from './upstream-key.ts';

const maxKept = 20_000;

const failureWords: Record<UpstreamFailure['kind'], string> = {
  unreachable: 'The upstream cannot be reached',
  timeout: 'The upstream did not answer in time',
  cancelled: 'The request was cancelled',
  unauthorized: 'The upstream refused the credential',
  forbidden: 'The upstream refused access',
  rate_limited: 'The upstream limits requests',
  session_lost: 'The upstream ended the session',
  wrong_era: 'The upstream does not speak MCP at this address',
  rpc: 'The upstream answered with an error',
  broken: 'The upstream failed or answered nonsense',
};

type Seen = Pick<Upstream, 'key' | 'connector'>;

export class UpstreamStates {
  readonly #breaker = new Breaker(() => performance.now());
  readonly #errors = new Map<UpstreamKey, string>();
  readonly #answered = new Set<UpstreamKey>();
  /** The key with which a connector was last heard of. */
  readonly #lastKeys = new Map<string, UpstreamKey>();

  /** Runs what asks the upstream, unless nobody could reach it just now. Throws UpstreamFailure. */
  async watch<T>(upstream: Seen, ask: () => Promise<T>): Promise<T> {
    const { accountId, id, kind } = upstream.connector;
    const place = poolKey(accountId, id);
    // A child process has no address that could be dead; its own restarts are paced where it is started.
    const waitMs = kind === 'mcp-stdio' ? 0 : this.#breaker.blockedMs(place);
    if (waitMs > 0) throw new UpstreamFailure('unreachable', 'no', { retryAfterMs: waitMs });
    try {
      const answer = await ask();
      this.#breaker.answered(place);
      this.#errors.delete(upstream.key);
      keep(this.#answered).add(upstream.key);
      this.#heard(upstream);
      return answer;
    } catch (error) {
      if (error instanceof UpstreamFailure) {
        if (error.kind === 'unreachable') this.#breaker.failed(place);
        else if (error.status !== null) this.#breaker.answered(place);
      }
      throw error;
    }
  }

  /** An answer that the caller of `watch` gave up on for good. */
  failed(upstream: Seen, error: unknown): void {
    this.#heard(upstream);
    this.note(upstream.key, error);
  }

  note(key: UpstreamKey, error: unknown): void {
    if (!(error instanceof UpstreamFailure) || error.kind === 'cancelled' || error.kind === 'rpc') return;
    keep(this.#errors).set(key, error.words ?? failureWords[error.kind]);
  }

  lastKey(accountId: string, connectorId: string): UpstreamKey | undefined {
    return this.#lastKeys.get(poolKey(accountId, connectorId));
  }
  lastError(key: UpstreamKey): string | undefined {
    return this.#errors.get(key);
  }
  hasAnswered(key: UpstreamKey): boolean {
    return this.#answered.has(key);
  }

  forget(matches: (key: UpstreamKey) => boolean): void {
    for (const key of this.#errors.keys()) if (matches(key)) this.#errors.delete(key);
    for (const key of this.#answered) if (matches(key)) this.#answered.delete(key);
  }

  /** A changed definition may have another address: what was learned of the old one must not bar it. */
  forgetConnectors(accountId: string): void {
    this.#breaker.forget((place) => place.startsWith(`${accountId}/`));
  }

  #heard({ key, connector }: Seen): void {
    keep(this.#lastKeys).set(poolKey(connector.accountId, connector.id), key);
  }
}

/** A note lost costs a word in a status; a map without bounds costs the process. */
function keep<T extends { size: number; clear(): void }>(kept: T): T {
  if (kept.size >= maxKept) kept.clear();
  return kept;
}

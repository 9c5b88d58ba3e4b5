// May this attempt be sent again, and when? One table, first matching row wins. Pure: no clock, no randomness, no I/O.
// The rule behind it: something that may have run is sent again only under a key that the server promised to honour.

/** What happened, reduced to what decides. */
export type FailureKind =
  /** Provably nothing left: DNS, refused, unreachable, connect timeout, TLS verification. */
  | 'not-sent'
  /** 429, or the same said inside an answer: limits are checked before anything runs. */
  | 'limited'
  /** 503. */
  | 'unavailable'
  /** 408, 425, 5xx; connection lost; attempt timeout; body cut, stalled or unreadable. */
  | 'lost'
  /** The first request with this key is still at work. */
  | 'running'
  /** The gateway says: retryable, and nothing ran. */
  | 'refused'
  | 'unauthorized'
  /** An answer, a redirect, an abort, a stream that already delivered an event. */
  | 'final';

export interface RetryFacts {
  /** GET, PUT, DELETE, or a POST that the contract marks idempotent. */
  repeatable: boolean;
  /** The server promised to honour the key of this request. */
  promised: boolean;
  /** Whether such words of a server are believed at all. */
  believes: boolean;
  /** A new key may be made: the caller did not choose it. */
  ownKey: boolean;
  /** The key is settled: no earlier attempt under it may still run, or this is the stored answer for all of them. */
  settled: boolean;
  /** `x-should-retry` of the answer. */
  shouldRetry: boolean | undefined;
  /** Retries already made, and how many are allowed. */
  retries: number;
  maxRetries: number;
  /** Polls already made while the first request was running. */
  polls: number;
  /** The budget allows one more. */
  affordable: boolean;
  /** The credential can be asked for anew, and has not been in this call. */
  refreshable: boolean;
  retryAfterMs: number | undefined;
  /** Until the deadline; `undefined` without one. */
  remainingMs: number | undefined;
  /** 0 (inclusive) to 1 (exclusive). */
  random: number;
}

export type Decision =
  | { action: 'retry'; delayMs: number; costs: 'retry' | 'nothing'; newKey: boolean; refresh: boolean }
  | { action: 'stop'; reason: string };

const backoffBaseMs = 500;
const backoffCapMs = 8000;
/** Waiting longer than this is the caller's decision, not ours. */
const longestWaitMs = 30_000;
const pollBaseMs = 250;
const pollCapMs = 2000;

const stop = (reason: string): Decision => ({ action: 'stop', reason });

/** Never earlier than told, at most a tenth later; without a word from the server equal jitter on a doubling base. */
function waitMs(facts: RetryFacts): number {
  if (facts.retryAfterMs !== undefined) return Math.ceil(facts.retryAfterMs * (1 + 0.1 * facts.random));
  const base = Math.min(backoffCapMs, backoffBaseMs * 2 ** facts.retries);
  return Math.round(base / 2 + (base / 2) * facts.random);
}

function mayRepeat(kind: FailureKind, facts: RetryFacts): boolean {
  if (kind === 'not-sent' || kind === 'limited') return true;
  // A refusal is stored, so it would come again under the caller's own key: unless it came before the key was looked at.
  if (kind === 'refused') return facts.repeatable || facts.ownKey || !facts.settled || facts.shouldRetry === true;
  if (facts.repeatable || facts.promised) return true;
  return kind === 'unavailable' && facts.shouldRetry === true;
}

/** The table. */
export function decide(kind: FailureKind, facts: RetryFacts): Decision {
  if (kind === 'final') return stop('it is an answer');
  const fits = (delayMs: number) => facts.remainingMs === undefined || delayMs < facts.remainingMs;

  if (kind === 'running') {
    const delayMs = facts.retryAfterMs ?? Math.min(pollCapMs, pollBaseMs * 2 ** facts.polls);
    if (!facts.believes) return stop('keys are not believed in, and the first request still runs');
    if (!fits(delayMs)) return stop('the deadline ends before the first request does');
    return { action: 'retry', delayMs, costs: 'nothing', newKey: false, refresh: false };
  }
  if (kind === 'unauthorized') {
    if (!facts.refreshable) return stop('the credential was refused');
    return { action: 'retry', delayMs: 0, costs: 'nothing', newKey: false, refresh: true };
  }
  if (facts.shouldRetry === false && kind !== 'not-sent') return stop('the server says not to retry');
  if (!mayRepeat(kind, facts)) return stop('it may have run and the server promises no idempotency');
  if (facts.retries >= facts.maxRetries) return stop('no retries are left');
  if (!facts.affordable) return stop('the retry budget is empty');
  const delayMs = waitMs(facts);
  if (facts.retryAfterMs !== undefined && facts.retryAfterMs > longestWaitMs)
    return stop('the server asks to wait too long');
  if (!fits(delayMs)) return stop('the wait does not fit into the deadline');
  // While an earlier attempt may still run, only the old key keeps it from running twice.
  const newKey = kind === 'refused' && facts.ownKey && facts.settled;
  return { action: 'retry', delayMs, costs: 'retry', newKey, refresh: false };
}

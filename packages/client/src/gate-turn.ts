// The gate as one call sees it: wait for a turn, tell what came back, and the errors of those who are not let in.
// Nothing is sent here; the store of several processes is the only one that is asked.
import * as errors from './errors.ts';
import { type Ask, type Denial, nothingKnown, type Pass, type Waiter } from './gate-ask.ts';
import { isNarrowRefusal, readPolicies } from './gate-headers.ts';
import type { RateLimitEvent, RateLimitPolicy, RateLimitSnapshot } from './gate-options.ts';
import { tell } from './observe.ts';
import type { Operation } from './operation.ts';
import { nameOf } from './redact.ts';
import { type Answer, about, type CallContext } from './respond.ts';
import type { Decision } from './retry.ts';
import type { Transport } from './transport.ts';

/** How often one call may be refused by the server and wait again. */
const maxReturns = 5;
const storePatienceMs = 50;
const unknownWaitMs = 1000;

/** Why a call was not sent. */
export type Stopped = { how: 'denied'; error: errors.ValetError } | { how: 'aborted' } | { how: 'closed' };

export class Turn {
  /** Milliseconds waited so far. */
  waitedMs = 0;
  readonly #transport: Transport;
  readonly #operation: Operation<unknown>;
  readonly #deadlineAt: number | undefined;
  #pass: Pass | undefined;
  #returns = 0;
  #refusedAt: number | undefined;
  #hasWaited = false;
  /** The server refused this call, not its user: so long it waits alone. */
  #aloneMs: number | undefined;

  constructor(operation: Operation<unknown>, transport: Transport) {
    this.#operation = operation;
    this.#transport = transport;
    const { deadlineMs } = operation;
    this.#deadlineAt = deadlineMs === undefined ? undefined : transport.learned.gate.now() + deadlineMs;
  }

  /** Resolves when the next attempt may be sent, or with the reason why it may not. */
  async take(context: CallContext): Promise<Stopped | undefined> {
    const { limit, signal } = this.#operation;
    if (limit === undefined) return undefined;
    const { gate } = this.#transport.learned;
    const askedAt = gate.now();
    // A call that came back waits since it was refused.
    const startedAt = this.#aloneMs === undefined ? (this.#refusedAt ?? askedAt) : askedAt;
    this.#refusedAt = undefined;
    const patienceMs = limit.options.maxWaitMs;
    let isBack = context.attempts > 1;
    this.#hasWaited = false;
    for (;;) {
      const spentMs = gate.now() - askedAt;
      const result = await this.#enter({
        ...limit,
        deadlineAt: this.#deadlineAt,
        isBack,
        patienceMs: patienceMs - spentMs,
      });
      const tookMs = this.#hasWaited ? Math.ceil(gate.now() - startedAt) : 0;
      if (result === undefined) {
        this.waitedMs += tookMs;
        return { how: signal?.aborted ? 'aborted' : 'closed' };
      }
      if (!result.ok) {
        this.waitedMs += tookMs;
        const { retryAfterMs: ms, policy } = result;
        this.#tell({ type: 'reject', operation: this.#operation.name, ms, policy });
        return { how: 'denied', error: denied(result, context, patienceMs) };
      }
      const storeMs = await this.#askStore();
      if (storeMs > 0) {
        gate.hold(result, storeMs);
        gate.leave(result, { reports: undefined, limited: false, retryAfterMs: undefined, unsent: true }, false);
        isBack = true;
        continue;
      }
      this.#pass = result;
      this.waitedMs += tookMs;
      if (tookMs > 0) {
        const { policy } = this.snapshot();
        this.#tell({ type: 'wait', operation: this.#operation.name, ms: tookMs, policy });
      }
      return undefined;
    }
  }

  /** A place in the queue until it is this call's turn; nothing when the caller, or the client, left first. */
  async #enter(ask: Ask): Promise<Pass | Denial | undefined> {
    const { gate } = this.#transport.learned;
    let result: Pass | Denial | undefined;
    let wake = (): void => undefined;
    const waiter: Waiter | undefined = gate.enter(ask, (settled) => {
      result = settled;
      wake();
    });
    this.#hasWaited ||= waiter !== undefined;
    if (waiter === undefined) return result;
    const settled = new Promise<true>((resolve) => {
      wake = () => resolve(true);
    });
    if (await this.#transport.unlessAborted(settled, this.#operation.signal)) return result;
    gate.cancel(waiter);
    // Let in at the very moment of leaving: the place goes back unused.
    if (isPass(result))
      gate.leave(result, { reports: undefined, limited: false, retryAfterMs: undefined, unsent: true }, false);
    return undefined;
  }

  /** What came back, or that nothing did. */
  done(answer: Pick<Answer, 'headers'> | undefined, error: errors.ValetError | undefined): void {
    const pass = this.#pass;
    const { limit } = this.#operation;
    if (pass === undefined || limit === undefined) return;
    this.#pass = undefined;
    const limited = error instanceof errors.RateLimitError;
    const reports = answer ? readPolicies(answer.headers, Date.now()) : undefined;
    const retryAfterMs = limited ? error.retryAfterMs : undefined;
    const unsent =
      error instanceof errors.ConfigError || (error instanceof errors.ConnectionError && error.sent === 'no');
    this.#transport.learned.gate.leave(pass, { reports, limited, retryAfterMs, unsent }, limit.options.learn);
    this.#aloneMs = limited && isNarrowRefusal(reports ?? []) ? (retryAfterMs ?? unknownWaitMs) : undefined;
    if (!limited) return;
    this.#refusedAt = this.#transport.learned.gate.now();
    const { policy, retryAfterMs: gateMs } = this.snapshot();
    const ms = this.#aloneMs ?? gateMs;
    this.#tell({ type: 'limited', operation: this.#operation.name, ms, policy: error.policy ?? policy });
    if (this.#aloneMs === undefined) this.#penalize(ms);
  }

  /** Whether a call that the server refused for its limit waits again. */
  decide(facts: { shouldRetry: boolean | undefined; maxRetries: number; affordable: boolean }): Decision {
    if (facts.shouldRetry === false) return { action: 'stop', reason: 'the server says not to retry' };
    if (facts.maxRetries === 0) return { action: 'stop', reason: 'no retries are left' };
    if (!facts.affordable) return { action: 'stop', reason: 'the retry budget is empty' };
    if (this.#returns >= maxReturns) return { action: 'stop', reason: 'the server refused too often' };
    const delayMs = this.#aloneMs ?? 0;
    if (!this.#mayWait(delayMs)) return { action: 'stop', reason: 'the wait is too long' };
    this.#returns++;
    return { action: 'retry', delayMs, costs: 'retry', newKey: false, refresh: false };
  }

  #mayWait(ms: number): boolean {
    const { limit } = this.#operation;
    if (ms === 0 || limit === undefined) return true;
    const now = this.#transport.learned.gate.now();
    const most =
      limit.mode === 'reject' ? 0 : limit.mode === 'auto' ? limit.options.maxWaitMs : Number.POSITIVE_INFINITY;
    return ms <= most && (this.#deadlineAt === undefined || now + ms < this.#deadlineAt);
  }

  /** Where the user stands now. */
  snapshot(): RateLimitSnapshot {
    const { limit } = this.#operation;
    return limit ? this.#transport.learned.gate.snapshot(limit.scope, limit.user, limit.options) : nothingKnown;
  }

  #policy(): RateLimitPolicy | undefined {
    const quota = this.#operation.limit?.options.quota;
    if (quota) return { limit: quota.limit, windowMs: quota.windowMs };
    const { limit, windowMs } = this.snapshot();
    return limit === undefined || windowMs === undefined ? undefined : { limit, windowMs };
  }

  /** Milliseconds that the store says to wait. A store that fails or is slow is passed over: the server decides. */
  async #askStore(): Promise<number> {
    const { limit } = this.#operation;
    const policy = limit?.options.store && this.#policy();
    if (limit?.options.store === undefined || policy === undefined) return 0;
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<number>((resolve) => {
      timer = setTimeout(() => resolve(0), storePatienceMs);
    });
    try {
      const taken = limit.options.store.take(`${limit.scope}:${limit.user}`, 1, policy, controller.signal);
      const ms = await Promise.race([taken, late]);
      return Number.isFinite(ms) && ms > 0 ? ms : 0;
    } catch (error) {
      this.#transport.log('warn', () => `the rate limit store failed with ${nameOf(error)}`);
      return 0;
    } finally {
      clearTimeout(timer);
      controller.abort();
    }
  }

  #penalize(ms: number): void {
    const { limit } = this.#operation;
    const { store } = limit?.options ?? {};
    if (limit === undefined || store === undefined) return;
    const failed = (error: unknown) => {
      this.#transport.log('warn', () => `the rate limit store failed with ${nameOf(error)}`);
    };
    try {
      Promise.resolve(store.penalize(`${limit.scope}:${limit.user}`, ms)).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #tell(event: RateLimitEvent): void {
    this.#transport.log('debug', () => `${event.operation}: rate limit, ${event.type}, ${event.ms ?? 'unknown'} ms`);
    tell(this.#transport, 'rateLimit', () => event);
  }
}

const isPass = (result: Pass | Denial | undefined): result is Pass => result?.ok === true;

function denied(denial: Denial, context: CallContext, patienceMs: number): errors.ValetError {
  const fields = { ...about(context), attempts: context.attempts - 1, executed: 'no' as const, retryable: true };
  const { retryAfterMs, policy } = denial;
  if (denial.why === 'deadline') {
    const message = 'The deadline of the call passed before its user was under the rate limit';
    return new errors.TimeoutError({ ...fields, kind: 'queue', message, retryAfterMs });
  }
  const message =
    denial.why === 'full'
      ? 'Too many calls already wait for the rate limit'
      : `The user is at the rate limit${retryAfterMs ? `; the next call may go in ${retryAfterMs} ms` : ', or has too many calls in flight'}`;
  const hint =
    denial.why === 'full'
      ? 'Start fewer calls at once, or raise rateLimit.maxQueuePerUser and rateLimit.maxQueue'
      : `Call again later, raise rateLimit.maxWaitMs (${patienceMs}), or set rateLimit.mode to "wait"`;
  return new errors.RateLimitError({
    ...fields,
    code: 'RATE_LIMITED',
    status: 429,
    message,
    hint,
    retryAfterMs,
    source: 'local',
    policy,
  });
}

// What a failure means: which row of the retry table it is, and what the caller finally gets. Pure.
import { aborted } from './attempt.ts';
import { curatedCause } from './error-base.ts';
import * as errors from './errors.ts';
import type { Operation } from './operation.ts';
import { type Answer, about, type CallContext, isGatewayWord } from './respond.ts';
import type { FailureKind } from './retry.ts';

/** The row of the retry table for an error. `answered`: it came inside a 2xx. `delivered`: the caller was given an event. */
export function classify(error: errors.ValetError, answered: boolean, delivered: boolean): FailureKind {
  if (delivered || error instanceof errors.RedirectError || error instanceof errors.AbortError) return 'final';
  if (error instanceof errors.ConnectionError) return error.sent === 'no' ? 'not-sent' : deadlineOrLost(error);
  if (error instanceof errors.ResponseError) return error.code === 'UNREADABLE_ANSWER' ? 'lost' : 'final';
  if (error.code === 'IDEMPOTENCY_IN_PROGRESS') return 'running';
  if (error instanceof errors.RateLimitError) return 'limited';
  if (error instanceof errors.AuthenticationError && !answered) return 'unauthorized';
  // The gateway knows what happened: what did not run may run again, what it sent on is settled.
  if (isGatewayWord(error) && error.retryable && error.executed === 'no') return 'refused';
  if (answered || !(error instanceof errors.APIError)) return 'final';
  if (error instanceof errors.UnavailableError) return 'unavailable';
  const status = error.status ?? 0;
  return status === 408 || status === 425 || (status >= 500 && status !== 501 && status !== 505) ? 'lost' : 'final';
}

const deadlineOrLost = (error: errors.ConnectionError): FailureKind =>
  error instanceof errors.TimeoutError && error.kind === 'deadline' ? 'final' : 'lost';

export interface Doubt {
  key: string | undefined;
  /** An earlier attempt of this call may have run. */
  earlier: boolean;
  /** The server said that it works on it. */
  running: boolean;
  answer: Answer | undefined;
  context: CallContext;
}

/** What the caller gets: the failure itself, or OutcomeUnknownError when something that must not run twice may have run. */
export function finalError(error: errors.ValetError, operation: Operation<unknown>, doubt: Doubt): errors.ValetError {
  const { key: idempotencyKey, context } = doubt;
  if (operation.repeatable) return error;
  if (error instanceof errors.AbortError) {
    return doubt.earlier ? aborted({ signal: operation.signal, context, idempotencyKey }, true) : error;
  }
  if (!isDoubtful(error, doubt)) return error;
  const given = error instanceof errors.OutcomeUnknownError ? error.state : undefined;
  const { code, details } = error;
  return new errors.OutcomeUnknownError({
    ...about(context),
    message: given === undefined ? `Nobody can say whether the call ran: ${error.message}` : error.message,
    status: error.status,
    requestId: error.requestId,
    retryAfterMs: error.retryAfterMs,
    details: given === undefined ? { ...details, code } : details,
    idempotencyKey,
    state: given ?? (doubt.running ? 'running' : 'no_answer'),
    cause: given === undefined ? error : curatedCause(error.message, code),
  });
}

function isDoubtful(error: errors.ValetError, doubt: Doubt): boolean {
  // A stored answer, or a refusal that comes after the claim of the key, speaks for all attempts.
  const speaksForAll = isReplay(doubt.answer) || error instanceof errors.CredentialRequiredError;
  if (doubt.earlier && !speaksForAll && error.executed !== 'yes') return true;
  if (error.executed !== 'unknown' || error instanceof errors.RedirectError) return false;
  // These two are answers: somebody who knows says what happened, as far as it can be known.
  return !(error instanceof errors.RpcError) && !(error instanceof errors.UpstreamError && isGatewayWord(error));
}

/** The server returned the stored answer of an earlier request with the same key. */
export const isReplay = (answer: Answer | undefined): boolean => answer?.headers.get('idempotent-replayed') === 'true';

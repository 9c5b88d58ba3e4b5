// What observers of a client are told: names, numbers and codes. No user ids, bodies, header values, query values or tokens get in here.
import type { Executed } from './errors.ts';
import type { RateLimitEvent } from './gate-options.ts';
import type { FailureKind } from './retry.ts';

/** One request of a call, about to be sent. */
export interface RequestEvent {
  /** Which method: `servers.create`, `execute`. */
  readonly operation: string;
  /** The HTTP method. */
  readonly method: string;
  /** The path as a template, without ids and tokens: `/users/{username}`. */
  readonly path: string;
  /** Number of this request among those of its call, from 1. */
  readonly attempt: number;
  /** The call's idempotency key, which a POST has. One that you chose is told as you chose it. */
  readonly idempotencyKey: string | undefined;
}

/** A request ended: with an answer, or without one. Told once for every `request`. */
export interface ResponseEvent extends RequestEvent {
  /** HTTP status; absent when no complete answer came. */
  readonly status: number | undefined;
  /** Code of the error, when the attempt failed: `NOT_FOUND`, `TIMEOUT`. */
  readonly code: string | undefined;
  /** Finds the request in the gateway's log. */
  readonly requestId: string | undefined;
  /** Milliseconds from sending to the last byte. */
  readonly durationMs: number;
  /** Size of the body. */
  readonly bytes: number | undefined;
}

/** Why a request is sent again: the row of the table in the guide about retries. */
export type RetryReason = Exclude<FailureKind, 'final'>;

/** A failed request will be sent again. `attempt` is the number of the one that failed. */
export interface RetryEvent extends RequestEvent {
  /** What went wrong with the one before. */
  readonly reason: RetryReason;
  /** Milliseconds until then, as far as is known. */
  readonly delayMs: number;
  /** Code of the error: `UNAVAILABLE`, `CONNECTION`. */
  readonly code: string;
  /** HTTP status of the answer, if there was one. */
  readonly status: number | undefined;
  /** Finds the request in the gateway's log. */
  readonly requestId: string | undefined;
}

/** A call ended with an error: what its caller gets, without its text. */
export interface FailureEvent {
  /** Which method: `servers.create`, `execute`. */
  readonly operation: string;
  /** The HTTP method. */
  readonly method: string;
  /** The path as a template. */
  readonly path: string;
  /** Class of the error: `NotFoundError`. */
  readonly name: string;
  /** Code of the error: `NOT_FOUND`. */
  readonly code: string;
  /** HTTP status of the answer, if there was one. */
  readonly status: number | undefined;
  /** Finds the request in the gateway's log. */
  readonly requestId: string | undefined;
  /** Requests sent for this call. */
  readonly attempts: number;
  /** Milliseconds of the whole call, waiting included. */
  readonly durationMs: number;
  /** The same call may succeed later. */
  readonly retryable: boolean;
  /** Whether the tool, or the change, may have run. */
  readonly executed: Executed;
  /** Milliseconds to wait before the next try, when the server said so. */
  readonly retryAfterMs: number | undefined;
}

/** Functions that are told what happens, for metrics and traces. What they throw, or reject with, is logged and otherwise ignored. */
export interface Hooks {
  /** A request is about to be sent. */
  request?: ((event: RequestEvent) => void) | undefined;
  /** That request ended, with an answer or without one. */
  response?: ((event: ResponseEvent) => void) | undefined;
  /** A failed request will be sent again. */
  retry?: ((event: RetryEvent) => void) | undefined;
  /** A call waited for its user's rate limit, was refused by it, or met a 429. */
  rateLimit?: ((event: RateLimitEvent) => void) | undefined;
  /** A call ended with an error. Wrong arguments, which are found before it begins, are not told. */
  error?: ((event: FailureEvent) => void) | undefined;
}

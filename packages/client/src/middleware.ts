// The caller's own code around every request: signing, tracing, a proxy's headers. It is trusted with the request as it goes out, and must not be
// able to make us send twice, send elsewhere, or believe that nothing was sent.
import { ConfigError, ConnectionError } from './errors.ts';
import type { RequestEvent } from './hooks.ts';
import { nameOf } from './redact.ts';
import { about, type CallContext } from './respond.ts';

/** A request as it is about to be sent, with its credential: do not log it. Change it by passing a changed copy on. */
export interface MiddlewareRequest {
  /** In upper case. */
  readonly method: string;
  /** Only its path and query may be changed: the credential goes to no other origin. */
  readonly url: string;
  /** In lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON, if it has one. */
  readonly body: string | undefined;
  /** Fires when the attempt ends early: aborted, or out of time. */
  readonly signal: AbortSignal;
}

/**
 * Wraps every request of a client, retries and probes included: `(request, next, context) => next(request)`. The first of the list is the
 * outermost. Call `next` at most once, and return its Response unread (or one of your own). The time that it takes counts towards `timeout`. An
 * error before `next` ends the call with ConfigError; one after it is treated like a lost connection, because the request may have been carried
 * out, and its text is dropped.
 */
export type Middleware = (
  request: MiddlewareRequest,
  next: (request?: MiddlewareRequest) => Promise<Response>,
  context: RequestEvent,
) => Promise<Response>;

/** Wraps the sending of one request. Throws what the sending threw, or errors of ours. */
export type Around = (
  request: MiddlewareRequest,
  send: (request: MiddlewareRequest) => Promise<Response>,
) => Promise<Response>;

export function checkMiddleware(value: unknown): readonly Middleware[] {
  if (value === undefined) return [];
  if (Array.isArray(value) && value.every((each) => typeof each === 'function')) return [...(value as Middleware[])];
  throw new ConfigError({ message: 'middleware must be a list of functions' });
}

/** The chain for one attempt; nothing when there is none. */
export function aroundOf(
  chain: readonly Middleware[],
  event: () => RequestEvent,
  context: CallContext,
): Around | undefined {
  if (chain.length === 0) return undefined;
  return async (request, send) => {
    const { origin } = new URL(request.url);
    const told = Object.freeze(event());
    let isSent = false;
    let lost: { error: unknown } | undefined;
    let fault: string | undefined;
    const last = async (given: MiddlewareRequest): Promise<Response> => {
      if (isSent) fault = 'called next twice';
      else if (new URL(given.url).origin !== origin) fault = 'changed the origin';
      else if (given.signal.aborted) fault = 'came too late';
      if (fault !== undefined) throw new Error(fault);
      isSent = true;
      try {
        return await send(given);
      } catch (error) {
        lost = { error };
        throw error;
      }
    };
    const step = (at: number, given: MiddlewareRequest): Promise<Response> => {
      const sent = (async () => chain[at]?.(given, (changed = given) => step(at + 1, changed), told) ?? last(given))();
      // Nobody may be waiting for it any more, which must not end the process.
      sent.catch(() => undefined);
      return sent;
    };
    let what: string;
    try {
      const response = (await step(0, request)) as Response | undefined;
      // Not by its class: a `fetch` from a package has its own.
      if (typeof response?.headers?.get === 'function' && !response.bodyUsed) return response;
      what = 'returned no unread Response';
    } catch (error) {
      // How far a request came is for the transport's own error to say: the codes of another may come from anywhere.
      if (lost) throw lost.error;
      what = fault ?? `threw ${nameOf(error)}`;
    }
    if (!isSent) throw new ConfigError({ ...about(context), message: `A middleware ${what}; nothing was sent` });
    const message = `A middleware ${what} after the request was sent`;
    const details = { cause: 'MIDDLEWARE' };
    throw new ConnectionError({ ...about(context), message, phase: 'receive', sent: 'maybe', details });
  };
}

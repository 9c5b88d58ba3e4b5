// Pure: what the SDK client threw, as the failure that the pipeline knows. The upstream's words survive only as the scrubbed text of a
// JSON-RPC error.
import { ProtocolError, SdkHttpError } from '@modelcontextprotocol/client';
import { type Upstream, UpstreamFailure } from '../backend.ts';
import { EgressError } from '../egress.ts';
import { scrubValue } from '../scrub.ts';
import { failureOfEgress } from './mcp-http-raw.ts';

/** What was seen of the HTTP answers to one request. */
export interface HttpNote {
  status?: number;
  retryAfterMs?: number;
  /** The answer ended, or cannot be read, and the response was not in it. */
  isAnswerless?: boolean;
}

const maxMessage = 1_000;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function failureOfSignal(signal: AbortSignal, executed: 'no' | 'unknown'): UpstreamFailure {
  const isTimeout = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
  return new UpstreamFailure(isTimeout ? 'timeout' : 'cancelled', executed);
}

function rpcFailure(
  code: number,
  message: string,
  data: unknown,
  status: number | null,
  upstream: Upstream,
): UpstreamFailure {
  if (code === -32020 || code === -32022) return new UpstreamFailure('wrong_era', 'no', { status });
  const rpc = { code, message: upstream.scrub(message).slice(0, maxMessage), data: scrubValue(data, upstream.scrub) };
  return new UpstreamFailure('rpc', 'unknown', { status, rpc });
}

/** The JSON-RPC error in a refused request's body, if there is one. */
function rpcErrorIn(text: unknown): { code: number; message: string; data: unknown } | undefined {
  if (typeof text !== 'string') return undefined;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Not a JSON-RPC error; its words are the upstream's and go nowhere.
    return undefined;
  }
  const error = isObject(body) ? body['error'] : undefined;
  if (!isObject(error)) return undefined;
  const { code, message, data } = error;
  if (typeof code !== 'number') return undefined;
  return { code, message: typeof message === 'string' ? message : '', data };
}

function ofStatus(
  status: number,
  text: unknown,
  note: HttpNote,
  hasSession: boolean,
  upstream: Upstream,
): UpstreamFailure {
  const rpc = rpcErrorIn(text);
  if (status === 401) return new UpstreamFailure('unauthorized', 'no', { status });
  if (status === 404 && hasSession) return new UpstreamFailure('session_lost', 'no', { status });
  // Many servers of the 2025 era say 400 where the specification says 404.
  if (status === 400 && hasSession && rpc !== undefined && /session/i.test(rpc.message))
    return new UpstreamFailure('session_lost', 'no', { status });
  if (rpc !== undefined) return rpcFailure(rpc.code, rpc.message, rpc.data, status, upstream);
  if (status === 403) return new UpstreamFailure('forbidden', 'no', { status });
  if (status === 404 || status === 405) return new UpstreamFailure('wrong_era', 'no', { status });
  if (status === 429) return new UpstreamFailure('rate_limited', 'no', { status, retryAfterMs: note.retryAfterMs });
  return new UpstreamFailure('broken', 'unknown', { status, retryAfterMs: note.retryAfterMs });
}

export interface FailureContext {
  signal: AbortSignal;
  note: HttpNote;
  upstream: Upstream;
  /** Whether the request was sent in a session that the upstream minted. */
  hasSession: boolean;
}

export function failureOf(error: unknown, { signal, note, upstream, hasSession }: FailureContext): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  if (error instanceof EgressError) return failureOfEgress(error, signal);
  if (signal.aborted) return failureOfSignal(signal, 'unknown');
  if (note.isAnswerless) return new UpstreamFailure('broken', 'unknown', { status: note.status ?? null });
  if (ProtocolError.isInstance(error))
    return rpcFailure(error.code, error.message, error.data, note.status ?? null, upstream);
  if (SdkHttpError.isInstance(error)) return ofStatus(error.status, error.data.text, note, hasSession, upstream);
  const status = note.status ?? null;
  // The event stream transport has plain errors only; the status was seen on the wire.
  if (status !== null && status >= 400) return ofStatus(status, undefined, note, hasSession, upstream);
  return new UpstreamFailure('broken', 'unknown', { status });
}

/** A failure while shaking hands: no tool was asked for, so none ran. */
export function failureOfConnect(error: unknown, context: FailureContext): UpstreamFailure {
  const { kind, status, rpc, retryAfterMs } = failureOf(error, context);
  return new UpstreamFailure(kind, 'no', { status, ...(rpc && { rpc }), retryAfterMs });
}

/** The promise, or the failure that the signal means, whichever comes first. What the promise does is not stopped: others wait for it too. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(failureOfSignal(signal, 'no'));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

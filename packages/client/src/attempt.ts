// One request, once: headers out, bounded body in, one timer over both. Knows nothing of retries or envelopes.
// Whatever the transport throws ends here: its errors print headers and bodies.
import { connectionError } from './connection.ts';
import { AbortError, RedirectError, ResponseError, TimeoutError, ValetError } from './errors.ts';
import type { Around, MiddlewareRequest } from './middleware.ts';
import { type Answer, about, type CallContext, requestIdOf } from './respond.ts';
import { SseParser } from './sse.ts';
import { whenAborted } from './when-aborted.ts';

/** Sends; must not follow redirects, repeat, or throw on a status. */
export type Http = (url: string, init: RequestInit) => Promise<Response>;

export interface AttemptRequest {
  /** Asked before anything is sent: it may have to be loaded. */
  http: () => Http | Promise<Http>;
  method: string;
  url: string;
  /** Headers of this attempt; asked under the timer, because the caller's token function may hang. */
  headers: () => Promise<Record<string, string>>;
  body: string | undefined;
  /** Milliseconds of silence allowed: for the whole attempt, on a stream between two events. */
  timeoutMs: number;
  /** Milliseconds until the deadline of the call. */
  remainingMs: number | undefined;
  signal: AbortSignal | undefined;
  maxBytes: number;
  context: CallContext;
  idempotencyKey: string | undefined;
  /** Given each event of a stream; true when it was the answer. */
  onEvent: ((data: string) => boolean) | undefined;
  /** Takes a good answer unread, to pass it on as it streams. */
  onResponse?: ((response: Response, stop: () => void) => void) | undefined;
  fetchOptions: Readonly<Record<string, unknown>>;
  around?: Around | undefined;
  /** Hears the headers of any answer before its body is read. */
  onHead?: ((headers: Headers) => void) | undefined;
}

const maxErrorBytes = 64 * 1024;

export async function attempt(request: AttemptRequest): Promise<Answer> {
  const { context, signal, timeoutMs } = request;
  const controller = new AbortController();
  const deadlineAt = performance.now() + (request.remainingMs ?? Number.POSITIVE_INFINITY);
  let started = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let giveUp: (error: ValetError) => void = () => undefined;
  const ended = new Promise<never>((_, reject) => {
    giveUp = reject;
  });

  const end = (error: ValetError) => {
    giveUp(error);
    controller.abort();
  };
  const armTimer = () => {
    clearTimeout(timer);
    const left = deadlineAt - performance.now();
    const kind = left <= timeoutMs ? 'deadline' : 'attempt';
    // Not unref'ed: a `fetch` or token function that hangs may hold nothing open, and its caller waits for the timeout.
    timer = setTimeout(() => end(timeout(kind)), Math.max(0, Math.min(left, timeoutMs)));
  };
  const timeout = (kind: 'attempt' | 'deadline') =>
    new TimeoutError({
      ...about(context),
      kind,
      message: kind === 'deadline' ? 'The deadline of the call has passed' : 'No complete answer within the timeout',
      ...(!started && { executed: 'no' as const }),
    });
  const onAbort = () => end(aborted(request, started));

  const run = async (): Promise<Answer> => {
    const headers = await request.headers();
    const http = await request.http();
    const { method, url, body, around } = request;
    const exchange = ({ url, body, ...rest }: MiddlewareRequest) => {
      started = true;
      // Last, so that no option can undo it: credentials would go along. Not 'error', which makes workerd throw.
      const fixed = { redirect: 'manual' as const, ...(body !== undefined && { body }) };
      return http(url, { ...request.fetchOptions, ...rest, ...fixed });
    };
    const given = { method, url, headers, body, signal: controller.signal };
    const response = await (around ? around(given, exchange) : exchange(given));
    request.onHead?.(response.headers);
    if (request.onResponse && response.ok) {
      request.onResponse(response, () => controller.abort());
      return { status: response.status, headers: response.headers, bytes: new Uint8Array() };
    }
    return readAnswer(response, request, armTimer);
  };

  if (signal?.aborted) throw aborted(request, false);
  const stopListening = whenAborted(signal, onAbort);
  armTimer();
  try {
    return await Promise.race([run(), ended]);
  } catch (error) {
    // What may still be under way is of no use to anybody.
    controller.abort();
    if (error instanceof ValetError) throw error;
    throw connectionError(error, about(context));
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}

/** The error of a fired signal. `sent`: something may already have left. */
export function aborted(
  request: Pick<AttemptRequest, 'signal' | 'context' | 'idempotencyKey'>,
  sent: boolean,
): AbortError {
  return new AbortError({
    message: 'The call was aborted',
    executed: sent ? 'unknown' : 'no',
    ...about(request.context),
    idempotencyKey: request.idempotencyKey,
    cause: request.signal?.reason,
  });
}

async function readAnswer(response: Response, request: AttemptRequest, onProgress: () => void): Promise<Answer> {
  const { context } = request;
  const { status, headers } = response;
  // Browsers hide a redirect as an opaque answer with status 0.
  if (response.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
    await response.body?.cancel();
    const hint = 'Redirects are not followed: use the address that this one leads to';
    throw new RedirectError({ ...about(context), message: 'The server answered with a redirect', status, hint });
  }
  const isStream = response.ok && /^text\/event-stream\b/i.test(headers.get('content-type') ?? '');
  const parser = isStream && request.onEvent ? new SseParser() : undefined;
  const bytes = response.ok ? request.maxBytes : maxErrorBytes;
  const onText = (events: string[]) => {
    if (events.length > 0) onProgress();
    return events.some((data) => request.onEvent?.(data));
  };
  const body = await readBody(response, bytes, parser, onText);
  if (body === undefined) {
    throw new ResponseError({
      message: `The answer is larger than ${bytes} bytes`,
      code: 'ANSWER_TOO_LARGE',
      status,
      requestId: requestIdOf(undefined, headers),
      executed: 'unknown',
      ...about(context),
    });
  }
  return { status, headers, bytes: body };
}

/** All bytes; for a stream only up to the answer. `undefined` when a good answer is too large, cut when an error is. */
async function readBody(
  response: Response,
  maxBytes: number,
  parser: SseParser | undefined,
  onEvents: (events: string[]) => boolean,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const reader = response.body?.getReader();
  if (!reader) return new Uint8Array();
  const decoder = new TextDecoder();
  const chunks: Uint8Array[] = [];
  let size = 0;
  let enough = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    chunks.push(value);
    enough =
      size > maxBytes || (parser !== undefined && onEvents(parser.push(decoder.decode(value, { stream: true }))));
    if (enough) break;
  }
  if (enough) await reader.cancel();
  else if (parser) onEvents(parser.end());
  if (size > maxBytes && response.ok) return undefined;
  return join(chunks, Math.min(size, maxBytes));
}

function join(chunks: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    const part = chunk.subarray(0, size - at);
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

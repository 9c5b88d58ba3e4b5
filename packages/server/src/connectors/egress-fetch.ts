// The guarded door in the shape of WHATWG `fetch`, for libraries that insist on one (the MCP SDK client, its OAuth code). Same
// pools, same checks, same limits; redirects are errors whatever `redirect` says. Not for the hot path.
import type { ResponseHeaders } from './egress-body.ts';
import { EgressError, refused } from './egress-error.ts';
import type { EgressStream } from './egress-exchange.ts';

/** Structurally the MCP SDK's `FetchLike`. */
export type EgressFetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

export interface StreamInit {
  method: string;
  headers: Record<string, string>;
  body?: string | Uint8Array;
  signal?: AbortSignal;
  maxBytes?: number;
}

type OpenStream = (url: string, init: StreamInit) => Promise<EgressStream>;

const BODILESS = new Set([204, 205, 304]);

export function createEgressFetch(open: OpenStream, maxBytes: number): EgressFetch {
  return async (url, init = {}) => {
    const headers = plainHeaders(init.headers);
    const body = plainBody(init.body, headers);
    headers.accept ??= '*/*';
    const signal = init.signal ?? undefined;
    try {
      const answer = await open(String(url), {
        method: (init.method ?? 'GET').toUpperCase(),
        headers,
        maxBytes,
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
      return toResponse(answer);
    } catch (failure) {
      // fetch rejects with the signal's own reason, and callers recognise it by identity.
      if (signal?.aborted === true) throw signal.reason;
      throw failure;
    }
  };
}

function toResponse({ status, headers, body }: EgressStream): Response {
  if (status > 599) {
    body.close();
    throw new EgressError('BROKEN', 'maybe');
  }
  // The global class on purpose: the SDK tests `instanceof Response`. It is a value; it opens no connection.
  if (BODILESS.has(status)) {
    body.close();
    return new Response(null, { status, headers: responseHeaders(headers) });
  }
  const chunks = body[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await chunks.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: () => body.close(),
    },
    { highWaterMark: 0 },
  );
  return new Response(stream, { status, headers: responseHeaders(headers) });
}

/** Only what a Headers object takes without throwing; cookies are not kept and so not shown. */
function responseHeaders(headers: ResponseHeaders): Headers {
  const shown = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (name === 'set-cookie' || value === undefined) continue;
    for (const one of typeof value === 'string' ? [value] : value) {
      if (/^[\t\x20-\x7e\x80-\xff]*$/.test(one)) shown.append(name, one);
    }
  }
  return shown;
}

/** Flattened without a Headers object, which would quote a bad value in the error it throws. */
function plainHeaders(init: RequestInit['headers']): Record<string, string> {
  if (init === undefined) return {};
  const pairs = Symbol.iterator in init ? init : Object.entries(init);
  const headers: Record<string, string> = {};
  for (const [name, value] of pairs as Iterable<[string, string]>) headers[name.toLowerCase()] = value;
  return headers;
}

function plainBody(body: RequestInit['body'], headers: Record<string, string>): string | Uint8Array | undefined {
  if (body === undefined || body === null) return undefined;
  if (body instanceof URLSearchParams) {
    headers['content-type'] ??= 'application/x-www-form-urlencoded;charset=UTF-8';
    return body.toString();
  }
  if (typeof body === 'string') {
    headers['content-type'] ??= 'text/plain;charset=UTF-8';
    return body;
  }
  if (body instanceof Uint8Array) return body;
  throw refused('Only text, bytes and form parameters can be sent.');
}

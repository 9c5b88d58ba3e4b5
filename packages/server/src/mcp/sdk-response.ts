// Writes what the SDK answers to the socket, with the headers and HTTP statuses of the direct lane. A stream's head waits for its first
// message, so that a refusal can still be a plain answer. Must not know what an answer means.

import { headers as names } from '@mcp-valet/shared';
import { errorAnswer } from './direct-lane.ts';
import type { Exchange } from './exchange.ts';
import type { RequestId, RpcError } from './jsonrpc.ts';

/** How the handler of an exchange refused, if it did. */
export interface Outcome {
  failure?: RpcError | undefined;
}

const maxBehindBytes = 1024 * 1024;
const maxAgeMs = 3_600_000;
const sessionHeader = 'mcp-session-id';

function headOf(exchange: Exchange, web: Response | undefined, extra: Record<string, string>): Record<string, string> {
  const sessionId = web?.headers.get(sessionHeader);
  return {
    ...exchange.headers,
    ...exchange.request.replyHeaders,
    ...(sessionId ? { [sessionHeader]: sessionId } : {}),
    ...extra,
  };
}

function writeJson(
  exchange: Exchange,
  web: Response | undefined,
  status: number,
  body: string,
  retryAfterMs?: number,
): void {
  const { response } = exchange;
  if (response.destroyed || response.headersSent) return;
  const extra: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
  };
  if (retryAfterMs !== undefined) extra['retry-after'] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
  if (status >= 400) extra[names.shouldRetry] = String(status === 429 || status === 503);
  response.writeHead(status, headOf(exchange, web, extra)).end(body);
}

export function writeError(exchange: Exchange, id: RequestId | null, error: RpcError): void {
  const { status, body, retryAfterMs } = errorAnswer(id, error, exchange.request.requestId);
  writeJson(exchange, undefined, status, JSON.stringify(body), retryAfterMs);
}

export const writeAnswers = (exchange: Exchange, answers: readonly unknown[]): void =>
  writeJson(exchange, undefined, 200, JSON.stringify(answers));

export function writeEmpty(exchange: Exchange, status: number): void {
  const { response } = exchange;
  if (!response.destroyed) response.writeHead(status, headOf(exchange, undefined, {})).end();
}

/** Resolves when the answer has ended, whoever ended it. */
export async function writeResponse(
  exchange: Exchange,
  web: Response,
  outcome: Outcome,
  options: { headFirst?: boolean } = {},
): Promise<void> {
  const { response } = exchange;
  const isStream = web.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
  if (web.body === null) return writeEmpty(exchange, web.status);
  if (!isStream) {
    const { failure } = outcome;
    return writeJson(exchange, web, failure?.status ?? web.status, await web.text(), failure?.retryAfterMs);
  }
  const reader = web.body.getReader();
  const stop = (): void => void reader.cancel().catch(() => undefined);
  response.once('close', stop);
  const tooOld = setTimeout(stop, maxAgeOf(exchange));
  tooOld.unref();
  try {
    if (options.headFirst) writeStreamHead(exchange, web);
    for (;;) {
      const { done, value } = await reader.read();
      if (done || response.destroyed) break;
      const { failure } = outcome;
      if (!response.headersSent && failure !== undefined && failure.status !== 200) {
        const { id } = JSON.parse(dataOf(value)) as { id: RequestId };
        return writeError(exchange, id, failure);
      }
      if (!response.headersSent) writeStreamHead(exchange, web);
      // Reading goes on without waiting for the socket: what the SDK would queue meanwhile has no bound. Who falls behind is cut.
      if (response.writableLength > maxBehindBytes && value[0] !== commentStart) {
        response.destroy();
        break;
      }
      response.write(value);
    }
    if (!response.destroyed && !response.writableEnded) {
      if (!response.headersSent) writeStreamHead(exchange, web);
      response.end();
    }
  } finally {
    clearTimeout(tooOld);
    response.off('close', stop);
    stop();
  }
}

/** A stream outlives neither an hour nor the credential that opened it. */
function maxAgeOf({ request }: Exchange): number {
  const { expiresAt } = request.principal;
  return expiresAt === null ? maxAgeMs : Math.max(0, Math.min(maxAgeMs, expiresAt.getTime() - Date.now()));
}

const commentStart = ':'.charCodeAt(0);

function writeStreamHead(exchange: Exchange, web: Response): void {
  const { response } = exchange;
  if (response.destroyed) return;
  response.writeHead(
    200,
    headOf(exchange, web, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    }),
  );
  response.flushHeaders();
}

/** The `data` of a stream's only event. */
function dataOf(frame: Uint8Array): string {
  const text = Buffer.from(frame).toString('utf8');
  return text.slice(text.indexOf('data: ') + 6).trimEnd();
}

/** The request for the SDK: the gate has checked the real one, so only what the SDK reads itself is there, in its canonical form. */
export function webRequest(exchange: Exchange, signal?: AbortSignal): Request {
  const { raw, request } = exchange;
  const headers = new Headers({ 'content-type': 'application/json', accept: 'application/json, text/event-stream' });
  for (const name of ['mcp-protocol-version', 'mcp-method', 'mcp-name', sessionHeader]) {
    const value = request.header(name);
    if (value !== undefined) headers.set(name, value);
  }
  return new Request('http://gateway.invalid/mcp', {
    method: raw.method ?? 'POST',
    headers,
    ...(signal && { signal }),
  });
}

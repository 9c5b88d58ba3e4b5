// The raw carrier: one JSON-RPC request as one POST through the egress, no handshake, no SDK. It reads JSON and SSE answers, takes the
// response with our id and relays nothing else. It never sends twice; whether something may be sent again is the caller's decision.
import { envelopeKeys, modernVersion } from '@mcp-valet/shared';
import { type Upstream, UpstreamFailure, type UpstreamRequest, type UpstreamResult } from '../backend.ts';
import { type Egress, EgressError, type EgressResponse } from '../egress.ts';
import { injectHeaders, injectQuery } from '../inject.ts';
import { encodeHeaderText } from '../param-headers.ts';
import { scrubValue } from '../scrub.ts';
import { sseEvents } from '../sse.ts';
import { poolKey } from '../upstream-key.ts';

/** How to address the upstream: the modern era, or a 2025 revision without a session (null: before one is known). */
export type RawEra = { modern: true } | { modern: false; version: string | null };

export interface RawOptions {
  egress: Egress;
  maxBytes: number;
  clientInfo: { name: string; version: string };
}

const nameField: Record<string, string> = { 'tools/call': 'name', 'prompts/get': 'name', 'resources/read': 'uri' };
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

let lastId = 0;

const lowered = new WeakMap<object, Record<string, string>>();
function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  let known = lowered.get(headers);
  if (known === undefined) {
    known = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
    lowered.set(headers, known);
  }
  return known;
}

/** Headers of an upstream request: an allow-list built from nothing; the caller's headers are never seen here. */
function buildHeaders(
  upstream: Upstream,
  request: UpstreamRequest,
  era: RawEra,
  options: RawOptions,
): Record<string, string> {
  const { connector, secrets, user } = upstream;
  const headers: Record<string, string> = {
    // Lower-cased like the others: one name in two cases would be sent twice.
    ...lowerCased(connector.headers),
    ...injectHeaders(connector.inject, secrets, user),
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'user-agent': `${options.clientInfo.name.replaceAll(' ', '-')}/${options.clientInfo.version}`,
    ...request.traceHeaders,
  };
  if (era.modern) {
    headers['mcp-protocol-version'] = modernVersion;
    headers['mcp-method'] = request.method;
    const field = nameField[request.method];
    const name = field === undefined ? undefined : request.params[field];
    if (typeof name === 'string') headers['mcp-name'] = encodeHeaderText(name);
    Object.assign(headers, request.paramHeaders);
  } else if (era.version !== null) {
    headers['mcp-protocol-version'] = era.version;
  }
  return headers;
}

function buildBody(id: number | undefined, request: UpstreamRequest, era: RawEra, options: RawOptions): string {
  const envelope = era.modern
    ? {
        [envelopeKeys.protocolVersion]: modernVersion,
        [envelopeKeys.clientInfo]: options.clientInfo,
        [envelopeKeys.clientCapabilities]: request.clientCapabilities ?? {},
      }
    : undefined;
  const meta = envelope || request.meta ? { ...request.meta, ...envelope } : undefined;
  const params = meta ? { ...request.params, _meta: meta } : request.params;
  return JSON.stringify({ jsonrpc: '2.0', ...(id !== undefined && { id }), method: request.method, params });
}

/** Deeper ones overflow the stack of whoever scrubs or writes them. Schemas and data of people stay far below. */
const maxAnswerDepth = 1_000;

function isWithin(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth <= 0) return false;
  for (const key of Object.keys(value)) {
    if (!isWithin((value as Record<string, unknown>)[key], depth - 1)) return false;
  }
  return true;
}

/** The message that answers our id, out of a JSON or SSE body. */
function findAnswer(response: EgressResponse, id: number): Record<string, unknown> | undefined {
  const header = String(response.headers['content-type'] ?? '');
  const type = header === 'application/json' ? header : header.split(';')[0]?.trim().toLowerCase();
  const candidates: unknown[] = [];
  try {
    if (type === 'text/event-stream') {
      for (const event of sseEvents(response.body)) if (event.data !== '') candidates.push(JSON.parse(event.data));
    } else {
      candidates.push(JSON.parse(response.body.toString('utf8')));
    }
  } catch {
    // Unreadable text is "no answer"; its words are the upstream's and go nowhere.
    return undefined;
  }
  // A request of the upstream may carry the same id as ours: ids are counted by each side for itself.
  const isAnswer = (message: unknown): message is Record<string, unknown> =>
    isObject(message) && message['id'] === id && message['method'] === undefined;
  const answer = candidates.flat().find(isAnswer);
  return isWithin(answer, maxAnswerDepth) ? answer : undefined;
}

const retryAfter = (response: EgressResponse): number | undefined => {
  const seconds = Number(response.headers['retry-after']);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1000, 3_600_000) : undefined;
};

/** Failures that the HTTP status alone tells. */
function failureOfStatus(response: EgressResponse, rpcCode: number | undefined): UpstreamFailure | undefined {
  const { status } = response;
  if (rpcCode === -32020 || rpcCode === -32022)
    return new UpstreamFailure('wrong_era', 'no', { status, rpc: { code: rpcCode, message: '' } });
  if (status === 401) return new UpstreamFailure('unauthorized', 'no', { status });
  if (rpcCode !== undefined) return undefined;
  if (status === 403) return new UpstreamFailure('forbidden', 'no', { status });
  if (status === 404 || status === 405) return new UpstreamFailure('wrong_era', 'no', { status });
  if (status === 429) return new UpstreamFailure('rate_limited', 'no', { status, retryAfterMs: retryAfter(response) });
  if (status === 503) return new UpstreamFailure('broken', 'unknown', { status, retryAfterMs: retryAfter(response) });
  return new UpstreamFailure('broken', 'unknown', { status });
}

export function failureOfEgress(error: unknown, signal: AbortSignal): UpstreamFailure {
  if (!(error instanceof EgressError)) return new UpstreamFailure('broken', 'unknown');
  const executed = error.sent === 'no' ? 'no' : 'unknown';
  if (signal.aborted) {
    const isTimeout = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
    return new UpstreamFailure(isTimeout ? 'timeout' : 'cancelled', executed);
  }
  if (error.code === 'TIMEOUT' && executed === 'unknown') return new UpstreamFailure('timeout', executed);
  return new UpstreamFailure(executed === 'no' ? 'unreachable' : 'broken', executed);
}

export interface RawAnswer extends UpstreamResult {
  /** The upstream minted a session: it wants a client that keeps one. */
  sessionId: string | undefined;
}

export class RawCarrier {
  readonly #options: RawOptions;
  constructor(options: RawOptions) {
    this.#options = options;
  }

  async request(upstream: Upstream, request: UpstreamRequest, era: RawEra): Promise<RawAnswer> {
    const id = ++lastId;
    const response = await this.#post(upstream, request, era, id);
    const sessionId = response.headers['mcp-session-id'];
    const answer = findAnswer(response, id);
    const error = isObject(answer?.['error']) ? answer['error'] : undefined;
    const rpcCode = typeof error?.['code'] === 'number' ? error['code'] : undefined;
    if (response.status >= 400) {
      const failure = failureOfStatus(response, rpcCode);
      if (failure !== undefined) throw failure;
    }
    if (error !== undefined) {
      const message = upstream.scrub(typeof error['message'] === 'string' ? error['message'] : '').slice(0, 1000);
      const data = scrubValue(error['data'], upstream.scrub);
      throw new UpstreamFailure('rpc', 'unknown', {
        status: response.status,
        rpc: { code: rpcCode ?? -32603, message, data },
      });
    }
    const result = answer?.['result'];
    if (!isObject(result)) throw new UpstreamFailure('broken', 'unknown', { status: response.status });
    return {
      result: scrubValue(result, upstream.scrub),
      status: response.status,
      sessionId: typeof sessionId === 'string' ? sessionId : undefined,
    };
  }

  /** A notification: sent, and only its delivery is awaited. */
  async notify(upstream: Upstream, method: string, era: RawEra, signal: AbortSignal): Promise<void> {
    await this.#post(upstream, { method, params: {}, signal }, era, undefined);
  }

  async #post(
    upstream: Upstream,
    request: UpstreamRequest,
    era: RawEra,
    id: number | undefined,
  ): Promise<EgressResponse> {
    const { connector, secrets, user } = upstream;
    const url = injectQuery(connector.url, connector.inject, secrets, user);
    const headers = buildHeaders(upstream, request, era, this.#options);
    const body = buildBody(id, request, era, this.#options);
    try {
      return await this.#options.egress.request(poolKey(connector.accountId, connector.id), url, {
        method: 'POST',
        headers,
        body,
        signal: request.signal,
        maxBytes: this.#options.maxBytes,
      });
    } catch (error) {
      throw failureOfEgress(error, request.signal);
    }
  }
}

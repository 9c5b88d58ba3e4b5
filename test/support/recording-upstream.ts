// A raw JSON-RPC upstream without any SDK: fast enough to sit behind a benchmark, and it counts and records what arrives.
// Serves L without sessions and, on request, 2026-07-28. Must not do more protocol than its tools need.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { closeServer, listenOnLoopback } from './loopback.ts';
import { type RecordedRequest, recordedRequest } from './recorded-request.ts';
import { type Call, createRecordingTools, type Reply } from './recording-tools.ts';

interface InterceptedAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface RecordingUpstreamOptions {
  /** Keep every request in `recorded`; off by default, because it holds every body. */
  readonly record?: boolean;
  /** Serve 2026-07-28 too (false when absent). */
  readonly modern?: boolean;
  /** Serve the handshake revisions (true when absent). */
  readonly legacy?: boolean;
  /** Answer requests as an SSE stream with one event. */
  readonly sse?: boolean;
  /** Answers instead of the upstream when it returns something, for example a 401. Runs after recording. */
  readonly intercept?: (request: RecordedRequest) => InterceptedAnswer | undefined;
  readonly port?: number;
}

export interface RecordingUpstream {
  readonly url: string;
  readonly recorded: readonly RecordedRequest[];
  /** Executions of `count` by marker; two for one marker is a double execution. */
  counts(): ReadonlyMap<string, number>;
  /** Requests received, by JSON-RPC method. */
  methods(): ReadonlyMap<string, number>;
  /** Calls whose caller went away before the reply ended. */
  aborted(): number;
  reset(): void;
  close(): Promise<void>;
}

interface Message {
  readonly id?: string | number | null;
  readonly method?: string;
  readonly params?: {
    readonly name?: string;
    readonly uri?: string;
    readonly protocolVersion?: string;
    readonly arguments?: Record<string, unknown>;
    readonly _meta?: Record<string, unknown>;
  };
}

const modernVersion = '2026-07-28';
const legacyVersions = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'];
const versionKey = 'io.modelcontextprotocol/protocolVersion';
const serverInfo = { name: 'recording-upstream', version: '1.0.0' };

export async function startRecordingUpstream(options: RecordingUpstreamOptions = {}): Promise<RecordingUpstream> {
  const recorded: RecordedRequest[] = [];
  const methods = new Map<string, number>();
  const tools = createRecordingTools();
  const modern = options.modern ?? false;
  const legacy = options.legacy ?? true;

  function handle(request: IncomingMessage, response: ServerResponse, body: Buffer) {
    if (options.record === true || options.intercept !== undefined) {
      const entry = recordedRequest(request, body);
      if (options.record === true) recorded.push(entry);
      const answer = options.intercept?.(entry);
      if (answer !== undefined) return send(response, answer.status, answer.body ?? '', answer.headers);
    }
    if (request.method !== 'POST') return send(response, 405, '', { allow: 'POST' });
    let message: Message;
    try {
      message = JSON.parse(body.toString('utf8')) as Message;
    } catch (error) {
      return sendError(response, 400, null, -32700, error instanceof Error ? error.message : 'Parse error');
    }
    const { id, method = '', params } = message;
    methods.set(method, (methods.get(method) ?? 0) + 1);
    if (id === undefined) return send(response, 202, '');

    const version = params?._meta?.[versionKey];
    const isModern = modern && (version !== undefined || !legacy);
    const refusal = isModern ? checkModern(request, message, version) : checkLegacy(request);
    if (refusal !== undefined) return sendError(response, 400, id, refusal.code, refusal.message, refusal.data);
    const reply = (result: Reply) => {
      if ('error' in result) return sendError(response, 200, id, result.error.code, result.error.message);
      const payload = { jsonrpc: '2.0', id, result: isModern ? modernResult(method, result.result) : result.result };
      const text = JSON.stringify(payload);
      if (options.sse !== true) return send(response, 200, text);
      send(response, 200, `event: message\ndata: ${text}\n\n`, { 'content-type': 'text/event-stream' });
    };

    if (method === 'tools/call') {
      const call: Call = { request, response, name: params?.name ?? '', arguments: params?.arguments ?? {}, reply };
      return tools.call(call);
    }
    if (method === 'tools/list') return reply({ result: { tools: tools.list } });
    if (method === 'server/discover' && isModern) {
      return reply({ result: { supportedVersions: [modernVersion], capabilities: { tools: {} } } });
    }
    if (method === 'ping' && !isModern) return reply({ result: {} });
    if (method === 'initialize' && !isModern) {
      const asked = params?.protocolVersion ?? '';
      const protocolVersion = legacyVersions.includes(asked) ? asked : '2025-11-25';
      return reply({ result: { protocolVersion, capabilities: { tools: {} }, serverInfo } });
    }
    sendError(response, isModern ? 404 : 200, id, -32601, 'Method not found');
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () =>
      handle(request, response, chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
    );
    request.on('error', () => response.destroy());
  });
  // Longer than any client's idle time, so that a kept connection is never closed under a request.
  server.keepAliveTimeout = 120_000;
  const port = await listenOnLoopback(server, options.port);
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    recorded,
    counts: () => tools.counts,
    methods: () => methods,
    aborted: () => tools.aborted(),
    reset() {
      recorded.length = 0;
      methods.clear();
      tools.reset();
    },
    close: () => closeServer(server),
  };
}

interface Refusal {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** Strict on purpose: a gateway that sends a wrong header must not get an answer. */
function checkModern(request: IncomingMessage, message: Message, version: unknown): Refusal | undefined {
  if (version !== modernVersion) {
    const data = { supported: [modernVersion], requested: String(version) };
    return { code: -32022, message: 'Unsupported protocol version', data };
  }
  const name = message.params?.name ?? message.params?.uri;
  const named = message.method === 'tools/call';
  const { headers } = request;
  if (headers['mcp-protocol-version'] === modernVersion && headers['mcp-method'] === message.method) {
    if (!named || headers['mcp-name'] === name) return undefined;
  }
  return { code: -32020, message: 'Headers and body disagree' };
}

/** What a server built before 2026-07-28 says to a newer version header. */
function checkLegacy(request: IncomingMessage): Refusal | undefined {
  const version = request.headers['mcp-protocol-version'];
  if (version === undefined || legacyVersions.includes(String(version))) return undefined;
  return { code: -32000, message: `Bad Request: Unsupported protocol version: ${String(version)}` };
}

function modernResult(method: string, result: Record<string, unknown>): Record<string, unknown> {
  const shaped = { ...result, resultType: 'complete', _meta: { 'io.modelcontextprotocol/serverInfo': serverInfo } };
  return method === 'tools/call' ? shaped : { ...shaped, ttlMs: 0, cacheScope: 'private' };
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = { 'content-type': 'application/json' },
): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function sendError(
  response: ServerResponse,
  status: number,
  id: unknown,
  code: number,
  message: string,
  data?: unknown,
): void {
  send(response, status, JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, data } }));
}

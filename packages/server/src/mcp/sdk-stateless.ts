// One exchange without a session on the SDK's server: a modern request, or one of the 2025 era that wants to hear of progress. Everything
// is made for the exchange and ends with it.
import { envelopeKeys, legacyVersions } from '@mcp-valet/shared';
import { createMcpHandler, WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server';
import type { Exchange } from './exchange.ts';
import type { Inbound } from './gate.ts';
import { isObject, RpcError } from './jsonrpc.ts';
import { createRelay, isLogLevel } from './sdk-relay.ts';
import { type Outcome, webRequest, writeError, writeResponse } from './sdk-response.ts';
import { type AnswerRequest, keepAliveMs, LaneServer, runInLane } from './sdk-server.ts';

type RequestInbound = Extract<Inbound, { kind: 'request' }>;
type Closable = { close(): Promise<void> };

const closing = (): RpcError =>
  new RpcError(503, 'The gateway is closing', { status: 503, data: { code: 'UNAVAILABLE' }, retryAfterMs: 1000 });

function withResolvers(): { promise: Promise<undefined>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<undefined>((done) => {
    resolve = () => done(undefined);
  });
  return { promise, resolve };
}

export async function serveModern(exchange: Exchange, inbound: RequestInbound, live: Set<Closable>): Promise<void> {
  const { request } = exchange;
  const { params, method } = inbound;
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  const level = meta[envelopeKeys.logLevel];
  const outcome: Outcome = {};
  const answer: AnswerRequest = async (_, ctx) => {
    const relay = createRelay({
      params,
      logs: isLogLevel(level) ? () => ({ threshold: level }) : undefined,
      notify: (notification) => ctx.mcpReq.notify(notification),
    });
    try {
      return await runInLane(request, method, params, relay.lane, outcome);
    } finally {
      relay.stop();
    }
  };
  const handler = createMcpHandler(() => new LaneServer(request, answer), {
    legacy: 'reject',
    responseMode: 'auto',
    keepAliveMs,
  });
  live.add(handler);
  try {
    const web = await handler.fetch(webRequest(exchange, request.signal ?? undefined), { parsedBody: inbound.body });
    // The SDK's word for an exchange that was closed before its answer.
    if (web.status === 499) writeError(exchange, inbound.id, closing());
    else await writeResponse(exchange, web, outcome);
  } finally {
    live.delete(handler);
    await handler.close();
  }
}

/** A caller of the 2025 era that goes away does not cancel: the call runs to its end, and only then the server is closed. */
export async function serveLegacy(exchange: Exchange, inbound: RequestInbound, live: Set<Closable>): Promise<void> {
  const { request } = exchange;
  const { params, method } = inbound;
  const outcome: Outcome = {};
  const finished = withResolvers();
  const closed = withResolvers();
  const answer: AnswerRequest = async (_, ctx) => {
    const relay = createRelay({ params, notify: (notification) => ctx.mcpReq.notify(notification) });
    try {
      return await runInLane(request, method, params, relay.lane, outcome);
    } finally {
      relay.stop();
      // After the SDK has sent what is returned here.
      setImmediate(finished.resolve);
    }
  };
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  const transport = new WebStandardStreamableHTTPServerTransport({
    enableJsonResponse: meta['progressToken'] === undefined,
    supportedProtocolVersions: [...legacyVersions],
    keepAliveMs,
  });
  const server = new LaneServer(request, answer);
  server.onclose = closed.resolve;
  live.add(server);
  try {
    await server.connect(transport);
    const answered = transport.handleRequest(webRequest(exchange), { parsedBody: inbound.body });
    const web = await Promise.race([answered, closed.promise]);
    if (web === undefined) return writeError(exchange, inbound.id, closing());
    await writeResponse(exchange, web, outcome);
    if (web.status === 200) await Promise.race([finished.promise, closed.promise]);
  } finally {
    live.delete(server);
    await server.close();
  }
}

// One session of a 2025-era client: the SDK's server and transport, the calls in flight by their ids, and the way for upstreams to ask and
// tell the client. What a method means stays where the direct lane has it.
import { randomUUID } from 'node:crypto';
import { legacyVersions } from '@mcp-valet/shared';
import {
  type ServerContext,
  type StandardSchemaV1,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server';
import { type CallerSession, type Notification, UpstreamFailure } from '../connectors/backend.ts';
import { isOfSession } from '../connectors/upstream-key.ts';
import type { ConnectorRecord } from '../identity/records.ts';
import type { Owner } from '../live-use.ts';
import { prefixOf } from './catalog.ts';
import { runRequest } from './direct-lane.ts';
import type { Exchange } from './exchange.ts';
import type { Inbound } from './gate.ts';
import { type RequestId, RpcError } from './jsonrpc.ts';
import { type Params, resolveReader } from './methods.ts';
import { publishedUri } from './names.ts';
import type { LaneRelay } from './relay.ts';
import { type CallRequest, isDirect, type UserCall } from './request.ts';
import { createRelay, isLogged, isLogLevel, logParams } from './sdk-relay.ts';
import { type Outcome, webRequest, writeResponse } from './sdk-response.ts';
import { keepAliveMs, LaneServer, runInLane } from './sdk-server.ts';
import type { LiveSession } from './sessions.ts';
import { findResource, openForUser } from './subscriptions.ts';

const questionMs = 10 * 60_000;
const subscribeMs = 5_000;
const declarable = ['elicitation', 'sampling', 'roots'];
const capabilityOf: Record<string, string> = {
  'elicitation/create': 'elicitation',
  'sampling/createMessage': 'sampling',
  'roots/list': 'roots',
};
/** What a client answers is not trusted and passed on as it is. */
const asIs: StandardSchemaV1<unknown, Record<string, unknown>> = {
  '~standard': { version: 1, vendor: 'mcp-valet', validate: (value) => ({ value: value as Record<string, unknown> }) },
};

/** Of what a client declares, what upstreams may be told; roots without the changes that are not passed on. */
export function reduced(capabilities: Record<string, unknown>): Record<string, unknown> {
  const kept = Object.entries(capabilities).filter(([key]) => declarable.includes(key));
  return Object.fromEntries(kept.map(([key, value]) => [key, key === 'roots' ? {} : value]));
}

interface InFlight {
  exchange: Exchange;
  params: Params;
  outcome: Outcome;
}

export class Session implements LiveSession {
  readonly id = randomUUID();
  readonly owner: Owner;
  readonly openedAt: number;
  usedAt: number;
  wasUsed = false;
  /** Negotiated in `initialize`. */
  readonly version: string;
  readonly #server: LaneServer;
  readonly #transport: WebStandardStreamableHTTPServerTransport;
  readonly #inFlight = new Map<RequestId, InFlight>();
  readonly #subscribed = new Set<string>();
  readonly #caller: CallerSession;
  readonly #opener: CallRequest;
  readonly #now: () => number;
  #level: string | undefined;
  #hasStream = false;
  #isInitialized = false;

  constructor(opener: UserCall, owner: Owner, params: Params, result: Record<string, unknown>, now: () => number) {
    this.#opener = opener;
    this.#now = now;
    this.owner = owner;
    this.openedAt = now();
    this.usedAt = this.openedAt;
    this.version = String(result['protocolVersion']);
    const capabilities = reduced(params['capabilities'] as Record<string, unknown>);
    this.#caller = {
      id: this.id,
      capabilities,
      heard: (connector, notification) => this.#heard(connector, notification),
    };
    this.#server = new LaneServer(opener, (message, ctx) => this.#answer(message, ctx), {
      instructions: result['instructions'] as string | undefined,
      sdkAnswers: ['initialize'],
    });
    this.#transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => this.id,
      supportedProtocolVersions: [...legacyVersions],
      keepAliveMs,
    });
  }

  isBusy(): boolean {
    return this.#hasStream || this.#inFlight.size > 0;
  }

  get caller(): CallerSession {
    return this.#caller;
  }

  touch(): void {
    this.usedAt = this.#now();
    this.wasUsed = true;
  }

  /** Answers `initialize` and everything else that is posted. */
  async post(exchange: Exchange, inbound: Inbound): Promise<void> {
    if (inbound.kind === 'request' && inbound.method === 'initialize') {
      if (this.#isInitialized) throw new RpcError(-32600, 'The session is initialized already', { status: 400 });
      this.#isInitialized = true;
      await this.#server.connect(this.#transport);
    }
    if (inbound.kind !== 'request') {
      await writeResponse(exchange, await this.#hand(exchange, inbound.body), {});
      return;
    }
    if (this.#inFlight.has(inbound.id))
      throw new RpcError(-32600, 'A request with this id is in flight', { status: 400 });
    const entry: InFlight = { exchange, params: inbound.params, outcome: {} };
    if (inbound.method !== 'initialize') this.#inFlight.set(inbound.id, entry);
    const web = await this.#hand(exchange, inbound.body);
    if (web.status !== 200) this.#inFlight.delete(inbound.id);
    await writeResponse(exchange, web, entry.outcome);
  }

  /** The stream for what belongs to no call. The caller of this method has seen that there is none yet. */
  async stream(exchange: Exchange): Promise<void> {
    this.#hasStream = true;
    try {
      await writeResponse(exchange, await this.#hand(exchange), {}, { headFirst: true });
    } finally {
      this.#hasStream = false;
      this.usedAt = this.#now();
    }
  }

  get hasStream(): boolean {
    return this.#hasStream;
  }

  #hand(exchange: Exchange, parsedBody?: unknown): Promise<Response> {
    return this.#transport.handleRequest(webRequest(exchange), parsedBody === undefined ? {} : { parsedBody });
  }

  async end(): Promise<void> {
    await this.#server.close();
    await this.#opener.parts.carriers.forget((key) => isOfSession(key, this.id));
  }

  changed(): void {
    if (!isDirect(this.#opener)) return;
    this.#opener.parts.carriers.listsChanged((key) => isOfSession(key, this.id));
    for (const kind of ['tools', 'prompts', 'resources']) this.#tell({ method: `notifications/${kind}/list_changed` });
  }

  /** On the session's own stream; without one nobody hears it, as the protocol has it. */
  #tell(notification: Notification): void {
    this.#server.notification(notification as never).catch(() => undefined);
  }

  async #answer(
    { id, method }: { id: RequestId; method: string },
    ctx: ServerContext,
  ): Promise<Record<string, unknown>> {
    const entry = this.#inFlight.get(id);
    if (entry === undefined) throw new Error('every request is known before the SDK sees it');
    const { signal } = ctx.mcpReq;
    // A cancelled request gets no response, so nothing else would end its stream.
    signal.addEventListener('abort', () => this.#transport.closeSSEStream(id), { once: true });
    const relay = createRelay({
      params: entry.params,
      logs: () => ({ threshold: this.#level }),
      notify: (notification) => ctx.mcpReq.notify(notification),
    });
    const request: CallRequest = { ...entry.exchange.request, signal, session: this.#caller };
    const lane: LaneRelay = { ...relay.lane, ask: (question) => this.#ask(question, ctx) };
    try {
      return await runInLane(request, method, entry.params, lane, entry.outcome, (...args) => this.#run(...args));
    } finally {
      relay.stop();
      this.#inFlight.delete(id);
      this.usedAt = this.#now();
    }
  }

  /** Every method of `runRequest`, and those that only make sense in a session. */
  async #run(request: CallRequest, method: string, params: Params, lane?: LaneRelay): Promise<Record<string, unknown>> {
    switch (method) {
      case 'logging/setLevel': {
        await resolveReader(request);
        if (!isDirect(request)) return runRequest(request, method, params, lane);
        if (!isLogLevel(params['level'])) throw new RpcError(-32602, 'level must be a log level');
        this.#level = params['level'];
        return {};
      }
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        return this.#subscribe(request, method, params);
      default:
        return runRequest(request, method, params, lane);
    }
  }

  async #subscribe(request: CallRequest, method: string, params: Params): Promise<Record<string, unknown>> {
    const call = await resolveReader(request);
    const { uri } = params;
    if (typeof uri !== 'string') throw new RpcError(-32602, 'uri must be a string');
    const found = await findResource(call, uri);
    const upstream = found && (await openForUser(call, found.connector));
    if (found === undefined || upstream === undefined)
      throw new RpcError(-32602, 'Resource not found', { data: { uri } });
    try {
      await call.parts.carriers.request(upstream, {
        method,
        params: { uri: found.uri },
        signal: AbortSignal.timeout(subscribeMs),
      });
    } catch (error) {
      if (!(error instanceof UpstreamFailure)) throw error;
      throw new RpcError(error.kind === 'rpc' ? -32602 : -32603, 'The resource cannot be watched', { data: { uri } });
    }
    if (method === 'resources/subscribe') this.#subscribed.add(uri);
    else this.#subscribed.delete(uri);
    return {};
  }

  #ask({ method, params }: Required<Notification>, ctx: ServerContext): Promise<Record<string, unknown>> {
    const capability = capabilityOf[method];
    if (capability === undefined || !Object.hasOwn(this.#caller.capabilities, capability)) {
      throw Object.assign(new Error('The client did not declare this capability'), { code: -32601 });
    }
    return ctx.mcpReq.send({ method, params } as never, asIs, { timeout: questionMs, signal: ctx.mcpReq.signal });
  }

  #heard(connector: ConnectorRecord, { method, params = {} }: Notification): void {
    switch (method) {
      case 'notifications/tools/list_changed':
      case 'notifications/prompts/list_changed':
      case 'notifications/resources/list_changed':
        this.#opener.parts.carriers.listsChanged((key) => isOfSession(key, this.id, connector.id));
        if (isDirect(this.#opener)) this.#tell({ method });
        return;
      case 'notifications/resources/updated': {
        const uri = publishedUri(connector.id, String(params['uri']), prefixOf(this.#opener));
        if (this.#subscribed.has(uri)) this.#tell({ method, params: { uri } });
        return;
      }
      case 'notifications/message':
        if (isDirect(this.#opener) && isLogged(params['level'], this.#level))
          this.#tell({ method, params: logParams(params) });
        return;
      case 'notifications/elicitation/complete':
        this.#tell({ method, params: { elicitationId: params['elicitationId'] } });
        return;
    }
  }
}

// One connection of the official SDK client to an upstream, over the guarded fetch. The client itself never holds a secret: headers and
// query are put in here for each request, from the upstream that the connection's owner holds at that moment.
import {
  type Client,
  type DiscoverResult,
  SSEClientTransport,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';
import { type Upstream, UpstreamFailure, type UpstreamRequest, type UpstreamResult } from '../backend.ts';
import type { Egress, EgressFetch } from '../egress.ts';
import { injectHeaders, injectQuery } from '../inject.ts';
import { scrubValue } from '../scrub.ts';
import { poolKey } from '../upstream-key.ts';
import { failureOf, failureOfConnect, failureOfSignal, type HttpNote } from './mcp-http-sdk-failure.ts';
import { linked, observe, type Pending } from './mcp-http-sdk-observe.ts';
import { asIs, type Leg, type LegListener, newClient, outgoing, requestOptions } from './sdk-parts.ts';

export interface SdkOptions {
  egress: Egress;
  maxBytes: number;
  clientInfo: { name: string; version: string };
}

export interface ConnectionSetup extends LegListener {
  /** What is declared to the upstream. */
  capabilities: Record<string, unknown>;
  /** The discovery result of an upstream that speaks the modern era; absent: the handshake of the 2025 era. */
  discover?: Record<string, unknown> | undefined;
  /** Whether the upstream may talk outside of calls, on a stream that stays open. */
  hasOwnStream: boolean;
}

/** Marks a request on its way to the fetch below, where it is taken off again. */
const callHeader = 'x-valet-call';
const connectTimeoutMs = 10_000;
/** How long an exchange may stay open after its call, so that an orderly end keeps its socket. */
const lingerMs = 250;

export class Connection implements Leg {
  /** Whose secrets the next request carries; undefined while nobody uses the connection. */
  upstream: Upstream | undefined;
  readonly client: Client;
  readonly #setup: ConnectionSetup;
  readonly #options: SdkOptions;
  readonly #transport: StreamableHTTPClientTransport | SSEClientTransport;
  readonly #pending = new Map<string, Pending>();
  /** What the wire said while shaking hands: the event stream transport wraps it beyond recognition. */
  readonly #handshake: { note: HttpNote; error?: unknown } = { note: {} };
  #lastCall = 0;
  /** A handshake that fails is told by its own error. */
  #isConnected = false;
  #isClosed = false;

  constructor(upstream: Upstream, setup: ConnectionSetup, options: SdkOptions) {
    this.upstream = upstream;
    this.#setup = setup;
    this.#options = options;
    this.client = newClient(options.clientInfo, setup.capabilities, setup.discover !== undefined, setup);
    const { connector } = upstream;
    const guarded = this.#fetch(
      options.egress.fetchFor(poolKey(connector.accountId, connector.id), { maxBytes: options.maxBytes }),
    );
    const url = new URL(connector.url);
    this.#transport =
      connector.transport === 'sse'
        ? new SSEClientTransport(url, { fetch: guarded })
        : new StreamableHTTPClientTransport(url, { fetch: guarded, onInsufficientScope: 'throw' });
    this.client.onclose = () => this.#lost();
    this.client.onerror = (error) => {
      // The own stream of an upstream has gone for good; a single lost answer is noticed by its call.
      if (/^(Maximum reconnection|SSE error)/.test(error.message)) this.#lost();
    };
  }

  /** The discovery result that the connection was made from; undefined in the 2025 era. */
  get discover(): Record<string, unknown> | undefined {
    return this.#setup.discover;
  }

  get capabilities(): Record<string, unknown> {
    return this.client.getServerCapabilities() ?? {};
  }

  #hasSession(): boolean {
    return this.#transport instanceof StreamableHTTPClientTransport ? this.#transport.sessionId !== undefined : true;
  }

  async connect(signal: AbortSignal): Promise<void> {
    const upstream = this.upstream as Upstream;
    const discover = this.#setup.discover as DiscoverResult | undefined;
    try {
      await this.client.connect(this.#transport, {
        signal,
        timeout: connectTimeoutMs,
        ...(discover && { prior: { kind: 'modern' as const, discover } }),
      });
      this.#isConnected = true;
    } catch (error) {
      await this.close();
      const { note, error: onWire } = this.#handshake;
      throw failureOfConnect(onWire ?? error, { signal, note, upstream, hasSession: false });
    }
  }

  /** One request and its result, scrubbed. Throws UpstreamFailure. */
  async request(upstream: Upstream, request: UpstreamRequest): Promise<UpstreamResult> {
    const isModern = this.#setup.discover !== undefined;
    const { signal } = request;
    const note: HttpNote = {};
    const call = String(++this.#lastCall);
    const ended = new AbortController();
    const onAbort = (): void => ended.abort(signal.reason);
    if (signal.aborted) throw failureOfSignal(signal, 'no');
    signal.addEventListener('abort', onAbort, { once: true });
    const cut = new AbortController();
    this.#pending.set(call, {
      note,
      cut,
      end: () => {
        note.isAnswerless = true;
        ended.abort(new Error('The answer ended without the response'));
      },
    });
    const options = {
      ...requestOptions(upstream, request, ended.signal),
      headers: { ...(isModern && request.paramHeaders), ...request.traceHeaders, [callHeader]: call },
    };
    try {
      const result = await this.client.request(outgoing(request, isModern) as never, asIs, options);
      if (typeof result !== 'object' || result === null || Array.isArray(result))
        throw new UpstreamFailure('broken', 'unknown');
      return { result: scrubValue(result, upstream.scrub), status: note.status ?? null };
    } catch (error) {
      const failure = failureOf(error, { signal, note, upstream, hasSession: !isModern && this.#hasSession() });
      if (failure.kind === 'session_lost') this.#lost();
      throw failure;
    } finally {
      this.#pending.delete(call);
      signal.removeEventListener('abort', onAbort);
      setTimeout(() => cut.abort(), lingerMs).unref();
    }
  }

  /** Ends the connection; a session that the upstream minted is ended there too, while its secrets are at hand. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const transport = this.#transport;
    if (
      transport instanceof StreamableHTTPClientTransport &&
      transport.sessionId !== undefined &&
      this.upstream !== undefined
    ) {
      // An upstream that does not answer must not hold up the end.
      await Promise.race([
        transport.terminateSession().catch(() => undefined),
        new Promise((resolve) => setTimeout(resolve, 500).unref()),
      ]);
    }
    await this.client.close().catch(() => undefined);
    this.upstream = undefined;
  }

  #lost(): void {
    if (this.#isClosed || !this.#isConnected) return;
    this.#setup.onLost?.();
  }

  /** The guarded fetch with this connector's headers: an allow-list built from nothing, then what the SDK computed for the message. */
  #fetch(guarded: EgressFetch): EgressFetch {
    return async (url, init = {}) => {
      const { upstream } = this;
      if (upstream === undefined) throw new UpstreamFailure('cancelled', 'no');
      const method = (init.method ?? 'GET').toUpperCase();
      const sent = new Headers(init.headers);
      if (
        method === 'GET' &&
        !this.#setup.hasOwnStream &&
        upstream.connector.transport !== 'sse' &&
        !sent.has('last-event-id')
      ) {
        // Nobody would hear it, and an idle session should hold no socket.
        return new Response(null, { status: 405 });
      }
      const { connector, secrets, user } = upstream;
      const { name, version } = this.#options.clientInfo;
      const headers: Record<string, string> = {};
      for (const [header, value] of Object.entries(connector.headers)) headers[header.toLowerCase()] = value;
      Object.assign(headers, injectHeaders(connector.inject, secrets, user));
      headers['user-agent'] = `${name.replaceAll(' ', '-')}/${version}`;
      for (const [header, value] of sent) headers[header] = value;
      const call = headers[callHeader];
      delete headers[callHeader];
      const pending = call === undefined ? undefined : this.#pending.get(call);
      const target = injectQuery(String(url), connector.inject, secrets, user);
      if (pending !== undefined)
        return observe(await guarded(target, { ...init, headers, signal: linked(init.signal, pending.cut) }), pending);
      try {
        const response = await guarded(target, { ...init, headers });
        this.#handshake.note.status = response.status;
        return response;
      } catch (error) {
        this.#handshake.error = error;
        throw error;
      }
    };
  }
}

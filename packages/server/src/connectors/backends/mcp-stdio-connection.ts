// MCP over one child process: the handshake that finds out which era it speaks, then calls that share the process, told apart by their ids.
// The official client does the protocol; the messages travel as lines. The process is started and ended elsewhere.
import { performance } from 'node:perf_hooks';
import { envelopeKeys, modernVersion } from '@mcp-valet/shared';
import type { Client, DiscoverResult, JSONRPCMessage, Transport } from '@modelcontextprotocol/client';
import { type Upstream, UpstreamFailure, type UpstreamRequest, type UpstreamResult } from '../backend.ts';
import { scrubValue } from '../scrub.ts';
import { failureOf, failureOfConnect, failureOfSignal } from './mcp-http-sdk-failure.ts';
import { type Message, messagesOf } from './mcp-stdio-lines.ts';
import type { StdioProcess } from './mcp-stdio-process.ts';
import { speaksModern } from './sdk-bound.ts';
import { asIs, type Leg, type LegListener, newClient, outgoing, requestOptions, withoutEnvelope } from './sdk-parts.ts';

export interface HandshakeSetup {
  /** What is declared to the server. */
  capabilities: Record<string, unknown>;
  clientInfo: { name: string; version: string };
  /** Which era is tried first. A caller's session wants its own, the 2025 one. */
  first: 'modern' | 'legacy';
  discoverMs: number;
}

/** Apart from the client's own ids, which are numbers. */
const probeId = 'mcp-valet-discover';

type Probe = { result: Record<string, unknown> } | 'refused' | 'silent';

/** One client's view of the process. Closing it leaves the process alone. */
class LineTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: Transport['onmessage'];
  readonly #write: (message: unknown) => boolean;
  #isClosed = false;

  constructor(write: (message: unknown) => boolean) {
    this.#write = write;
  }
  async start(): Promise<void> {
    // The process runs already.
  }
  async send(message: JSONRPCMessage): Promise<void> {
    if (this.#isClosed || !this.#write(message)) throw new Error('The server process cannot be written to');
  }
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.onclose?.();
  }
}

export class StdioConnection implements Leg {
  readonly listeners = new Set<LegListener>();
  /** Calls in flight, the newest last: a log message does not say to which call it belongs. */
  readonly #calls = new Set<UpstreamRequest>();
  #process: StdioProcess | undefined;
  #transport: LineTransport | undefined;
  #client: Client | undefined;
  #discover: Record<string, unknown> | undefined;
  #answerProbe: ((probe: Probe) => void) | undefined;
  /** Lines that were no message. */
  #noise = 0;
  #hasSpoken = false;
  /** Messages that have come and wait for those before them to be handled. */
  readonly #inbox: Message[] = [];
  #isWaiting = false;
  #words: string | undefined;
  /** Resources that the process watches for somebody. */
  readonly #subscribed = new Set<string>();
  /** How many listen for as long as the process lives. */
  holds = 0;
  usedAt = performance.now();
  /** It ended while it was asked for its era: some servers know only `initialize` as a first message. */
  endedOnProbe = false;

  /** Before anything else: lines may come as soon as the process runs. */
  attach(process: StdioProcess): void {
    this.#process = process;
  }

  get client(): Client {
    if (this.#client === undefined) throw new Error('the handshake comes first');
    return this.#client;
  }
  get discover(): Record<string, unknown> | undefined {
    return this.#discover;
  }
  get capabilities(): Record<string, unknown> {
    return this.#client?.getServerCapabilities() ?? {};
  }
  get isLost(): boolean {
    return this.#words !== undefined || this.#process?.words !== undefined;
  }
  get isBusy(): boolean {
    return this.#calls.size > 0;
  }
  /** Somebody waits for what it says on its own. */
  get isHeld(): boolean {
    return this.holds > 0 || this.#subscribed.size > 0;
  }

  line(text: string): void {
    const messages = messagesOf(text);
    if (messages.length === 0) {
      if (text.trim() !== '') this.#noise++;
      return;
    }
    this.#hasSpoken = true;
    this.#inbox.push(...messages);
    if (!this.#isWaiting) this.#deliver();
  }

  /**
   * The client handles a notification a moment later than a response, so a response that came with it in one piece would overtake the
   * progress before it.
   */
  #deliver(): void {
    for (let message = this.#inbox.shift(); message !== undefined; message = this.#inbox.shift()) {
      this.#take(message);
      if ('id' in message) continue;
      this.#isWaiting = true;
      setImmediate(() => {
        this.#isWaiting = false;
        this.#deliver();
      });
      return;
    }
  }

  /** The process is gone: whoever waits is told. */
  lost(words: string): void {
    for (const message of this.#inbox.splice(0)) this.#take(message);
    this.#words ??= words;
    this.endedOnProbe = this.#answerProbe !== undefined && this.#transport === undefined;
    this.#answerProbe?.('refused');
    void this.#transport?.close();
    for (const { onLost } of this.listeners) onLost?.();
    this.listeners.clear();
  }

  #take(message: Message): void {
    if (message['id'] === probeId) {
      const { result } = message;
      const isResult = typeof result === 'object' && result !== null;
      this.#answerProbe?.(isResult ? { result: result as Record<string, unknown> } : 'refused');
      return;
    }
    this.#transport?.onmessage?.(message as unknown as JSONRPCMessage);
  }

  readonly #write = (message: unknown): boolean => this.#process?.write(JSON.stringify(message)) ?? false;

  /** Throws UpstreamFailure; no tool was asked for, so none ran. */
  async handshake(upstream: Upstream, setup: HandshakeSetup, signal: AbortSignal): Promise<void> {
    let probe: Promise<Probe> | undefined;
    if (setup.first === 'modern') {
      probe = this.#probe(setup);
      const early = await Promise.race([probe, silence(setup.discoverMs, signal)]);
      if (typeof early === 'object' && speaksModern(early.result)) return this.#openModern(early.result, setup, signal);
    }
    try {
      if (this.isLost) throw this.#failure('no', signal);
      await this.#open(setup, false, undefined, signal);
    } catch (error) {
      const failure = this.isLost
        ? this.#failure('no', signal)
        : failureOfConnect(error, { signal, note: {}, upstream, hasSession: false });
      // A refusal by a server that knows the modern era only. It may have been too slow to say so before.
      const isRefused = failure.kind === 'rpc' || failure.kind === 'wrong_era';
      const late = isRefused
        ? await Promise.race([probe ?? this.#probe(setup), silence(setup.discoverMs, signal)])
        : 'silent';
      if (typeof late === 'object' && speaksModern(late.result)) return this.#openModern(late.result, setup, signal);
      throw this.#explained(failure);
    }
  }

  #probe({ clientInfo, capabilities }: HandshakeSetup): Promise<Probe> {
    return new Promise((resolve) => {
      this.#answerProbe = resolve;
      const envelope = {
        [envelopeKeys.protocolVersion]: modernVersion,
        [envelopeKeys.clientInfo]: clientInfo,
        [envelopeKeys.clientCapabilities]: capabilities,
      };
      const isSent = this.#write({
        jsonrpc: '2.0',
        id: probeId,
        method: 'server/discover',
        params: { _meta: envelope },
      });
      if (!isSent) resolve('refused');
    });
  }

  async #openModern(discover: Record<string, unknown>, setup: HandshakeSetup, signal: AbortSignal): Promise<void> {
    await this.#open(setup, true, { kind: 'modern', discover: discover as unknown as DiscoverResult }, signal);
    this.#discover = discover;
  }

  async #open(
    { clientInfo, capabilities }: HandshakeSetup,
    isModern: boolean,
    prior: { kind: 'modern'; discover: DiscoverResult } | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const client = newClient(clientInfo, capabilities, isModern, {
      onNotification: (notification) => {
        for (const listener of this.listeners) listener.onNotification(notification);
      },
      onQuestion: (question) => {
        for (const { onQuestion } of this.listeners) if (onQuestion !== undefined) return onQuestion(question);
        throw Object.assign(new Error('Method not found'), { code: -32601 });
      },
    });
    this.#transport = new LineTransport(this.#write);
    // The clock is the signal's alone.
    await client.connect(this.#transport, { signal, timeout: 600_000, ...(prior && { prior }) });
    this.#client = client;
  }

  /** One request and its result, scrubbed. Throws UpstreamFailure. */
  async request(upstream: Upstream, given: UpstreamRequest): Promise<UpstreamResult> {
    const { signal } = given;
    if (signal.aborted) throw failureOfSignal(signal, 'no');
    // It ended after it was chosen: a fresh one may be asked.
    if (this.isLost) throw new UpstreamFailure('session_lost', 'no', { words: this.#process?.words ?? this.#words });
    const isModern = this.#discover !== undefined;
    const request = isModern ? declaring(given) : withoutEnvelope(given);
    this.#calls.add(given);
    this.usedAt = performance.now();
    try {
      const result = await this.client.request(
        outgoing(request, isModern) as never,
        asIs,
        requestOptions(upstream, request, signal),
      );
      if (typeof result !== 'object' || result === null || Array.isArray(result))
        throw new UpstreamFailure('broken', 'unknown');
      const { uri } = request.params;
      if (request.method === 'resources/subscribe') this.#subscribed.add(String(uri));
      if (request.method === 'resources/unsubscribe') this.#subscribed.delete(String(uri));
      return { result: scrubValue(result, upstream.scrub), status: null };
    } catch (error) {
      if (this.isLost && !signal.aborted) throw this.#failure('unknown', signal);
      throw failureOf(error, { signal, note: {}, upstream, hasSession: false });
    } finally {
      this.#calls.delete(given);
      this.usedAt = performance.now();
    }
  }

  /** The newest call that wants to hear what is said before its result. */
  newestListener(): UpstreamRequest['onNotification'] {
    return [...this.#calls].reverse().find(({ onNotification }) => onNotification !== undefined)?.onNotification;
  }

  async close(): Promise<void> {
    await this.#process?.end('The server process was ended by the gateway');
  }

  #failure(executed: 'no' | 'unknown', signal: AbortSignal): UpstreamFailure {
    if (signal.aborted && this.#process?.words === undefined) return failureOfSignal(signal, executed);
    const words = this.#process?.words ?? this.#words;
    return new UpstreamFailure(executed === 'no' ? 'unreachable' : 'broken', executed, { words });
  }

  /** Why a process that runs does not serve. */
  #explained(failure: UpstreamFailure): UpstreamFailure {
    if (failure.words !== undefined || this.#hasSpoken || failure.kind !== 'timeout') return failure;
    const words =
      this.#noise > 0
        ? `The server process wrote ${this.#noise} lines that are not MCP messages, and no message`
        : 'The server process did not answer in time after its start';
    return new UpstreamFailure('timeout', 'no', { words });
  }
}

/** A shared process declares nothing of its own: what a caller can do stands in each request. */
function declaring(request: UpstreamRequest): UpstreamRequest {
  if (request.clientCapabilities === undefined) return request;
  return { ...request, meta: { ...request.meta, [envelopeKeys.clientCapabilities]: request.clientCapabilities } };
}

function silence(ms: number, signal: AbortSignal): Promise<Probe> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve('silent');
    };
    const timer = setTimeout(done, ms);
    timer.unref();
    if (signal.aborted) done();
    else signal.addEventListener('abort', done, { once: true });
  });
}

// The port behind which every kind of upstream stands: one JSON-RPC request out, one result or one failure back. Types and the failure
// class only. Carriers behind it never see the caller's headers, only what `forward` built.
import type { ConnectorRecord } from '../identity/records.ts';
import type { Identity, Secrets } from './inject.ts';
import type { Scrub } from './scrub.ts';
import type { UpstreamKey } from './upstream-key.ts';

/** The caller's own 2025-era session: an upstream session that serves it belongs to it alone and may ask and tell it things. */
export interface CallerSession {
  id: string;
  /** What the caller declared, reduced to what may be declared upstream. */
  capabilities: Record<string, unknown>;
  /** What an upstream says outside of any call. Scrubbed; URIs are the upstream's own. */
  heard(connector: ConnectorRecord, notification: Notification): void;
}

export interface Notification {
  method: string;
  params?: Record<string, unknown>;
}

/** One user's view of one connector: whose secrets, under which key things may be kept. */
export interface Upstream {
  key: UpstreamKey;
  connector: ConnectorRecord;
  user: Identity | null;
  credentialId: string | null;
  /** Opened for this call only. */
  secrets: Secrets;
  scrub: Scrub;
  session?: CallerSession | undefined;
}

export interface UpstreamRequest {
  method: string;
  params: Record<string, unknown>;
  signal: AbortSignal;
  /** `Mcp-Param-*` headers, for modern upstreams. */
  paramHeaders?: Record<string, string> | undefined;
  /** Capabilities that the caller declared, for modern upstreams; empty where nothing interactive can come back. */
  clientCapabilities?: Record<string, unknown> | undefined;
  /** Asked for only by the SDK lane: what the upstream says before its result. */
  onNotification?: ((notification: Notification) => void) | undefined;
  /** The caller asked to be told of progress: a token of our own goes along. */
  wantsProgress?: boolean | undefined;
  /** The log level that the caller asked for with this request; understood by modern upstreams. */
  logLevel?: string | undefined;
  /** Puts a question of the upstream to the caller of this request and waits for the answer. Only where a session can carry it. */
  ask?: ((question: Required<Notification>) => Promise<Record<string, unknown>>) | undefined;
  /** Of the caller's `_meta`, what may travel: trace context and vendor keys. */
  meta?: Record<string, unknown> | undefined;
  /** Trace context as HTTP headers; upstreams that speak MCP find it in `meta` too. */
  traceHeaders?: Record<string, string> | undefined;
}

/** What the upstream answered: a JSON-RPC result, unshaped, already scrubbed. */
export interface UpstreamResult {
  result: Record<string, unknown>;
  /** HTTP status, where there was one. */
  status: number | null;
}

export type FailureKind =
  /** Refused by the egress guard, no route, refused connection: nothing was sent. */
  | 'unreachable'
  | 'timeout'
  | 'cancelled'
  /** 401 from the upstream: the credential is dead. */
  | 'unauthorized'
  | 'forbidden'
  | 'rate_limited'
  /** The upstream's session is gone, or it wants another era: by protocol nothing ran. */
  | 'session_lost'
  | 'wrong_era'
  /** A JSON-RPC error of the upstream. */
  | 'rpc'
  /** 5xx, nonsense, too large, cut off. */
  | 'broken';

export class UpstreamFailure extends Error {
  override readonly name = 'UpstreamFailure';
  readonly kind: FailureKind;
  /** Whether the tool may have run. */
  readonly executed: 'no' | 'unknown';
  readonly status: number | null;
  readonly rpc: { code: number; message: string; data?: unknown } | undefined;
  readonly retryAfterMs: number | undefined;
  /** Of ours, for the user: what went wrong. Never the upstream's. */
  readonly words: string | undefined;

  constructor(
    kind: FailureKind,
    executed: 'no' | 'unknown',
    options: {
      status?: number | null;
      rpc?: { code: number; message: string; data?: unknown };
      retryAfterMs?: number | undefined;
      words?: string | undefined;
    } = {},
  ) {
    super(`upstream ${kind}`);
    this.kind = kind;
    this.executed = executed;
    this.status = options.status ?? null;
    this.rpc = options.rpc;
    this.retryAfterMs = options.retryAfterMs;
    this.words = options.words;
  }
}

export type WatchEvent = { kind: 'tools' | 'prompts' | 'resources' } | { kind: 'updated'; uri: string };

/** An interest in what an upstream says on its own. */
export interface Watch {
  /** Resolves when the upstream has been reached, or cannot be for now; never rejects. */
  ready: Promise<void>;
  close(): void;
}

/** How calls leave when one POST is not enough: an official client that speaks sessions and streams. */
export interface Carrier {
  /** `discover` is the discovery result of an upstream that speaks the modern era; without it a session is used. */
  request(upstream: Upstream, request: UpstreamRequest, discover?: Record<string, unknown>): Promise<UpstreamResult>;
  /** What an upstream declares in the session that `request` would use. */
  capabilities(upstream: Upstream, signal: AbortSignal): Promise<Record<string, unknown>>;
  /** Listens until the watch is closed or its key is forgotten; opened again with growing pauses when the upstream goes away. */
  watch(
    upstream: Upstream,
    uris: readonly string[],
    listener: (event: WatchEvent) => void,
    discover?: Record<string, unknown>,
  ): Watch;
  /** Ends what is kept for the keys that `matches` accepts. */
  forget(matches: (key: UpstreamKey) => boolean): Promise<void>;
  close(): Promise<void>;
}

// What one call is, and how it is planned: out of its parts, the call's options and the client's defaults. No I/O.
import type { HttpMethod } from '@mcp-valet/shared';
import { ConfigError, ValidationError } from './errors.ts';
import type { GateScope } from './gate-ask.ts';
import { checkMode, type GateOptions, type RateLimitMode, type RateLimitSnapshot } from './gate-options.ts';
import { checkCallNames } from './option-names.ts';
import { type CallOptions, checkDeadline, checkMs, checkRetries, mergeHeaders } from './options.ts';
import type { Answer, CallContext } from './respond.ts';
import { toWire } from './secret.ts';
import type { Transport } from './transport.ts';

/** Each timeout is longer than the gateway's own limit (15 s, 30 s), so that its answer arrives first. */
const defaults = {
  management: { timeoutMs: 20_000, deadlineMs: 60_000 },
  execution: { timeoutMs: 45_000, deadlineMs: 120_000 },
} as const;
/** Room for the answer after the last attempt's own timeout. */
export const graceMs = 15_000;

/** What came back about the request itself. */
export interface Meta {
  /** Finds the request in the gateway's log. */
  requestId: string | undefined;
  /** HTTP status of the last answer. */
  status: number;
  /** Headers of the last answer. */
  headers: Headers;
  /** Requests sent for this call. */
  attempts: number;
  /** Milliseconds spent waiting: for the rate limit, and between requests. */
  waitedMs: number;
  /** Where the user stands after this call, as far as this process knows. Absent when the gate is off. */
  rateLimit: RateLimitSnapshot | undefined;
  /** Key that was sent with the call, if it was one that changes something. */
  idempotencyKey: string | undefined;
  /** The server returned the stored answer of an earlier request with the same key. */
  replayed: boolean;
}

/** Reads the answer of one attempt. */
export interface Reader<T> {
  onEvent?: ((data: string) => boolean) | undefined;
  /** Takes a good answer unread, to pass it on as it streams; `stop` ends it. */
  onResponse?: ((response: Response, stop: () => void) => void) | undefined;
  /** The caller was given a progress event, so repeating would show it twice. */
  delivered?: () => boolean;
  /** The value of a 2xx answer, or a thrown ValetError. */
  read(answer: Answer, context: CallContext): T;
}

export interface Operation<T> {
  name: string;
  method: HttpMethod;
  url: string;
  /** The path without ids and tokens, for logs. */
  template: string;
  headers: Readonly<Record<string, string>>;
  body: string | undefined;
  authorize: boolean;
  repeatable: boolean;
  timeoutMs: number;
  deadlineMs: number | undefined;
  maxRetries: number;
  signal: AbortSignal | undefined;
  idempotencyKey: string | undefined;
  userId: string | undefined;
  /** Values of the body that no error may repeat. */
  sensitive: readonly string[];
  /** Where to ask what the server promises; `rpc`: with a JSON-RPC ping. */
  probe: { url: string; rpc: boolean } | undefined;
  /** Name of the tool that an MCP endpoint is asked to run. */
  tool: string | undefined;
  /** A lost connection cancels the call, so it is never sent again. */
  cancels?: boolean | undefined;
  /** What it counts against; absent: nothing, or the gate is off. */
  limit: { scope: GateScope; user: string; mode: RateLimitMode; options: GateOptions } | undefined;
  reader(): Reader<T>;
  /** The value of a DELETE that an earlier attempt seems to have done. */
  done?: (() => T) | undefined;
}

export type Settled<T> =
  | { ok: true; data: T; meta: Meta; answer: Answer }
  | { ok: false; error: unknown; answer: Answer | undefined };

export interface Parts<T> {
  kind: keyof typeof defaults;
  name: string;
  method: HttpMethod;
  url: string;
  template: string;
  /** Identity headers, already checked. */
  headers?: Readonly<Record<string, string>>;
  accept: string;
  body: unknown;
  authorize: boolean;
  repeatable: boolean;
  userId?: string | undefined;
  sensitive?: readonly string[];
  /** The tool, where the URL is an MCP endpoint. */
  tool?: string | undefined;
  cancels?: boolean | undefined;
  /** What it counts against at the server. Default: by its kind. */
  scope?: GateScope | 'nothing' | undefined;
  /** Least timeout of an execution that asked the gateway for more time. */
  leastTimeoutMs?: number | undefined;
  reader(): Reader<T>;
  done?: (() => T) | undefined;
}

/** A signal too old or foreign for `addEventListener` would be ignored silently. */
function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal === null) return undefined;
  if (typeof (signal as AbortSignal).addEventListener === 'function') return signal as AbortSignal;
  throw new ValidationError({ message: 'signal must be an AbortSignal', path: 'signal' });
}

function serialise(body: unknown): string | undefined {
  if (body === undefined) return undefined;
  try {
    return toWire(body);
  } catch (error) {
    // A cycle or a BigInt; the text of the error would repeat names from the body.
    if (error instanceof TypeError)
      throw new ValidationError({ message: 'The arguments cannot be written as JSON', path: '' });
    throw error;
  }
}

export function plan<T>(transport: Transport, parts: Parts<T>, options: CallOptions = {}): Operation<T> {
  checkCallNames(options);
  const { config } = transport;
  const standard = defaults[parts.kind];
  const least = Math.max(standard.timeoutMs, parts.leastTimeoutMs ?? 0);
  const timeoutMs = checkMs(options.timeout, 'timeout') ?? config.timeoutMs ?? least;
  const chosen = checkDeadline(options.deadline) ?? config.deadlineMs;
  const deadlineMs = chosen ?? Math.max(standard.deadlineMs, timeoutMs + graceMs);
  const body = serialise(parts.body);
  return {
    name: parts.name,
    method: parts.method,
    url: parts.url,
    template: parts.template,
    headers: {
      ...mergeHeaders(config.headers, options.headers),
      accept: parts.accept,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...parts.headers,
    },
    body,
    authorize: parts.authorize && !transport.config.session,
    repeatable: parts.repeatable,
    timeoutMs,
    deadlineMs: deadlineMs === false ? undefined : deadlineMs,
    maxRetries: checkRetries(options.maxRetries) ?? config.maxRetries,
    signal: checkSignal(options.signal),
    idempotencyKey: options.idempotencyKey,
    userId: parts.userId,
    sensitive: parts.sensitive ?? [],
    probe: probeOf(config.baseUrl, parts),
    tool: parts.tool,
    cancels: parts.cancels,
    limit: limitOf(transport, parts, options),
    reader: parts.reader,
    done: parts.done,
  };
}

function probeOf(
  baseUrl: string | undefined,
  parts: Pick<Parts<unknown>, 'tool' | 'url'>,
): Operation<unknown>['probe'] {
  if (parts.tool !== undefined) return { url: parts.url, rpc: true };
  return baseUrl === undefined ? undefined : { url: `${baseUrl}/status`, rpc: false };
}

function limitOf(
  { config, gateUser }: Transport,
  { kind, scope: given, userId }: Pick<Parts<unknown>, 'kind' | 'scope' | 'userId'>,
  options: CallOptions,
): Operation<unknown>['limit'] {
  const gate = config.rateLimit;
  const mode = checkMode(options.rateLimit);
  if (gate === false || mode === 'off' || given === 'nothing') return undefined;
  const scope = given ?? (kind === 'execution' ? 'calls' : 'management');
  // Management is limited by key, whomever it is about.
  const user = scope === 'management' && config.token !== undefined ? '' : (userId ?? gateUser);
  return { scope, user, mode: mode ?? gate.mode, options: gate };
}

/** The gateway's address, or the reason why a tokenized URL cannot do this. */
export function baseUrlOf(transport: Transport): string {
  const { baseUrl } = transport.config;
  if (baseUrl !== undefined) return baseUrl;
  throw new ConfigError({ message: 'A tokenized URL is for calls only', hint: 'Use baseUrl and apiKey' });
}

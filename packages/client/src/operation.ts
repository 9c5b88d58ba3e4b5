// What one call is, and how it is planned: out of its parts, the call's options and the client's defaults. No I/O.
import type { HttpMethod } from '@mcp-valet/shared';
import { ConfigError, ValidationError } from './errors.ts';
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
  requestId: string | undefined;
  status: number;
  headers: Headers;
  /** Requests sent for this call. */
  attempts: number;
  /** Milliseconds spent waiting between them. */
  waitedMs: number;
  idempotencyKey: string | undefined;
  /** The server returned the stored answer of an earlier request with the same key. */
  replayed: boolean;
}

/** Reads the answer of one attempt. */
export interface Reader<T> {
  onEvent?: ((data: string) => boolean) | undefined;
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
    authorize: parts.authorize,
    repeatable: parts.repeatable,
    timeoutMs,
    deadlineMs: deadlineMs === false ? undefined : deadlineMs,
    maxRetries: checkRetries(options.maxRetries) ?? config.maxRetries,
    signal: checkSignal(options.signal),
    idempotencyKey: options.idempotencyKey,
    userId: parts.userId,
    sensitive: parts.sensitive ?? [],
    reader: parts.reader,
    done: parts.done,
  };
}

/** The gateway's address, or the reason why a tokenized URL cannot do this. */
export function baseUrlOf(transport: Transport): string {
  const { baseUrl } = transport.config;
  if (baseUrl !== undefined) return baseUrl;
  throw new ConfigError({ message: 'A tokenized URL is for calls only', hint: 'Use baseUrl and apiKey' });
}

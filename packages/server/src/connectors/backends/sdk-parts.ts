// What every connection of the official SDK client to an upstream has in common, whatever carries its messages: a client that passes results
// on instead of using them, and the shape of an outgoing request. Opens nothing.
import { envelopeKeys, legacyVersions } from '@mcp-valet/shared';
import { Client, type RequestOptions, type StandardSchemaV1 } from '@modelcontextprotocol/client';
import type { Notification, Upstream, UpstreamRequest, UpstreamResult } from '../backend.ts';
import { scrubValue } from '../scrub.ts';

/** An open connection to an upstream. */
export interface Leg {
  readonly client: Client;
  /** The discovery result that the connection was made from; undefined in the 2025 era. */
  readonly discover: Record<string, unknown> | undefined;
  readonly capabilities: Record<string, unknown>;
  request(upstream: Upstream, request: UpstreamRequest): Promise<UpstreamResult>;
  close(): Promise<void>;
}

/** What the owner of a connection wants to be told. */
export interface LegListener {
  onNotification: (notification: Notification) => void;
  /** An upstream's question; only asked where capabilities are declared. */
  onQuestion?: ((question: Required<Notification>) => Promise<Record<string, unknown>>) | undefined;
  /** The connection cannot be used any more. */
  onLost?: (() => void) | undefined;
}

/** The call's own signal is the clock; the SDK's must never be earlier. */
const noTimeoutMs = 24 * 3_600_000;

/** Results are passed on as they are. */
export const asIs: StandardSchemaV1<unknown, Record<string, unknown>> = {
  '~standard': { version: 1, vendor: 'mcp-valet', validate: (value) => ({ value: value as Record<string, unknown> }) },
};
/** Nothing of an upstream's schemas is compiled here. */
const noValidator = {
  getValidator: () => (value: unknown) => ({ valid: true as const, data: value as never, errorMessage: undefined }),
};

export function newClient(
  clientInfo: { name: string; version: string },
  capabilities: Record<string, unknown>,
  isModern: boolean,
  { onNotification, onQuestion }: LegListener,
): Client {
  const client = new Client(clientInfo, {
    capabilities,
    jsonSchemaValidator: noValidator,
    inputRequired: { autoFulfill: false },
    // The first is offered in the handshake; a modern connection negotiates nothing.
    ...(!isModern && { supportedProtocolVersions: [...legacyVersions].reverse() }),
  });
  client.fallbackNotificationHandler = async ({ method, params }) => {
    onNotification({ method, ...(params && { params }) });
  };
  client.fallbackRequestHandler = async ({ method, params }) => {
    if (onQuestion === undefined) throw Object.assign(new Error('Method not found'), { code: -32601 });
    return onQuestion({ method, params: params ?? {} });
  };
  return client;
}

export function requestOptions(upstream: Upstream, request: UpstreamRequest, signal: AbortSignal): RequestOptions {
  const { wantsProgress, onNotification } = request;
  return {
    signal,
    timeout: noTimeoutMs,
    allowInputRequired: true,
    ...(wantsProgress &&
      onNotification && {
        onprogress: (progress) =>
          onNotification({ method: 'notifications/progress', params: scrubValue({ ...progress }, upstream.scrub) }),
      }),
  };
}

/** Method and params as they leave, the caller's `_meta` among them. */
export function outgoing(
  request: UpstreamRequest,
  isModern: boolean,
): { method: string; params: Record<string, unknown> } {
  const meta = {
    ...request.meta,
    ...(isModern && request.logLevel !== undefined && { [envelopeKeys.logLevel]: request.logLevel }),
  };
  const params = Object.keys(meta).length > 0 ? { ...request.params, _meta: meta } : request.params;
  return { method: request.method, params };
}

/** Keys of the modern envelope mean nothing to a session. */
export function withoutEnvelope(request: UpstreamRequest): UpstreamRequest {
  if (request.meta === undefined) return request;
  const reserved = new Set<string>(Object.values(envelopeKeys));
  return { ...request, meta: Object.fromEntries(Object.entries(request.meta).filter(([key]) => !reserved.has(key))) };
}

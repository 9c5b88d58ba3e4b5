// The sdk carrier: upstreams that one POST cannot serve, on the official client. Chooses the connection: a fresh one for a streaming call
// to a modern upstream, the caller's own upstream session where the caller has a session, else a borrowed session. Nothing is sent twice.
import { envelopeKeys } from '@mcp-valet/shared';
import { type Carrier, type Upstream, UpstreamFailure, type UpstreamRequest, type UpstreamResult } from '../backend.ts';
import { scrubValue } from '../scrub.ts';
import { RawCarrier } from './mcp-http-raw.ts';
import { BoundSessions, speaksModern } from './mcp-http-sdk-bound.ts';
import { Connection, type SdkOptions } from './mcp-http-sdk-client.ts';
import { SessionPool } from './mcp-http-sdk-pool.ts';
import { Watches } from './mcp-http-sdk-watch.ts';

export type { SdkOptions };

export function createSdkCarrier(options: SdkOptions): Carrier {
  const raw = new RawCarrier(options);
  const pool = new SessionPool(options);
  const watches = new Watches(options);
  const bound = new BoundSessions(options, watches, async (upstream, signal) => {
    try {
      const { result } = await raw.request(
        upstream,
        { method: 'server/discover', params: {}, signal },
        { modern: true },
      );
      return speaksModern(result) ? result : undefined;
    } catch (error) {
      // Then the refusal of the handshake is what counts.
      if (error instanceof UpstreamFailure) return undefined;
      throw error;
    }
  });

  /** A client of its own per call: what the caller declared is part of it. */
  const requestModern = async (
    upstream: Upstream,
    request: UpstreamRequest,
    discover: Record<string, unknown>,
  ): Promise<UpstreamResult> => {
    const connection = new Connection(
      upstream,
      {
        capabilities: request.clientCapabilities ?? {},
        discover,
        hasOwnStream: false,
        onNotification: (notification) => request.onNotification?.(scrubValue(notification, upstream.scrub)),
      },
      options,
    );
    try {
      await connection.connect(request.signal);
      return await connection.request(upstream, request);
    } finally {
      await connection.close();
    }
  };

  return {
    request(upstream, request, discover) {
      if (discover !== undefined) return requestModern(upstream, request, discover);
      if (upstream.session !== undefined) return bound.request(upstream, request);
      const { onNotification } = request;
      const listener =
        onNotification &&
        ((notification: Parameters<typeof onNotification>[0]) =>
          onNotification(scrubValue(notification, upstream.scrub)));
      return pool.borrow(upstream, request.signal, listener, (connection) =>
        connection.request(upstream, withoutEnvelope(request)),
      );
    },
    capabilities(upstream, signal) {
      if (upstream.session !== undefined) return bound.capabilities(upstream, signal);
      return pool.borrow(upstream, signal, undefined, async (connection) => connection.capabilities);
    },
    watch: (upstream, uris, listener, discover) => watches.watch(upstream, uris, listener, discover),
    async forget(matches) {
      await Promise.all([pool.forget(matches), bound.forget(matches), watches.forget(matches)]);
    },
    async close() {
      await this.forget(() => true);
    },
  };
}

/** Keys of the modern envelope mean nothing to a session. */
function withoutEnvelope(request: UpstreamRequest): UpstreamRequest {
  if (request.meta === undefined) return request;
  const reserved = new Set<string>(Object.values(envelopeKeys));
  return { ...request, meta: Object.fromEntries(Object.entries(request.meta).filter(([key]) => !reserved.has(key))) };
}

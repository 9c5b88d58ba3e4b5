// The sdk carrier: upstreams that one POST cannot serve, on the official client. Chooses the connection: a fresh one for a streaming call
// to a modern upstream, the caller's own upstream session where the caller has a session, else a borrowed session. Nothing is sent twice.
import { type Carrier, type Upstream, UpstreamFailure, type UpstreamRequest, type UpstreamResult } from '../backend.ts';
import { scrubValue } from '../scrub.ts';
import { RawCarrier } from './mcp-http-raw.ts';
import { Connection, type ConnectionSetup, type SdkOptions } from './mcp-http-sdk-client.ts';
import { SessionPool } from './mcp-http-sdk-pool.ts';
import { BoundSessions, speaksModern } from './sdk-bound.ts';
import { type Leg, withoutEnvelope } from './sdk-parts.ts';
import { Watches } from './sdk-watch.ts';

export type { SdkOptions };

export function createSdkCarrier(options: SdkOptions): Carrier {
  const raw = new RawCarrier(options);
  const pool = new SessionPool(options);
  const connect = async (upstream: Upstream, setup: ConnectionSetup, signal: AbortSignal): Promise<Leg> => {
    const connection = new Connection(upstream, setup, options);
    await connection.connect(signal);
    return connection;
  };
  const watches = new Watches({
    open: (upstream, listener, signal, discover) =>
      connect(upstream, { capabilities: {}, hasOwnStream: true, discover, ...listener }, signal),
    openWithinMs: 5_000,
  });
  const discoverAfterRefusal = async (upstream: Upstream, signal: AbortSignal) => {
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
  };
  const bound = new BoundSessions(watches, async (upstream, session, listener, signal) => {
    const setup = { capabilities: session.capabilities, hasOwnStream: true, ...listener };
    try {
      return await connect(upstream, setup, signal);
    } catch (error) {
      const isRefused =
        error instanceof UpstreamFailure &&
        (error.kind === 'wrong_era' ||
          error.kind === 'rpc' ||
          (error.status !== null && error.status >= 400 && error.status < 500 && error.kind === 'broken'));
      const discover = isRefused ? await discoverAfterRefusal(upstream, signal) : undefined;
      if (discover === undefined) throw error;
      return connect(upstream, { ...setup, discover }, signal);
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

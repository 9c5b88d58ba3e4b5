// The stdio carrier: upstreams that are child processes of the gateway. One process per upstream key, shared by that user's concurrent calls;
// a caller's session has processes of its own, which may ask it things. Nothing is sent twice.
import { type Carrier, type Upstream, UpstreamFailure } from '../backend.ts';
import { scrubValue } from '../scrub.ts';
import type { UpstreamKey } from '../upstream-key.ts';
import { unlessAborted } from './mcp-http-sdk-failure.ts';
import type { StdioConnection } from './mcp-stdio-connection.ts';
import type { StdioOptions } from './mcp-stdio-options.ts';
import { StdioPool } from './mcp-stdio-pool.ts';
import { BoundSessions } from './sdk-bound.ts';
import type { Leg, LegListener } from './sdk-parts.ts';
import { Watches } from './sdk-watch.ts';

export type { StdioLimits, StdioOptions } from './mcp-stdio-options.ts';

export interface StdioCarrier extends Carrier {
  /** Processes that run now, those that start or end among them. */
  processes(): number;
  /** Whether they run in a sandbox; asked of the machine once. */
  isSandboxed(): Promise<boolean>;
}

export function createStdioCarrier(options: StdioOptions): StdioCarrier {
  const pool = new StdioPool(options);
  /** Of callers without a session: one process per key. */
  const shared = new Map<UpstreamKey, Promise<StdioConnection>>();

  const startShared = (upstream: Upstream): Promise<StdioConnection> => {
    const { key, scrub } = upstream;
    const drop = (): void => {
      if (shared.get(key) === starting) shared.delete(key);
    };
    const starting: Promise<StdioConnection> = pool.start(
      upstream,
      { capabilities: {}, first: 'modern' },
      (connection) => ({
        onNotification: (notification) => {
          if (notification.method === 'notifications/message')
            connection.newestListener()?.(scrubValue(notification, scrub));
        },
        onLost: drop,
      }),
    );
    starting.catch(drop);
    shared.set(key, starting);
    return starting;
  };

  const sharedOf = async (upstream: Upstream): Promise<StdioConnection> => {
    const known = shared.get(upstream.key);
    if (known === undefined) return startShared(upstream);
    const connection = await known;
    // Another caller may have replaced it meanwhile.
    if (pool.isFresh(connection) && !connection.isLost) return connection;
    if (shared.get(upstream.key) === known) shared.delete(upstream.key);
    return shared.get(upstream.key) ?? startShared(upstream);
  };

  const ready = async (upstream: Upstream, signal: AbortSignal): Promise<StdioConnection> => {
    try {
      return await unlessAborted(sharedOf(upstream), signal);
    } catch (error) {
      if (!signal.aborted || !(error instanceof UpstreamFailure) || error.kind !== 'timeout') throw error;
      throw new UpstreamFailure('timeout', 'no', {
        words: 'The server process was not ready before the call ran out of time',
      });
    }
  };

  const watches = new Watches({
    async open(upstream, listener, signal) {
      const connection =
        pool.find(upstream.key) ?? (upstream.session === undefined ? await ready(upstream, signal) : undefined);
      if (connection === undefined) throw new UpstreamFailure('unreachable', 'no');
      return listening(connection, upstream, listener);
    },
    openWithinMs: 20_000,
  });

  const bound = new BoundSessions(watches, (upstream, session, listener) =>
    pool.start(upstream, { capabilities: session.capabilities, first: 'legacy' }, () => listener),
  );

  return {
    async request(upstream, request) {
      if (upstream.session !== undefined) return bound.request(upstream, request);
      const connection = await ready(upstream, request.signal);
      try {
        return await connection.request(upstream, request);
      } catch (error) {
        // It no longer speaks what it said it does.
        if (error instanceof UpstreamFailure && error.kind === 'wrong_era') await connection.close();
        throw error;
      }
    },
    async capabilities(upstream, signal) {
      if (upstream.session !== undefined) return bound.capabilities(upstream, signal);
      return (await ready(upstream, signal)).capabilities;
    },
    watch: (upstream, uris, listener) => watches.watch(upstream, uris, listener),
    async forget(matches) {
      await Promise.all([watches.forget(matches), bound.forget(matches), pool.forget(matches)]);
    },
    async close() {
      await Promise.all([watches.forget(() => true), bound.forget(() => true), pool.close()]);
    },
    processes: () => pool.size,
    isSandboxed: () => pool.isSandboxed(),
  };
}

/** A watch's share of a process that also serves calls. */
function listening(connection: StdioConnection, upstream: Upstream, listener: LegListener): Leg {
  const { client, discover, capabilities } = connection;
  const uris = new Set<string>();
  connection.listeners.add(listener);
  connection.holds++;
  let isOpen = true;
  return {
    client,
    discover,
    capabilities,
    async request(_, request) {
      const uri = String(request.params['uri']);
      const result = await connection.request(upstream, request);
      if (request.method === 'resources/subscribe') uris.add(uri);
      else uris.delete(uri);
      return result;
    },
    async close() {
      if (!isOpen) return;
      isOpen = false;
      connection.holds--;
      connection.listeners.delete(listener);
      const signal = AbortSignal.timeout(2_000);
      for (const uri of uris) {
        if (connection.isLost) return;
        // Nobody listens any more: whether the server hears of it changes nothing.
        await connection
          .request(upstream, { method: 'resources/unsubscribe', params: { uri }, signal })
          .catch(() => undefined);
      }
    },
  };
}

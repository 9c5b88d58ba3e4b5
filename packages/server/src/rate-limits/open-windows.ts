// Which store rate limits are counted in, from the configuration (ADR 0022): Redis where there is one, else PostgreSQL, else this process.
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Database } from '../db/client.ts';
import { sweepWindows, windowStatements } from '../db/windows.ts';
import type { Replicas } from '../replicas.ts';
import { redisWindows } from './redis-windows.ts';
import { ownWindows, SharedWindows, type WindowStore, type Windows } from './shared-windows.ts';
import { SlidingWindowStore } from './window.ts';

export interface OpenedWindows {
  windows: Windows;
  /** Removes what has run out, where the store does not do so by itself. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

/** A store that is down does not keep a gateway from starting. */
const connectWithinMs = 2_000;

export async function openWindows(parts: {
  config: Config;
  db: Database;
  log: Logger;
  installationId: string;
  replicas: Pick<Replicas, 'live'>;
  now: () => number;
}): Promise<OpenedWindows> {
  const { config, db, log, now, replicas } = parts;
  const { kind, redisUrl } = config.rateLimitStore;
  const own = new SlidingWindowStore(now);
  if (kind === 'memory') {
    return {
      windows: { ...ownWindows(own), health: () => ({ ...ownWindows(own).health(), liveReplicas: replicas.live() }) },
      // The operator said that there is one; each admits the whole limit.
      sweep: async () => {
        if (replicas.live() > 1) log.warn({ liveReplicas: replicas.live() }, 'rate_limits_are_per_process');
      },
      close: async () => undefined,
    };
  }
  const redis = redisUrl === undefined ? undefined : redisWindows(redisUrl.reveal(), `valet:${parts.installationId}:`);
  await redis?.connected(connectWithinMs);
  const store: WindowStore = redis ?? { name: 'postgres', ...windowStatements(db) };
  return {
    windows: new SharedWindows({ store, own, now, log, live: replicas.live }),
    sweep: async () => void (redis === undefined && (await sweepWindows(db))),
    async close() {
      await redis?.close();
    },
  };
}

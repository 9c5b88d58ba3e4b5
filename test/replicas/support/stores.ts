// The stores that replicas share, each over a server of its own, opened as often as there are replicas. Redis is left out where it is not installed.
import { type Database, openDatabase } from '../../../packages/server/src/db/client.ts';
import { windowStatements } from '../../../packages/server/src/db/windows.ts';
import { redisWindows } from '../../../packages/server/src/rate-limits/redis-windows.ts';
import type { WindowStore } from '../../../packages/server/src/rate-limits/shared-windows.ts';
import { openTestDatabase } from '../../support/database.ts';
import { isInstalled } from '../../support/packages.ts';
import { startRedis, type TestRedis } from './programs.ts';

export interface StoreServer {
  /** A further connection, as a further replica has it. `clock` in milliseconds stands in for the server's. */
  connect(clock?: () => number): Promise<WindowStore>;
  /** Of PostgreSQL. */
  db?: Database;
  redis?: TestRedis;
  close(): Promise<void>;
}

/** For a test that counts, not for one that waits: the first statement of a connection costs more than its patience. */
async function warm(store: WindowStore): Promise<WindowStore> {
  const end = performance.now() + 20_000;
  for (;;) {
    try {
      await store.peek('warm', 60_000, 1);
      return store;
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

async function postgresServer(): Promise<StoreServer> {
  const test = await openTestDatabase('postgres');
  const opened: Database[] = [];
  const open = async () => {
    const db = await openDatabase({ url: test.url });
    opened.push(db);
    return db;
  };
  return {
    db: await open(),
    connect: async (clock) => warm({ name: 'postgres', ...windowStatements(await open(), clock) }),
    async close() {
      await Promise.all(opened.map((db) => db.close()));
      await test.close();
    },
  };
}

async function redisServer(): Promise<StoreServer> {
  const redis = await startRedis();
  const opened: { close(): Promise<void> }[] = [];
  return {
    redis,
    connect: async (clock) => {
      const store = redisWindows(redis.url, 'valet:test:', clock);
      opened.push(store);
      return warm(store);
    },
    async close() {
      await Promise.all(opened.map((store) => store.close()));
      await redis.close();
    },
  };
}

export const storeServers: { kind: 'postgres' | 'redis'; open: () => Promise<StoreServer> }[] = [
  { kind: 'postgres', open: postgresServer },
  ...(isInstalled('redis-server') ? [{ kind: 'redis' as const, open: redisServer }] : []),
];

export const isLong = process.env['PROOF_LONG'] === '1';

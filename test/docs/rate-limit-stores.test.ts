// The stores that the guide shows for the SDK's gate: its own text, run against a real Redis and a real PostgreSQL. Several processes are as many
// connections here.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { MCPClient, type RateLimitStore } from '@mcp-valet/client';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../replicas/support/programs.ts';
import { read, root } from '../repo/workspace.ts';
import { openEmptyPostgres, superuserUrl } from '../support/database.ts';
import { isInstalled } from '../support/packages.ts';
import { blocksOf } from './markdown.ts';

const page = 'docs/guides/sdk-rate-limits.md';
const scratch = `${root}test/docs/out-stores`;
const policy = { limit: 5, windowMs: 60_000 };
const { signal } = new AbortController();

/** The module that a block of the page is. */
async function shown<T>(role: string): Promise<T> {
  const code = blocksOf(read(page)).find((block) => block.role === role)?.code;
  if (code === undefined) throw new Error(`${page} has no block ${role}`);
  mkdirSync(scratch, { recursive: true });
  const file = `${scratch}/${role}-${randomBytes(6).toString('hex')}.ts`;
  writeFileSync(file, code);
  return (await import(/* @vite-ignore */ file)) as T;
}

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Shared {
  /** Two processes. */
  stores: [RateLimitStore, RateLimitStore];
  /** Ends the server under them. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

interface Connection {
  disconnect(): void;
  options: { commandTimeout?: number };
  once(event: 'ready', heard: () => void): void;
  on(event: 'error', heard: () => void): void;
}

async function onRedis(): Promise<Shared> {
  const { redisStore, connect } = await shown<{
    redisStore: (redis: Connection) => RateLimitStore;
    connect: (url: string) => Connection;
  }>('redis-store');
  const redis = await startRedis();
  const connections = [connect(redis.url), connect(redis.url)] as const;
  for (const one of connections) {
    one.on('error', () => undefined);
    // Its 50 ms are what a call of the SDK waits for. Here the answers count, and a machine with other tests may be late.
    one.options.commandTimeout = 10_000;
  }
  await Promise.all(connections.map((one) => new Promise<void>((ready) => one.once('ready', ready))));
  return {
    stores: [redisStore(connections[0]), redisStore(connections[1])],
    stop: () => redis.server.stop(),
    async close() {
      for (const one of connections) one.disconnect();
      await redis.close();
    },
  };
}

async function onPostgres(): Promise<Shared> {
  const { postgresStore, migration } = await shown<{
    postgresStore: (sql: postgres.Sql) => RateLimitStore;
    migration: string;
  }>('postgres-store');
  const database = await openEmptyPostgres();
  const url = await superuserUrl(database);
  const connections = [postgres(url, { onnotice: () => undefined }), postgres(url)] as const;
  await connections[0].unsafe(migration);
  const end = async () => void (await Promise.all(connections.map((one) => one.end({ timeout: 1 }))));
  return {
    stores: [postgresStore(connections[0]), postgresStore(connections[1])],
    stop: end,
    async close() {
      await end();
      await database.close();
    },
  };
}

const places = [
  { name: 'PostgreSQL', open: onPostgres },
  ...(isInstalled('redis-server') ? [{ name: 'Redis', open: onRedis }] : []),
];

describe.each(places)('the store on $name', ({ open }) => {
  let shared: Shared;
  beforeAll(async () => {
    shared = await open();
  });
  afterAll(() => shared?.close());

  it('admits the limit of a window and no more, whoever asks, and says how long to wait', async () => {
    const [one, two] = shared.stores;
    const asked = Array.from({ length: 12 }, (_, at) => (at % 2 === 0 ? one : two).take('calls:a', 1, policy, signal));
    const waits = await Promise.all(asked);
    expect(waits.filter((ms) => ms === 0)).toHaveLength(5);
    for (const ms of waits.filter((each) => each !== 0)) {
      expect(ms).toBeGreaterThan(50_000);
      expect(ms).toBeLessThanOrEqual(60_000);
    }
    expect(await one.take('calls:b', 1, policy, signal)).toBe(0);
  });

  it('gives back what is older than the window', async () => {
    const [one, two] = shared.stores;
    const short = { limit: 1, windowMs: 2_000 };
    expect(await one.take('calls:constructor', 1, short, signal)).toBe(0);
    const wait = await two.take('calls:constructor', 1, short, signal);
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(2_000);
    await new Promise((resolve) => setTimeout(resolve, wait + 20));
    expect(await two.take('calls:constructor', 1, short, signal)).toBe(0);
  });

  it('takes several at a time or none', async () => {
    const [one] = shared.stores;
    expect(await one.take('calls:c', 4, policy, signal)).toBe(0);
    expect(await one.take('calls:c', 2, policy, signal)).toBeGreaterThan(0);
    expect(await one.take('calls:c', 1, policy, signal)).toBe(0);
  });

  it('holds a user whom the server refused, in every process', async () => {
    const [one, two] = shared.stores;
    await one.penalize('calls:d', 20_000);
    const wait = await two.take('calls:d', 1, policy, signal);
    expect(wait).toBeGreaterThan(10_000);
    expect(wait).toBeLessThanOrEqual(20_100);
  });

  it('decides in the clients of two processes, and is passed over when it is away', async () => {
    const serve = async (_: unknown, init?: RequestInit) => {
      const { id } = JSON.parse(init?.body as string) as { id: string };
      return Response.json({ jsonrpc: '2.0', id, result: { content: [] } });
    };
    const answers: Promise<{ ms: number; tookMs: number }>[] = [];
    const heard = (store: RateLimitStore): RateLimitStore => ({
      ...store,
      take(...asked) {
        const before = performance.now();
        const taken = store.take(...asked);
        answers.push(taken.then((ms) => ({ ms, tookMs: performance.now() - before })));
        return taken;
      },
    });
    const clientWith = (store: RateLimitStore) =>
      new MCPClient({
        baseUrl: 'https://gateway.invalid',
        apiKey: 'k',
        fetch: serve,
        logLevel: 'off',
        rateLimit: { mode: 'reject', quota: policy, store },
      });
    const clients = shared.stores.map((store) => clientWith(heard(store)));
    for (let n = 0; n < 7; n++) {
      // After a refusal a client knows, and does not ask again.
      const end = await clients[n % 2]?.executeForUser('erin', 'echo').safe();
      const answer = await answers[n];
      // One that took too long for the SDK was not waited for.
      if (answer !== undefined && answer.tookMs < 40) expect(end?.ok).toBe(answer.ms === 0);
      if (end?.ok === false) expect(end.error).toMatchObject({ source: 'local', executed: 'no' });
    }
    expect((await Promise.all(answers)).map(({ ms }) => ms === 0)).toEqual([
      ...Array(5).fill(true),
      ...Array(2).fill(false),
    ]);

    await shared.stop();
    expect((await clientWith(shared.stores[0]).executeForUser('frank', 'echo').safe()).ok).toBe(true);
  });
});

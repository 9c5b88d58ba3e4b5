// Two gateways that count in one store: limits hold over both, calls go on without it, management waits for it, and nobody is sent to it.
import { Redis } from 'ioredis';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDatabase, superuserUrl, type TestDatabase } from '../support/database.ts';
import { type Answer, type Rig, startRig } from '../support/gateway.ts';
import { isInstalled } from '../support/packages.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { startReplicas } from '../support/replicas.ts';
import { startRedis } from './support/programs.ts';

const limit = 20;

interface Store {
  kind: 'redis' | 'postgres';
  /** For the gateways. */
  env: Record<string, string>;
  /** From now on it counts nothing. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

async function redisStore(): Promise<Store> {
  const redis = await startRedis();
  return {
    kind: 'redis',
    env: { REDIS_URL: redis.url },
    stop: () => redis.server.stop(),
    start: async () => void (await redis.server.start()),
    close: () => redis.close(),
  };
}

/** Only its windows fail: without the rest of the database no call runs at all, as test/durability/outages shows. */
async function postgresStore(database: TestDatabase): Promise<Store> {
  const sql = postgres(await superuserUrl(database), { max: 1, onnotice: () => undefined });
  return {
    kind: 'postgres',
    env: {},
    async stop() {
      await sql.unsafe('begin');
      await sql.unsafe('lock table rate_windows in access exclusive mode');
    },
    start: async () => void (await sql.unsafe('rollback')),
    close: () => sql.end({ timeout: 1 }),
  };
}

const stores = [
  { where: 'Redis', open: redisStore },
  { where: 'PostgreSQL', open: postgresStore },
].filter(({ where }) => where === 'PostgreSQL' || isInstalled('redis-server'));

describe.each(stores)('two gateways that count in $where', ({ open }) => {
  let database: TestDatabase;
  let upstream: RecordingUpstream;
  let store: Store;
  let replicas: Rig[] = [];
  beforeAll(async () => {
    database = await openTestDatabase('postgres');
    upstream = await startRecordingUpstream();
    store = await open(database);
    replicas = await startReplicas(database, 2, { ...store.env, VALET_RATE_LIMIT: String(limit) });
    const one = replicas[0] as Rig;
    await one.manage('POST', '/api/connectors', { connectorId: 'demo', kind: 'mcp-http', url: upstream.url });
    for (const username of ['alice', 'bob']) await one.manage('POST', '/users', { username });
  }, 120_000);
  afterAll(async () => {
    await store?.close();
    await Promise.all(replicas.map((rig) => rig.close()));
    replicas = [];
    await upstream?.close();
    await database?.close();
  });

  const call = (n: number, username: string): Promise<Answer> => {
    const rig = replicas[n % 2] as Rig;
    const body = { username, serverName: 'demo', methodName: 'count', args: { marker: `${username} ${n}` } };
    return rig.send('/mcp/tool/call', { key: rig.admin, body });
  };
  const health = () => replicas.map((rig) => rig.gateway.gateway.parts.limits.health());

  it('admit the calls of one user up to the limit, whoever is asked', async () => {
    let admitted = 0;
    for (let n = 0; n < limit * 2; n++) {
      const { status, headers } = await call(n, 'alice');
      expect([200, 429]).toContain(status);
      if (status === 200) admitted++;
      else expect(headers.get('ratelimit')).toMatch(/^"user";r=0;t=\d+$/);
    }
    // A question that took more than 50 ms on a busy machine was decided here, by this replica's share.
    const own = Math.max(...health().map(({ ownDecisions }) => ownDecisions));
    expect(admitted).toBeLessThanOrEqual(limit + own);
    expect(admitted).toBeGreaterThanOrEqual(limit - own);
    expect(health().map(({ store: kind }) => kind)).toEqual([store.kind, store.kind]);
  });

  it('go on with calls while it is gone, refuse management with 503, and are whole again when it is back', async () => {
    await store.stop();
    try {
      for (let n = 0; n < 8; n++) expect((await call(n, 'bob')).status).toBe(200);
      const rig = replicas[0] as Rig;
      const refused = await rig.send('/api/me', { key: rig.admin });
      expect([refused.status, refused.body.error?.code]).toEqual([503, 'UNAVAILABLE']);
      expect(refused.headers.get('retry-after')).toBe('1');
      expect(health().map(({ ok }) => ok)).toContain(false);
    } finally {
      await store.start();
    }
    for (const rig of replicas)
      await expect
        .poll(async () => (await rig.send('/api/me', { key: rig.admin })).status, { interval: 100 })
        .toBe(200);
    // What each admitted meanwhile counts at both, with its next question that the store answers in time.
    const failures = () => health().reduce((sum, one) => sum + one.failures, 0);
    let asked = 0;
    const leftAtFirst = async (): Promise<number> => {
      const before = failures();
      const { headers } = await call(asked++, 'bob');
      return failures() === before ? Number(headers.get('x-ratelimit-remaining')) + asked : Number.NaN;
    };
    await expect.poll(leftAtFirst, { interval: 100 }).toBeLessThanOrEqual(limit - 8);
  });
});

describe.runIf(isInstalled('redis-server'))('a gateway with a Redis', () => {
  it('sends nobody to it, whatever addresses are allowed', async () => {
    const redis = await startRedis();
    const rig = await startRig({ env: { REDIS_URL: redis.url, VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8' } });
    const admin = new Redis(redis.url);
    try {
      const url = redis.url.replace('redis:', 'http:');
      await rig.manage('POST', '/api/connectors', { connectorId: 'inside', kind: 'mcp-http', url });
      const connections = async () => /total_connections_received:(\d+)/.exec(await admin.info('stats'))?.[1];
      const before = await connections();
      const body = { serverName: 'inside', methodName: 'count', args: {} };
      for (let n = 0; n < 3; n++) expect((await rig.send('/mcp/tool/call', { key: rig.admin, body })).status).toBe(502);
      expect(await connections()).toBe(before);
    } finally {
      admin.disconnect();
      await rig.close();
      await redis.close();
    }
  });
});

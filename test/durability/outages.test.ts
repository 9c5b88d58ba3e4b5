// DUR-3: PostgreSQL or Redis hung, stopped or slow while requests of every plane keep coming. Every request ends within 10 s with the right code,
// nothing runs that the journal does not know, the gateway serves again within 5 s, and /healthz never notices.
// A fault lasts seconds; PROOF_LONG=1 makes it twenty.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type TestRedis } from '../replicas/support/programs.ts';
import { withReader } from '../security/support/dump.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { isInstalled } from '../support/packages.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { ChildGateway, sharedEnvironment } from './support/child-gateway.ts';
import { sender } from './support/load.ts';
import { type Seen, steadyLoad } from './support/steady-load.ts';

const isLong = process.env['PROOF_LONG'] === '1';
const faultMs = (short: number): number => (isLong ? 20_000 : short);

const hasRedis = isInstalled('redis-server');

let cluster: Cluster;
let database: TestDatabase;
let upstream: RecordingUpstream;
let proxy: TcpProxy;
let redis: TestRedis | undefined;
let redisProxy: TcpProxy | undefined;
let gateway: ChildGateway;
let key: string;
let postmaster: number | undefined;
const before = process.env['DATABASE_URL'];

const parentOf = (pid: number | string): number =>
  Number(/\nPPid:\t(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

/** The process that starts all others of the server: the cluster is this test's own. */
async function postmasterOf(adminUrl: string): Promise<number> {
  const sql = postgres(adminUrl, { max: 1 });
  try {
    const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
    return parentOf(row?.pid ?? 0);
  } finally {
    await sql.end();
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      return parentOf(name) === parent ? [Number(name)] : [];
    } catch {
      // Ended while we looked.
      return [];
    }
  });
}

function signalServer(name: 'SIGSTOP' | 'SIGCONT'): void {
  if (postmaster === undefined) return;
  // The parent first: it would start others meanwhile.
  for (const pid of [postmaster, ...childrenOf(postmaster)]) process.kill(pid, name);
}

beforeAll(async () => {
  cluster = await startCluster();
  process.env['DATABASE_URL'] = cluster.adminUrl;
  postmaster = await postmasterOf(cluster.adminUrl);
  [database, upstream] = [await openTestDatabase('postgres'), await startRecordingUpstream()];
  proxy = await TcpProxy.before(new URL(database.url));
  if (hasRedis) {
    redis = await startRedis();
    redisProxy = await TcpProxy.before(new URL(redis.url));
  }
  const env = sharedEnvironment(proxy.url);
  key = env['VALET_API_KEY'] as string;
  gateway = await new ChildGateway({
    ...env,
    LOG_LEVEL: 'info',
    ...(redisProxy && { REDIS_URL: redisProxy.url, VALET_RATE_LIMIT_STORE: 'redis' }),
  }).up();
  const send = sender(gateway.url, key);
  await send('POST', '/api/connectors', { connectorId: 'demo', kind: 'mcp-http', url: upstream.url });
  for (let tries = 0; tries < 50; tries++) {
    const reply = await send('POST', '/mcp/tool/call', {
      serverName: 'demo',
      methodName: 'count',
      args: { marker: 'w' },
    });
    if (reply?.status === 200) return;
    await sleep(100);
  }
  throw new Error(`no call succeeds: ${gateway.output.slice(-2_000)}`);
}, 180_000);

afterAll(async () => {
  signalServer('SIGCONT');
  await gateway?.kill();
  await Promise.all([proxy?.close(), redisProxy?.close(), upstream?.close(), redis?.close()]);
  await database?.close();
  await cluster?.stop();
  if (before === undefined) delete process.env['DATABASE_URL'];
  else process.env['DATABASE_URL'] = before;
});

interface FaultCase {
  what: 'PostgreSQL' | 'Redis';
  how: string;
  ms: number;
  begin(): void | Promise<void>;
  end(): void | Promise<void>;
}

const faults: FaultCase[] = [
  {
    what: 'PostgreSQL',
    how: 'hung',
    ms: faultMs(7_000),
    begin: () => signalServer('SIGSTOP'),
    end: () => signalServer('SIGCONT'),
  },
  {
    what: 'PostgreSQL',
    how: 'stopped',
    ms: faultMs(3_000),
    begin: () => proxy.refuse(),
    end: () => proxy.listenAgain(),
  },
  {
    what: 'PostgreSQL',
    how: 'slow',
    // Each failure takes a second or more to be known, and five open the breaker.
    ms: faultMs(7_000),
    begin: () => {
      proxy.fault = { kind: 'slow', delayMs: 700 };
    },
    end: () => {
      proxy.fault = { kind: 'none' };
    },
  },
];
const allRedisFaults: FaultCase[] = [
  {
    what: 'Redis',
    how: 'hung',
    ms: faultMs(3_000),
    begin: () => redis?.server.signal('SIGSTOP'),
    end: () => redis?.server.signal('SIGCONT'),
  },
  {
    what: 'Redis',
    how: 'stopped',
    ms: faultMs(3_000),
    begin: () => redisProxy?.refuse(),
    end: () => redisProxy?.listenAgain(),
  },
  {
    what: 'Redis',
    how: 'slow',
    ms: faultMs(3_000),
    begin: () => {
      if (redisProxy) redisProxy.fault = { kind: 'slow', delayMs: 300 };
    },
    end: () => {
      if (redisProxy) redisProxy.fault = { kind: 'none' };
    },
  },
];
/** Where Redis is missing the end of the run says so. */
const redisFaults = allRedisFaults.filter(() => hasRedis);
const wellAfterMs = 5_000;
const isCall = ({ kind }: Seen): boolean => kind === 'mcp' || kind === 'tool';
const isProbe = ({ kind }: Seen): boolean => kind === 'health' || kind === 'ready';
const isHealth = ({ kind }: Seen): boolean => kind === 'health';
const timesOf = (seen: Seen[]): number[] => seen.map(({ ms }) => ms);
const quantile = (values: number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? 0;

interface Run {
  all: Seen[];
  during: Seen[];
  /** Begun once the gateway had its time to recover. */
  after: Seen[];
}

async function run({ begin, end, ms }: FaultCase): Promise<Run> {
  let [from, until] = [0, 0];
  const all = await steadyLoad({ url: gateway.url, key }, async () => {
    await sleep(1_000);
    from = performance.now();
    await begin();
    await sleep(ms);
    await end();
    until = performance.now();
    await sleep(wellAfterMs + 1_500);
  });
  return {
    all,
    during: all.filter(({ startedAt }) => startedAt >= from && startedAt < until),
    after: all.filter(({ startedAt }) => startedAt >= until + wellAfterMs),
  };
}

/** Rows of the journal by request id, once no outcome is open any more. */
async function journal(markers: readonly string[]): Promise<Map<string, string | null>> {
  const wanted = new Set(markers);
  for (let tries = 0; ; tries++) {
    const rows = await withReader(database, undefined as never, (read) =>
      read('select request_id, outcome from calls'),
    );
    const own = rows.filter((row) => wanted.has(String(row['request_id'])));
    if (own.every((row) => row['outcome'] !== null) || tries > 50)
      return new Map(own.map((row) => [String(row['request_id']), row['outcome'] as string | null]));
    await sleep(100);
  }
}

function report(name: string, { all, during }: Run): void {
  const codes = new Map<string, number>();
  for (const { kind, status } of during) codes.set(`${kind} ${status}`, (codes.get(`${kind} ${status}`) ?? 0) + 1);
  const health = timesOf(all.filter(isHealth));
  const slowest = Math.max(...timesOf(all));
  process.stdout.write(
    `${name}: ${all.length} requests, slowest ${Math.round(slowest)} ms, /healthz p95 ${Math.round(quantile(health, 0.95))} ms max ${Math.round(Math.max(...health))} ms; ${JSON.stringify(Object.fromEntries([...codes].sort()))}\n`,
  );
}

/** What holds whatever fails. */
async function expectWell({ all, during, after }: Run): Promise<void> {
  const odd = all.filter(({ status, saysWhen }) => !(status === 200 || status === 201 || (status === 503 && saysWhen)));
  const shown = odd.slice(0, 10).map(({ kind, status, body }) => `${kind} ${status} ${body.slice(0, 200)}`);
  // A process that ended says why in its last lines.
  expect(shown, gateway.output.slice(-1_000)).toEqual([]);
  expect(all.filter(({ ms }) => ms > 10_000)).toEqual([]);
  expect(new Set(all.filter(isHealth).map(({ status }) => status))).toEqual(new Set([200]));
  // Beside other tests the typical one, and less than any fault would add to it.
  const [share, withinMs] = isLong ? [0.95, 100] : [0.5, 280];
  expect(quantile(timesOf(during.filter(isHealth)), share)).toBeLessThan(withinMs);
  // It asks the database for one second; a busy machine takes some of its own.
  expect(all.filter(({ kind, ms }) => kind === 'ready' && ms > (isLong ? 2_500 : 5_000))).toEqual([]);
  expect(after.length).toBeGreaterThan(5);
  expect(after.filter(({ status }) => status > 201)).toEqual([]);

  const calls = all.filter(isCall);
  const rows = await journal(calls.map(({ marker }) => marker));
  const counts = upstream.counts();
  for (const { marker, status } of calls) {
    const [ran, row] = [counts.get(marker) ?? 0, rows.get(marker)];
    // Nothing fails open: what reached the upstream is in the journal, and nothing reached it twice.
    if (ran > 0) expect([marker, ran, row !== undefined]).toEqual([marker, 1, true]);
    if (status === 200) expect([marker, ran, row]).toEqual([marker, 1, 'ok']);
  }
}

describe.each(faults)('a PostgreSQL that is $how', (fault) => {
  it(
    'ends every request within 10 s with a 503 that says when, runs nothing unrecorded, and is over within 5 s',
    async () => {
      const result = await run(fault);
      report(`${fault.what} ${fault.how}`, result);
      await expectWell(result);
      const refused = result.during.filter((seen) => seen.status === 503 && !isProbe(seen));
      expect(refused.length).toBeGreaterThan(0);
      // Readiness says it while the fault lasts.
      expect(result.during.some(({ kind, status }) => kind === 'ready' && status === 503)).toBe(true);
      // Once the breaker is open nothing waits: the last second of the fault has quick answers only. What waits does so for 700 ms or more.
      const last = result.during.filter((seen) => !isProbe(seen)).slice(-15);
      expect(quantile(timesOf(last), 0.5)).toBeLessThan(isLong ? 100 : 400);
    },
    faultMs(7_000) + 60_000,
  );
});

describe.each(redisFaults)('a Redis that is $how', (fault) => {
  it(
    'leaves calls to the windows of the replica, refuses management at the worst, and is over within 5 s',
    async () => {
      const result = await run(fault);
      report(`${fault.what} ${fault.how}`, result);
      await expectWell(result);
      expect(result.during.filter((seen) => isCall(seen) && seen.status !== 200)).toEqual([]);
    },
    faultMs(3_000) + 60_000,
  );
});

// Processor time of a call in the gateway, the database and Redis, by where limits are counted, and the throughput of one gateway and of two.
// All subjects run at once and are measured in turn. On few cores throughput is shared with the load and the upstream; time per call is not.
import { Redis } from 'ioredis';
import { startRedis } from '../replicas/support/programs.ts';
import { openEmptyPostgres } from '../support/database.ts';
import { isInstalled } from '../support/packages.ts';
import { type Observer, observe, treeCpuMicros } from './database-cost.ts';
import { connector, prepare, settings, toolCall } from './prepared.ts';
import { builtGateway, cpuMicros, rssMb, startGateway } from './processes.ts';
import { median, names, type Stage, table } from './sizing-stage.ts';

const connections = 64;
/** As many as connections, so that calls of one user do not wait for each other's rows. */
const users = names(64);

interface Subject {
  name: string;
  urls: string[];
  headers: Record<string, string>;
  gateways: number[];
  database: Observer | undefined;
  redis: number | undefined;
}
interface Sample {
  perSecond: number;
  p50: number;
  p99: number;
  gateway: number;
  database: number;
  redis: number;
  /** Of one gateway, at the end. */
  rssMb: number;
}

export async function measureCalls(stage: Stage): Promise<void> {
  const ends: (() => Promise<unknown>)[] = [];
  try {
    const subjects = await openSubjects(stage, ends);
    for (const subject of subjects) await stage.load.run(orderOf(subject, stage.warmUpSeconds));
    const samples = new Map(subjects.map((subject): [Subject, Sample[]] => [subject, []]));
    for (let round = 0; round < stage.rounds; round++)
      for (const [subject, list] of samples) list.push(await sample(stage, subject, stage.seconds));
    report(stage, samples);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function openSubjects(stage: Stage, ends: (() => Promise<unknown>)[]): Promise<Subject[]> {
  const subjects: Subject[] = [];
  const start = async (env: Record<string, string>) => {
    const gateway = await startGateway(builtGateway, env);
    ends.push(() => gateway.stop());
    return gateway;
  };
  const open = async (name: string, store: 'memory' | 'postgres' | 'redis' | 'embedded'): Promise<void> => {
    const isEmbedded = store === 'embedded';
    const database = isEmbedded ? undefined : await openEmptyPostgres();
    if (database !== undefined) ends.push(() => database.close());
    const redis = store === 'redis' ? await startRedis() : undefined;
    if (redis !== undefined) ends.push(() => redis.close());
    const { env, key } = settings(database?.url ?? 'pglite:memory', {
      VALET_RATE_LIMIT_STORE: isEmbedded ? 'memory' : store,
      ...(redis !== undefined && { REDIS_URL: redis.url }),
    });
    const first = await start(env);
    const path = await prepare(first.url, key, stage.upstreamUrl, { users });
    const observer = database && (await observe(database));
    if (observer !== undefined) ends.push(() => observer.close());
    const common = {
      headers: { authorization: `Bearer ${key}` },
      database: observer,
      redis: redis && (await redisPid(redis.url)),
    };
    subjects.push({ ...common, name, urls: [first.url + path], gateways: [first.pid] });
    if (redis === undefined) return;
    const second = await start(env);
    const urls = [first.url + path, second.url + path];
    subjects.push({
      ...common,
      name: 'two gateways, PostgreSQL, limits in Redis',
      urls,
      gateways: [first.pid, second.pid],
    });
  };
  await open('PostgreSQL, limits in memory', 'memory');
  await open('PostgreSQL, limits in PostgreSQL', 'postgres');
  if (isInstalled('redis-server')) await open('PostgreSQL, limits in Redis', 'redis');
  else stage.say('Redis is not installed: not measured.');
  await open('PGlite in memory, limits in memory', 'embedded');
  return subjects;
}

async function redisPid(url: string): Promise<number> {
  const redis = new Redis(url);
  try {
    return Number(/^process_id:(\d+)/m.exec(await redis.info('server'))?.[1]);
  } finally {
    redis.disconnect();
  }
}

const orderOf = ({ urls, headers }: Subject, seconds: number) => ({
  urls,
  headers,
  users,
  body: toolCall(`${connector}__echo`, { text: 'hello' }),
  connections,
  seconds,
});

async function sample(stage: Stage, subject: Subject, seconds: number): Promise<Sample> {
  const { name, gateways, database, redis } = subject;
  const used = () => ({
    gateway: gateways.reduce((sum, pid) => sum + cpuMicros(pid), 0),
    database: database === undefined ? 0 : treeCpuMicros(database.pid),
    redis: redis === undefined ? 0 : cpuMicros(redis),
  });
  const before = used();
  const { calls, errors, perSecond, p50, p99 } = await stage.load.run(orderOf(subject, seconds));
  const after = used();
  if (errors > 0) throw new Error(`${name}: ${errors} of ${calls + errors} calls failed`);
  const each = (part: keyof typeof after): number => (after[part] - before[part]) / calls;
  return {
    perSecond,
    p50,
    p99,
    gateway: each('gateway'),
    database: each('database'),
    redis: each('redis'),
    rssMb: rssMb(gateways[0] ?? 0),
  };
}

function report({ say, seconds, rounds }: Stage, samples: Map<Subject, Sample[]>): void {
  say(
    `${connections} connections, ${users.length} users, medians of ${rounds} rounds of ${seconds} s; microseconds of CPU per call\n`,
  );
  const rows = [...samples].map(([subject, list]) => {
    const of = (part: keyof Sample): number => median(list.map((one) => one[part]));
    const figure = (part: 'database' | 'redis'): string => (subject[part] === undefined ? '-' : of(part).toFixed(0));
    const figures = [of('gateway').toFixed(0), figure('database'), figure('redis'), (1e6 / of('gateway')).toFixed(0)];
    return [
      subject.name,
      ...figures,
      of('perSecond').toFixed(0),
      of('p50').toFixed(1),
      of('p99').toFixed(1),
      of('rssMb').toFixed(0),
    ];
  });
  say(
    table(
      [
        '',
        'gateway',
        'database',
        'Redis',
        'calls per gateway core-second',
        'calls/s here',
        'p50, ms',
        'p99, ms',
        'memory, MB',
      ],
      rows,
    ),
  );
}

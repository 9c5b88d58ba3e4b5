// `pnpm bench`: tools/call through the gateway with everything on, against a bare Fastify + undici forward of the same request to the same
// upstream. Interleaved in one run, medians of the rounds, printed as ratios: machines are noisy, absolute numbers are not worth quoting.
// BENCH_SECONDS, BENCH_ROUNDS, BENCH_WARM_UP: how long. BENCH_PROFILE: a folder for CPU profiles. BENCH_AGAINST: main.js of another build, measured
// in turn with this one. BENCH_ENGINES: `pglite,postgres` or one of them. A figure below the aim is printed and is no error.
import { startCluster } from '../support/cluster.ts';
import { openEmptyPostgres, type TestDatabase } from '../support/database.ts';
import { connector, prepare, settings, toolCall } from './prepared.ts';
import {
  builtGateway,
  type Child,
  cpuMicros,
  type LoadGenerator,
  startFile,
  startGateway,
  startLoad,
} from './processes.ts';

const seconds = Number(process.env.BENCH_SECONDS ?? 4);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const warmUpSeconds = Number(process.env.BENCH_WARM_UP ?? 10);
const engines = (process.env.BENCH_ENGINES ?? 'pglite,postgres').split(',');
const builds = [
  ['gateway', builtGateway],
  ...(process.env.BENCH_AGAINST === undefined ? [] : [['other', process.env.BENCH_AGAINST] as const]),
] as const;
/** At least this share of the proxy's throughput at 64 connections, and less than this much more time per call at one. */
const aim = { throughput: 0.5, addedMs: 1.5 };
const connectionCounts = [1, 64];

interface Subject {
  name: string;
  pid: number;
  url: string;
  headers: Record<string, string>;
  body: string;
}
interface Sample {
  perSecond: number;
  p50: number;
  p99: number;
  cpuPerCall: number;
}

async function measure(
  load: LoadGenerator,
  { name, pid, url, headers, body }: Subject,
  connections: number,
  duration: number,
): Promise<Sample> {
  const before = cpuMicros(pid);
  const { calls, errors, perSecond, p50, p99 } = await load.run({
    urls: [url],
    users: ['alice'],
    headers,
    body,
    connections,
    seconds: duration,
  });
  const cpu = cpuMicros(pid) - before;
  if (errors > 0) throw new Error(`${name}: ${errors} of ${calls + errors} calls failed`);
  return { perSecond, p50, p99, cpuPerCall: cpu / calls };
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const medianOf = (samples: Sample[]): Sample => ({
  perSecond: median(samples.map((s) => s.perSecond)),
  p50: median(samples.map((s) => s.p50)),
  p99: median(samples.map((s) => s.p99)),
  cpuPerCall: median(samples.map((s) => s.cpuPerCall)),
});

/** A gateway with one connector, one restricted direct-mode server, one user with a secret: everything that a real call passes. */
async function gatewaySubject(
  name: string,
  main: string,
  databaseUrl: string,
  upstreamUrl: string,
): Promise<{ subject: Subject; child: Child }> {
  const { env, key } = settings(databaseUrl);
  const gateway = await startGateway(main, env);
  const path = await prepare(gateway.url, key, upstreamUrl, { users: ['alice'] });
  const subject = {
    name,
    pid: gateway.pid,
    url: gateway.url + path,
    headers: { authorization: `Bearer ${key}` },
    body: toolCall(`${connector}__echo`, { text: 'hello' }),
  };
  return { subject, child: gateway };
}

function report(connections: number, results: Map<string, Sample>): void {
  const base = results.get('proxy');
  if (base === undefined) throw new Error('the proxy was measured');
  process.stdout.write(
    `\n${connections} connection${connections === 1 ? '' : 's'} (${rounds} rounds of ${seconds} s, medians)\n`,
  );
  process.stdout.write(
    'subject             req/s   x proxy   p50 ms   +p50 ms   p99 ms   x proxy   CPU us/call   x proxy\n',
  );
  for (const [name, s] of results) {
    const row = [
      name.padEnd(18),
      s.perSecond.toFixed(0).padStart(7),
      (s.perSecond / base.perSecond).toFixed(2).padStart(9),
      s.p50.toFixed(2).padStart(8),
      (s.p50 - base.p50).toFixed(2).padStart(9),
      s.p99.toFixed(1).padStart(8),
      (s.p99 / base.p99).toFixed(2).padStart(9),
      s.cpuPerCall.toFixed(0).padStart(13),
      (s.cpuPerCall / base.cpuPerCall).toFixed(2).padStart(9),
    ];
    process.stdout.write(`${row.join(' ')}\n`);
  }
  for (const [name, s] of results) if (s !== base) process.stdout.write(`${verdict(name, connections, s, base)}\n`);
}

function verdict(name: string, connections: number, sample: Sample, base: Sample): string {
  const isLone = connections === 1;
  const figure = isLone ? sample.p50 - base.p50 : sample.perSecond / base.perSecond;
  const isMet = isLone ? figure < aim.addedMs : figure >= aim.throughput;
  const wanted = isLone ? `added p50 below ${aim.addedMs} ms` : `at least ${aim.throughput} x the proxy's throughput`;
  return `${isMet ? 'met    ' : 'not met'} ${name}: ${wanted} (${figure.toFixed(2)})`;
}

const children: { stop(): Promise<void> }[] = [];
try {
  const load = await startLoad();
  children.push(load);
  const upstream = await startFile<{ url: string }>('./upstream.ts');
  children.push(upstream);
  const proxy = await startFile<{ port: number }>('./proxy.ts', [upstream.message.url]);
  children.push(proxy);
  const body = toolCall('echo', { text: 'hello' });
  const subjects: Subject[] = [
    { name: 'proxy', pid: proxy.pid, url: `http://127.0.0.1:${proxy.message.port}/mcp`, headers: {}, body },
  ];
  if (engines.includes('postgres') && process.env.DATABASE_URL === undefined) {
    const cluster = await startCluster();
    children.push(cluster);
    process.env.DATABASE_URL = cluster.adminUrl;
  }
  for (const [build, main] of builds) {
    for (const engine of engines) {
      const database: Pick<TestDatabase, 'url' | 'close'> =
        engine === 'pglite' ? { url: 'pglite:memory', close: async () => undefined } : await openEmptyPostgres();
      children.push({ stop: () => database.close() });
      const { subject, child } = await gatewaySubject(`${build}, ${engine}`, main, database.url, upstream.message.url);
      children.push(child);
      subjects.push(subject);
    }
  }
  // Until the code is compiled: a gateway that has answered a thousand calls is still interpreted.
  for (const subject of subjects) {
    const { cpuPerCall } = await measure(load, subject, 64, warmUpSeconds);
    process.stdout.write(`${subject.name} while warming up: ${cpuPerCall.toFixed(0)} us CPU per call\n`);
  }
  for (const connections of connectionCounts) {
    const samples = new Map<string, Sample[]>(subjects.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const subject of subjects)
        samples.get(subject.name)?.push(await measure(load, subject, connections, seconds));
    }
    report(connections, new Map([...samples].map(([name, list]) => [name, medianOf(list)])));
  }
} finally {
  for (const child of children.reverse()) await child.stop();
}

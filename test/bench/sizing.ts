// `pnpm bench:sizing`: the figures that docs/sizing.md calculates with. What a call costs in processor time, by where limits are counted; what an
// open session and a local server take of memory; what calls and users add to the database. Loopback, bounded, ends by itself. Needs a build.
// BENCH_PARTS: some of `calls,database,sessions,children`. BENCH_SECONDS, BENCH_ROUNDS, BENCH_WARM_UP: how long calls are measured.
import { availableParallelism, loadavg } from 'node:os';
import { startCluster } from '../support/cluster.ts';
import { type Child, startFile, startLoad } from './processes.ts';
import { measureCalls } from './sizing-calls.ts';
import { measureChildren } from './sizing-children.ts';
import { measureDatabase } from './sizing-database.ts';
import { measureSessions } from './sizing-sessions.ts';
import type { Stage } from './sizing-stage.ts';

const measurements = {
  calls: measureCalls,
  database: measureDatabase,
  sessions: measureSessions,
  children: measureChildren,
} as const;
const parts = (process.env.BENCH_PARTS ?? Object.keys(measurements).join(',')).split(',');

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const busy = (): string => loadavg()[0]?.toFixed(1) ?? '';

const ends: Pick<Child, 'stop'>[] = [];
try {
  if (process.env.DATABASE_URL === undefined) {
    const cluster = await startCluster();
    ends.push(cluster);
    process.env.DATABASE_URL = cluster.adminUrl;
  }
  const load = await startLoad();
  ends.push(load);
  const upstream = await startFile<{ url: string }>('./upstream.ts');
  ends.push(upstream);
  const stage: Stage = {
    load,
    upstreamUrl: upstream.message.url,
    seconds: Number(process.env.BENCH_SECONDS ?? 4),
    rounds: Number(process.env.BENCH_ROUNDS ?? 3),
    warmUpSeconds: Number(process.env.BENCH_WARM_UP ?? 10),
    say,
  };
  say(`${availableParallelism()} cores for all processes, Node ${process.versions.node}`);
  for (const [name, measure] of Object.entries(measurements)) {
    if (!parts.includes(name)) continue;
    say(`\n## ${name} (load average before: ${busy()})\n`);
    await measure(stage);
  }
} finally {
  for (const end of ends.reverse()) await end.stop();
}

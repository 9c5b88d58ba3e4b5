// `pnpm bench:users`: what users cost who do nothing. A gateway with one user and the same one with BENCH_USERS users of three sealed secrets each
// (default 100,000), on both engines: time to start, resident memory, latency of a call, in one run. BENCH_ENGINES as for `pnpm bench`.
// Needs a build. Memory of an engine that runs inside the gateway holds its database, so PGlite's figure is told beside the size of its data.
// In the end calls are made as some of the filled users, and their upstream must receive their own secrets: what was filled can be used.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import postgres from 'postgres';
import { startCluster } from '../support/cluster.ts';
import { openEmptyPostgres } from '../support/database.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { type FilledUser, fillUsers } from './fill-users.ts';
import { connector, prepare, type Settings, settings, toolCall } from './prepared.ts';
import { builtGateway, type LoadGenerator, rssMb, startFile, startGateway, startLoad } from './processes.ts';

const userCount = Number(process.env.BENCH_USERS ?? 100_000);
const seconds = Number(process.env.BENCH_SECONDS ?? 4);
const engines = (process.env.BENCH_ENGINES ?? 'postgres,pglite').split(',');
const secretNames = ['TOKEN', 'SECOND', 'THIRD'];
const settleMs = 3_000;
const usersThatCall = 20;

interface Figures {
  startMs: number;
  rssMb: number;
  p50: number;
  p99: number;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function measure(load: LoadGenerator, { env, key }: Settings, path: string): Promise<Figures> {
  const startedAt = performance.now();
  const gateway = await startGateway(builtGateway, env);
  const startMs = performance.now() - startedAt;
  try {
    const order = {
      urls: [gateway.url + path],
      users: ['alice'],
      headers: { authorization: `Bearer ${key}` },
      body: toolCall(`${connector}__echo`, { text: 'hello' }),
      connections: 1,
    };
    await load.run({ ...order, seconds: 2 });
    const { p50, p99, errors } = await load.run({ ...order, seconds });
    if (errors > 0) throw new Error(`${errors} calls failed`);
    await sleep(settleMs);
    return { startMs, rssMb: rssMb(gateway.pid), p50, p99 };
  } finally {
    await gateway.stop();
  }
}

/** Calls as each of them, against an upstream that keeps what it is sent. Throws where another secret arrives, or none. */
async function proveSecrets({ env, key }: Settings, path: string, port: number, callers: FilledUser[]): Promise<void> {
  const upstream = await startRecordingUpstream({ record: true, port });
  const gateway = await startGateway(builtGateway, env);
  try {
    for (const { username, secret } of callers) {
      const response = await fetch(gateway.url + path, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${key}`,
          'x-alloy-userid': username,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: toolCall(`${connector}__echo`, { text: username }),
      });
      const answer = await response.text();
      const arrived = upstream.recorded.filter(({ body }) => String(body).includes(`"${username}"`));
      const wanted = `Bearer ${secret}`;
      if (!response.ok || arrived.length === 0 || arrived.some(({ headers }) => headers.authorization !== wanted))
        throw new Error(`${username}'s secret did not arrive: ${response.status} ${answer}`);
    }
  } finally {
    await gateway.stop();
    await upstream.close();
  }
}

const folders: string[] = [];
const directoryMb = (folder: string): number =>
  Number(execFileSync('du', ['-sm', folder], { encoding: 'utf8' }).split('\t')[0]);
async function databaseMb(url: string): Promise<number> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    const [row] = await sql<{ bytes: string }[]>`select pg_database_size(current_database()) as bytes`;
    return Number(row?.bytes) / 1024 ** 2;
  } finally {
    await sql.end();
  }
}

/** What autovacuum would do beside the calls in the minutes after so many rows came at once. */
async function vacuum(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    await sql`vacuum (analyze)`;
  } finally {
    await sql.end();
  }
}

interface Engine {
  url: string;
  sizeMb(): Promise<number>;
  settle(): Promise<void>;
  close(): Promise<void>;
}

async function openEngine(engine: string): Promise<Engine> {
  if (engine !== 'pglite') {
    const { url, close } = await openEmptyPostgres();
    return { url, sizeMb: () => databaseMb(url), settle: () => vacuum(url), close };
  }
  const folder = mkdtempSync(join(tmpdir(), 'valet-users-'));
  folders.push(folder);
  const data = join(folder, 'data');
  return {
    url: `pglite:${data}`,
    sizeMb: async () => directoryMb(data),
    settle: async () => undefined,
    close: async () => undefined,
  };
}

function report(empty: Figures, full: Figures): void {
  const row = (name: string, figures: number[], digits: number[]): void => {
    const widths = [11, 13, 15, 15];
    const cells = figures.map((figure, i) => figure.toFixed(digits[i]).padStart(widths[i] ?? 0));
    say(name.padEnd(14) + cells.join(''));
  };
  const list = (f: Figures): number[] => [f.startMs, f.rssMb, f.p50, f.p99];
  say('                 start ms    memory MB    call p50 ms    call p99 ms');
  row('one user', list(empty), [0, 0, 2, 2]);
  row('all of them', list(full), [0, 0, 2, 2]);
  row(
    'ratio',
    list(full).map((figure, i) => figure / (list(empty)[i] ?? Number.NaN)),
    [2, 2, 2, 2],
  );
}

const cleanUp: (() => Promise<unknown>)[] = [];
try {
  const load = await startLoad();
  cleanUp.push(() => load.stop());
  if (engines.includes('postgres') && process.env.DATABASE_URL === undefined) {
    const cluster = await startCluster();
    cleanUp.push(() => cluster.stop());
    process.env.DATABASE_URL = cluster.adminUrl;
  }
  for (const engine of engines) {
    const upstream = await startFile<{ url: string }>('./upstream.ts');
    cleanUp.push(() => upstream.stop());
    const database = await openEngine(engine);
    cleanUp.push(() => database.close());
    const given = settings(database.url);
    const first = await startGateway(builtGateway, given.env);
    const path = await prepare(first.url, given.key, upstream.message.url, { users: ['alice'], secretNames }).finally(
      () => first.stop(),
    );
    const empty = await measure(load, given, path);
    const before = await database.sizeMb();
    const { masterKey } = given;
    const fill = { databaseUrl: database.url, masterKey, count: userCount, secretNames, samples: usersThatCall };
    const filled = await fillUsers(fill);
    const grown = (await database.sizeMb()) - before;
    say(
      `\n${engine}: ${userCount} users with ${secretNames.length} secrets each, written in ${filled.seconds.toFixed(0)} s (slowest transaction ${filled.slowestTransactionMs.toFixed(0)} ms)`,
    );
    say(
      `the database grew by ${grown.toFixed(0)} MB from ${before.toFixed(0)}: ${((grown * 1024) / userCount).toFixed(2)} kB each`,
    );
    await database.settle();
    report(empty, await measure(load, given, path));
    await upstream.stop();
    await proveSecrets(given, path, Number(new URL(upstream.message.url).port), filled.samples);
    say(`${filled.samples.length} of them called, and each one's own secret arrived`);
  }
} finally {
  for (const end of cleanUp.reverse()) await end();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

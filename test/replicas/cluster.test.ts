// Three gateway processes on one PostgreSQL and one Redis behind nginx, the shipped configuration: a mixed load while one is killed and one is restarted.
// 42 seconds in `npm test`, with figures that two cores hold which also run other tests; ten minutes with PROOF_LONG=1, a kill and a restart each
// minute, and the exact figures.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { MCPClient } from '@mcp-valet/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChildGateway, sharedEnvironment } from '../durability/support/child-gateway.ts';
import { parseExposition, total } from '../observability/exposition.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { reach } from '../support/gateway.ts';
import { isInstalled } from '../support/packages.ts';
import { freePort } from '../support/ports.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { type Ledger, prepare, startLoad } from './support/cluster-load.ts';
import { startNginx } from './support/nginx.ts';
import { startRedis, type TestRedis } from './support/programs.ts';
import { isLong } from './support/stores.ts';

const limit = 100;
/** Of the limit, what a user who asks for more gets at least, and what a call takes at most once a replica is missing for five seconds. */
const [leastShare, recoveredMs] = isLong ? [0.95, 1_000] : [0.85, 5_000];
/** A busy machine takes seconds for a call now and then; one that died with its gateway is unknown for as long. */
const callTimeoutMs = isLong ? 3_000 : 8_000;
const rounds = isLong ? 10 : 1;
const roundMs = isLong ? 60_000 : 42_000;
const metricsToken = randomBytes(24).toString('hex');
const where = isInstalled('redis-server') ? 'Redis' : 'PostgreSQL';

let database: TestDatabase;
let upstream: RecordingUpstream;
let redis: TestRedis | undefined;
let nginx: { url: string; close(): Promise<void> };
let env: Record<string, string>;
let ports: number[];
let replicas: ChildGateway[] = [];
/** What a replica decided by its share of a limit, because the store had not answered it within 50 ms. */
async function decidedAlone(replica: ChildGateway | undefined): Promise<number> {
  const { text } = await reach(replica?.url ?? '').send('/metrics', { key: metricsToken });
  return total(parseExposition(text), 'valet_limiter_own_decisions_total');
}
const start = (at: number) => new ChildGateway({ ...env, PORT: String(ports[at]) }).up();

beforeAll(async () => {
  if (!isInstalled('nginx')) return;
  database = await openTestDatabase('postgres');
  upstream = await startRecordingUpstream();
  redis = where === 'Redis' ? await startRedis() : undefined;
  env = {
    ...sharedEnvironment(database.url),
    LOG_LEVEL: 'warn',
    VALET_RATE_LIMIT: String(limit),
    VALET_TRUST_PROXY: '127.0.0.1',
    VALET_METRICS_TOKEN: metricsToken,
    // The lease of a call that died with its gateway ends soon after.
    VALET_CALL_TIMEOUT_MS: String(callTimeoutMs),
    ...(redis && { REDIS_URL: redis.url }),
  };
  ports = [await freePort(), await freePort(), await freePort()];
  for (const at of ports.keys()) replicas.push(await start(at));
  nginx = await startNginx(ports);
}, 120_000);
afterAll(async () => {
  await nginx?.close();
  await Promise.all(replicas.map((replica) => replica.kill()));
  replicas = [];
  await redis?.close();
  await upstream?.close();
  await database?.close();
});

const p99 = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.ceil(values.length * 0.99) - 1] ?? 0;
const msBetween = ({ calls }: Ledger, from: number, to: number) =>
  calls.filter(({ at }) => at >= from && at < to).map(({ ms }) => ms);

/** The long form is run for its numbers. */
const report = (line: string): void => void (isLong && process.stderr.write(`replicas: ${line}\n`));

describe.runIf(isInstalled('nginx'))(`three replicas behind nginx, with limits in ${where}`, () => {
  let ledger: Ledger;
  const kills: number[] = [];
  let alone = 0;
  let client: MCPClient;

  it(
    'lose no acknowledged write and run nothing twice while one is killed and one restarted',
    async () => {
      client = new MCPClient({ baseUrl: nginx.url, apiKey: env['VALET_API_KEY'] as string, logLevel: 'off' });
      await prepare(client, upstream.url);
      const begin = performance.now();
      const seconds = () => (performance.now() - begin) / 1_000;
      const load = startLoad(nginx.url, env['VALET_API_KEY'] as string);
      ledger = load.ledger;
      for (let round = 0; round < rounds; round++) {
        const end = performance.now() + roundMs;
        await sleep(8_000);
        const [killed, restarted] = [round % 3, (round + 1) % 3];
        alone += await decidedAlone(replicas[killed]);
        await replicas[killed]?.kill();
        kills.push(seconds());
        // Until the measured seconds are over: a start takes a core for some of them.
        await sleep(10_500);
        replicas[killed] = await start(killed);
        await sleep(3_000);
        alone += await decidedAlone(replicas[restarted]);
        replicas[restarted]?.signal('SIGTERM');
        expect((await replicas[restarted]?.exited)?.code).toBe(0);
        replicas[restarted] = await start(restarted);
        await sleep(Math.max(0, end - performance.now()));
      }
      await load.stop();
      for (const replica of replicas) alone += await decidedAlone(replica);
      const counts = upstream.counts();
      const ended = (how: string) => ledger.calls.filter(({ end }) => end === how).length;
      report(
        `${ended('ok')} calls ok, ${ended('unknown')} unknown, ${ended('failed')} failed, ${ledger.users.length} users made`,
      );
      const times = (marker: string) => counts.get(marker) ?? 0;
      expect(ledger.calls.length).toBeGreaterThan((rounds * roundMs) / 120);
      expect([...counts].filter(([, count]) => count > 1)).toEqual([]);
      expect(ledger.calls.filter(({ end, marker }) => end === 'ok' && times(marker) !== 1)).toEqual([]);
      expect(ledger.greedy.filter(({ status, marker }) => status === 200 && times(marker) !== 1)).toEqual([]);
      for (const username of ledger.users) expect((await client.users.get(username)).username).toBe(username);
      // What was running in the killed process: nobody knows, and that is said. Nothing else fails, the restart loses nothing.
      expect(ledger.calls.filter(({ end }) => end === 'failed')).toEqual([]);
      const unknown = ledger.calls.filter(({ end }) => end === 'unknown');
      expect(
        unknown.filter(({ at }) => !kills.some((kill) => at > kill - callTimeoutMs / 1_000 && at < kill + 1)),
      ).toEqual([]);
      expect(ledger.failed).toEqual([]);
      expect(ledger.users.length).toBeGreaterThan(rounds * 20);
    },
    rounds * roundMs + 120_000,
  );

  it('admit of one user who asks for three times the limit about the limit, and never 5 % more', () => {
    const admitted = ledger.greedy.filter(({ status }) => status === 200).map(({ at }) => at);
    const most = admitted.map((from) => admitted.filter((at) => at >= from && at <= from + 60).length);
    report(
      `the greedy user got ${admitted.length} calls, at most ${Math.max(...most)} in 60 s, asked ${ledger.greedy.length} times`,
    );
    // On a busy machine the store is late now and then; what it was not asked about is known, and the long form allows none of it.
    expect(Math.max(...most)).toBeLessThanOrEqual(limit * 1.05 + (isLong ? 0 : alone));
    // A permit is spent whose call died with its gateway, or ended without an answer that says so.
    const spent = isLong ? 0 : ledger.greedy.filter(({ status }) => status !== 200 && status !== 429).length;
    const least = leastShare * limit * Math.max(1, (rounds * roundMs) / 60_000);
    expect([admitted.length + spent >= least, admitted.length >= least / 2, admitted.length, spent]).toEqual([
      true,
      true,
      expect.any(Number),
      expect.any(Number),
    ]);
    expect(ledger.greedy.filter(({ status }) => status === 429).length).toBeGreaterThan(limit / 2);
  });

  it('answer in time again five seconds after a kill', () => {
    for (const kill of kills) {
      const [before, after] = [p99(msBetween(ledger, kill - 7, kill - 1)), p99(msBetween(ledger, kill + 5, kill + 10))];
      const around = p99(msBetween(ledger, kill - 1, kill + 5));
      report(
        `p99 ${before.toFixed(0)} ms before the kill, ${around.toFixed(0)} ms around it, ${after.toFixed(0)} ms from 5 s after`,
      );
      // On a machine that was slower than that before the kill, as slow as it was.
      expect(after).toBeLessThan(isLong ? recoveredMs : Math.max(recoveredMs, 2 * before));
    }
  });
});

// What calls and users add to PostgreSQL, indexes and signed checkpoints included, dead row versions excluded as autovacuum would have it.
// The first calls pay for empty pages, so growth is counted from a database that has calls already.
import { setTimeout as sleep } from 'node:timers/promises';
import { openEmptyPostgres } from '../support/database.ts';
import { type Observer, observe } from './database-cost.ts';
import { fillUsers } from './fill-users.ts';
import { connector, prepare, settings, toolCall } from './prepared.ts';
import { builtGateway, startGateway } from './processes.ts';
import { names, type Stage, table } from './sizing-stage.ts';

const userCount = 5_000;
const secretNames = ['TOKEN', 'SECOND', 'THIRD'];
const users = names(64);
const chunks = 3;
const longestSealingMs = 60_000;

export async function measureDatabase(stage: Stage): Promise<void> {
  const database = await openEmptyPostgres();
  const observer = await observe(database);
  try {
    const { env, key, masterKey } = settings(database.url, { VALET_RATE_LIMIT_STORE: 'postgres' });
    const gateway = await startGateway(builtGateway, env);
    try {
      const path = await prepare(gateway.url, key, stage.upstreamUrl, { users, secretNames });
      const order = {
        urls: [gateway.url + path],
        users,
        headers: { authorization: `Bearer ${key}` },
        body: toolCall(`${connector}__echo`, { text: 'hello' }),
        connections: 64,
        seconds: stage.seconds,
      };
      for (const isKeyed of [false, true]) {
        await stage.load.run({ ...order, isKeyed });
        const before = await settled(observer);
        let calls = 0;
        for (let chunk = 0; chunk < chunks; chunk++) {
          calls += (await stage.load.run({ ...order, isKeyed })).calls;
          await settled(observer);
        }
        const what = `${calls} calls ${isKeyed ? 'with' : 'without'} idempotency keys`;
        report(stage, what, before, await observer.tableBytes(), calls);
      }
    } finally {
      await gateway.stop();
    }
    const before = await observer.tableBytes();
    await fillUsers({ databaseUrl: database.url, masterKey, count: userCount, secretNames });
    report(
      stage,
      `${userCount} users of ${secretNames.length} secrets`,
      before,
      await observer.tableBytes(),
      userCount,
    );
  } finally {
    await observer.close();
    await database.close();
  }
}

/** Sizes once the trail is sealed: no checkpoint with rows has come for some looks. */
async function settled(observer: Observer): Promise<Map<string, number>> {
  const end = performance.now() + longestSealingMs;
  let seen = -1;
  for (let same = 0; same < 3 && performance.now() < end; ) {
    const count = await observer.rowCount('checkpoints');
    same = count === seen ? same + 1 : 0;
    seen = count;
    await sleep(1_500);
  }
  return observer.tableBytes();
}

function report(
  { say }: Stage,
  what: string,
  before: Map<string, number>,
  after: Map<string, number>,
  count: number,
): void {
  const grown = [...after]
    .map(([name, bytes]): [string, number] => [name, bytes - (before.get(name) ?? 0)])
    .filter(([, bytes]) => bytes > 0)
    .sort(([, a], [, b]) => b - a);
  const sum = grown.reduce((total, [, bytes]) => total + bytes, 0);
  const row = (name: string, bytes: number): string[] => [name, (bytes / 1024).toFixed(0), (bytes / count).toFixed(0)];
  say(`${table([what, 'kB', 'bytes each'], [...grown.map(([name, bytes]) => row(name, bytes)), row('all', sum)])}\n`);
}

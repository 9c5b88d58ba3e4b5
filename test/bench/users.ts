// `pnpm bench:users`: what users cost who do nothing. A gateway on an empty database and one on BENCH_USERS users with three sealed secrets each
// (default 100,000), on both engines: time to start, resident memory, latency of a call, in one run. BENCH_ENGINES as for `pnpm bench`.
// Needs a build. Memory of an engine that runs inside the gateway holds its database, so PGlite's figure is told beside the size of its data.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Vault } from '../../packages/server/src/credentials/vault.ts';
import { openKeyring } from '../../packages/server/src/crypto/keyring.ts';
import { masterKeySource } from '../../packages/server/src/crypto/master-key.ts';
import { openDatabase } from '../../packages/server/src/db/client.ts';
import { keyringStore } from '../../packages/server/src/db/keyring-store.ts';
import { credentials, secrets, users } from '../../packages/server/src/db/schema.ts';
import { accountScope, withScope } from '../../packages/server/src/db/scope.ts';
import { newId } from '../../packages/server/src/ids.ts';
import { startCluster } from '../support/cluster.ts';
import { openEmptyPostgres } from '../support/database.ts';
import { builtGateway, type LoadGenerator, startFile, startGateway, startLoad } from './processes.ts';

const userCount = Number(process.env.BENCH_USERS ?? 100_000);
const seconds = Number(process.env.BENCH_SECONDS ?? 4);
const engines = (process.env.BENCH_ENGINES ?? 'postgres,pglite').split(',');
const connector = 'bench';
const secretNames = ['TOKEN', 'SECOND', 'THIRD'];
/** Below the two seconds after which a transaction counts as slow. */
const usersPerTransaction = 40;
const settleMs = 3_000;

interface Figures {
  startMs: number;
  rssMb: number;
  p50: number;
  p99: number;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const rssMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024;

async function post(url: string, key: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

async function measure(load: LoadGenerator, env: Record<string, string>, key: string): Promise<Figures> {
  const startedAt = performance.now();
  const gateway = await startGateway(builtGateway, env);
  const startMs = performance.now() - startedAt;
  try {
    const order = {
      url: `${gateway.url}/mcp`,
      headers: { authorization: `Bearer ${key}`, 'x-alloy-userid': 'alice' },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: `${connector}__echo`, arguments: { text: 'hello' } },
      }),
      connections: 1,
    };
    await load.run({ ...order, seconds: 2 });
    const { p50, p99, errors } = await load.run({ ...order, seconds });
    if (errors > 0) throw new Error(`${errors} calls failed`);
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    return { startMs, rssMb: rssMb(gateway.pid), p50, p99 };
  } finally {
    await gateway.stop();
  }
}

/** Users as their routes would have made them, many to a transaction. Every secret is really sealed, under a data key of its user. */
async function fill(databaseUrl: string, masterKey: string): Promise<void> {
  const db = await openDatabase({ url: databaseUrl });
  try {
    const { provider } = masterKeySource({ key: masterKey });
    const keyring = await openKeyring({ store: keyringStore(db), newInstallationId: () => newId('inst'), provider });
    const vault = new Vault({ keyring, now: () => performance.now() });
    const [account] = await withScope(db, { account: '*', user: '*' }, (tx) =>
      tx.query.accounts.findMany({ columns: { id: true } }),
    );
    if (account === undefined) throw new Error('the gateway has made no account');
    for (let done = 0; done < userCount; done += usersPerTransaction) {
      const rows = Array.from({ length: Math.min(usersPerTransaction, userCount - done) }, (_, i) => ({
        user: newId('usr'),
        credential: newId('cred'),
        username: `user-${done + i}`,
      }));
      await withScope(db, accountScope(account.id), async (tx) => {
        await tx
          .insert(users)
          .values(rows.map((row) => ({ id: row.user, accountId: account.id, username: row.username })));
        await tx.insert(credentials).values(
          rows.map((row) => ({
            id: row.credential,
            accountId: account.id,
            userId: row.user,
            connectorId: connector,
            type: 'secrets' as const,
            status: 'valid' as const,
            isDefault: true,
          })),
        );
        const sealed: (typeof secrets.$inferInsert)[] = [];
        for (const row of rows) {
          for (const name of secretNames) {
            const place = { account: account.id, user: row.user, connector, credential: row.credential };
            const value = await vault.seal(tx, { ...place, name, version: 1 }, randomBytes(24).toString('hex'));
            sealed.push({
              accountId: account.id,
              userId: row.user,
              credentialId: row.credential,
              name,
              version: 1,
              ...value,
            });
          }
        }
        await tx.insert(secrets).values(sealed);
      });
      if (process.stdout.isTTY && (done / usersPerTransaction) % 20 === 0) process.stdout.write(`\r${done} users`);
    }
  } finally {
    await db.close();
  }
}

const cleanUp: (() => Promise<unknown>)[] = [];
try {
  const load = await startLoad();
  cleanUp.push(() => load.stop());
  const upstream = await startFile<{ url: string }>('./upstream.ts');
  cleanUp.push(() => upstream.stop());
  if (engines.includes('postgres') && process.env.DATABASE_URL === undefined) {
    const cluster = await startCluster();
    cleanUp.push(() => cluster.stop());
    process.env.DATABASE_URL = cluster.adminUrl;
  }
  for (const engine of engines) {
    const folder = mkdtempSync(join(tmpdir(), 'valet-users-'));
    cleanUp.push(async () => rmSync(folder, { recursive: true, force: true }));
    const database =
      engine === 'pglite'
        ? { url: `pglite:${join(folder, 'data')}`, close: async () => undefined }
        : await openEmptyPostgres();
    cleanUp.push(() => database.close());
    const key = randomBytes(24).toString('hex');
    const masterKey = randomBytes(32).toString('base64');
    const env = {
      DATABASE_URL: database.url,
      PORT: '0',
      LOG_LEVEL: 'warn',
      VALET_API_KEY: key,
      VALET_MASTER_KEY: masterKey,
      VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8',
      VALET_RATE_LIMIT: '1000000',
      VALET_CONCURRENT_CALLS: '1000',
    };
    const first = await startGateway(builtGateway, env);
    await post(first.url, key, '/users', { username: 'alice' });
    await post(first.url, key, '/api/connectors', {
      connectorId: connector,
      kind: 'mcp-http',
      url: upstream.message.url,
      secretNames,
      inject: { headers: { authorization: 'Bearer {{TOKEN}}' } },
    });
    for (const secretName of secretNames)
      await post(first.url, key, '/secrets/set', {
        username: 'alice',
        serverName: connector,
        secretName,
        secretValue: randomBytes(24).toString('hex'),
      });
    await first.stop();
    const empty = await measure(load, env, key);
    const filledAt = performance.now();
    await fill(database.url, masterKey);
    say(
      `\n${engine}: ${userCount} users with ${secretNames.length} secrets each, written in ${((performance.now() - filledAt) / 1000).toFixed(0)} s`,
    );
    if (engine === 'pglite')
      say(
        `data directory: ${execFileSync('du', ['-sm', join(folder, 'data')], { encoding: 'utf8' }).split('\t')[0]} MB`,
      );
    const full = await measure(load, env, key);
    say('                 start ms    memory MB    call p50 ms    call p99 ms');
    for (const [name, f] of [
      ['one user', empty],
      ['all of them', full],
    ] as const)
      say(
        `${name.padEnd(14)} ${f.startMs.toFixed(0).padStart(10)} ${f.rssMb.toFixed(0).padStart(12)} ${f.p50.toFixed(2).padStart(14)} ${f.p99.toFixed(2).padStart(14)}`,
      );
    say(
      `${'ratio'.padEnd(14)} ${(full.startMs / empty.startMs).toFixed(2).padStart(10)} ${(full.rssMb / empty.rssMb).toFixed(2).padStart(12)} ${(full.p50 / empty.p50).toFixed(2).padStart(14)} ${(full.p99 / empty.p99).toFixed(2).padStart(14)}`,
    );
  }
} finally {
  for (const end of cleanUp.reverse()) await end();
}

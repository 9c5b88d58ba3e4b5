// What a local (stdio) server that the gateway starts for a user takes: of the gateway's own memory, and itself, with the sandbox around it where the
// machine has one. The server is the smallest that Node can be; what a real one needs comes on top.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEmptyPostgres } from '../support/database.ts';
import { writeCatalogue } from '../upstreams/stdio-catalogue-file.ts';
import { descendantsOf } from './database-cost.ts';
import { api, settings } from './prepared.ts';
import { builtGateway, rssMb, startGateway } from './processes.ts';
import { eachOf, names, type Stage, table } from './sizing-stage.ts';

const counts = [0, 5, 20] as const;
const settleMs = 2_000;
const connector = 'local';

interface Level {
  children: number;
  processes: number;
  gatewayMb: number;
  aliveMb: number;
  /** Every process with all that it has mapped, and without what others have mapped too. */
  residentMb: number;
  privateMb: number;
}

/** What nobody else has mapped: what ends with the process. */
function privateMb(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB/gm)].reduce((sum, [, kB]) => sum + Number(kB), 0) / 1024;
}

export async function measureChildren(stage: Stage): Promise<void> {
  const database = await openEmptyPostgres();
  const file = new URL('./stdio-child.mjs', import.meta.url).pathname;
  const folder = file.slice(0, file.lastIndexOf('/'));
  const catalogue = writeCatalogue({
    child: { command: process.execPath, args: [file], env: ['TOKEN'], files: [folder] },
  });
  try {
    const more = { VALET_RATE_LIMIT_STORE: 'memory', VALET_STDIO_CATALOG: catalogue.file };
    const { env, key } = settings(database.url, more);
    const gateway = await startGateway(builtGateway, env);
    try {
      const { url } = gateway;
      const users = names(counts[2]);
      await api(url, key, 'POST', '/api/connectors', {
        connectorId: connector,
        kind: 'mcp-stdio',
        entry: 'child',
        secretNames: ['TOKEN'],
      });
      for (const username of users) {
        await api(url, key, 'POST', '/users', { username });
        const secret = { username, serverName: connector, secretName: 'TOKEN', secretValue: `token-of-${username}` };
        await api(url, key, 'POST', '/secrets/set', secret);
      }
      const levels: Level[] = [];
      for (const count of counts) {
        await eachOf(users.slice(levels.at(-1)?.children ?? 0, count), 2, (username) =>
          api(url, key, 'POST', '/mcp/tool/call', { username, serverName: connector, methodName: 'echo', args: {} }),
        );
        await sleep(settleMs);
        const pids = descendantsOf(gateway.pid);
        const sum = (figure: (pid: number) => number): number => pids.reduce((total, pid) => total + figure(pid), 0);
        const { heapUsed, external, rss } = await gateway.memory();
        levels.push({
          children: count,
          processes: pids.length,
          gatewayMb: rss / 1024 ** 2,
          aliveMb: (heapUsed + external) / 1024 ** 2,
          residentMb: sum(rssMb),
          privateMb: sum(privateMb),
        });
      }
      report(stage, levels);
    } finally {
      await gateway.stop();
    }
  } finally {
    catalogue.remove();
    await database.close();
  }
}

function report({ say }: Stage, levels: readonly Level[]): void {
  const head = ['children', 'processes', 'gateway, MB', 'alive in it, MB', 'they: resident, MB', 'they: private, MB'];
  const rowOf = (name: string, level: Level, digits: number): string[] => [
    name,
    String(level.processes),
    ...[level.gatewayMb, level.aliveMb, level.residentMb, level.privateMb].map((figure) => figure.toFixed(digits)),
  ];
  const rows = levels.map((level) => rowOf(String(level.children), level, 1));
  const [, few, many] = levels;
  if (few === undefined || many === undefined) throw new Error('three levels are measured');
  const each = (part: keyof Level): number => (many[part] - few[part]) / (many.children - few.children);
  const slope: Level = {
    children: 1,
    processes: each('processes'),
    gatewayMb: each('gatewayMb'),
    aliveMb: each('aliveMb'),
    residentMb: each('residentMb'),
    privateMb: each('privateMb'),
  };
  say(table(head, [...rows, rowOf('each more', slope, 2)]));
}

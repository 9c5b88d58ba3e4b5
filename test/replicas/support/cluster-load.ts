// A mixed load on a cluster, through the SDK as an application would, with what was acknowledged written down on this side. One further user asks
// for three times the limit. Asserts nothing.

import { setTimeout as sleep } from 'node:timers/promises';
import { MCPClient, OutcomeUnknownError, ValetError } from '@mcp-valet/client';

export interface Ledger {
  /** Of calls: when they began, how long they took, and how they ended for the application. */
  calls: { marker: string; at: number; ms: number; end: 'ok' | 'unknown' | 'failed'; why?: string }[];
  users: string[];
  /** Management requests that ended otherwise. */
  failed: string[];
  greedy: { at: number; marker: string; status: number }[];
}

export interface ClusterLoad {
  ledger: Ledger;
  stop(): Promise<void>;
}

const people = Array.from({ length: 20 }, (_, n) => `user${n}`);

export async function prepare(client: MCPClient, upstreamUrl: string): Promise<void> {
  await client.connectors.create({ connectorId: 'demo', kind: 'mcp-http', url: upstreamUrl });
  for (const username of [...people, 'greedy']) await client.users.create({ username });
}

export function startLoad(url: string, apiKey: string): ClusterLoad {
  const client = new MCPClient({ baseUrl: url, apiKey, logLevel: 'off', maxRetries: 6 });
  const ledger: Ledger = { calls: [], users: [], failed: [], greedy: [] };
  const begin = performance.now();
  let isOver = false;
  let count = 0;
  const paced = async (everyMs: number, step: () => Promise<void>): Promise<void> => {
    const running: Promise<void>[] = [];
    for (let next = performance.now(); !isOver; next += everyMs) {
      const wait = next - performance.now();
      if (wait > 0) await sleep(wait);
      if (!isOver) running.push(step());
    }
    await Promise.all(running);
  };
  const seconds = () => (performance.now() - begin) / 1_000;

  async function call(): Promise<void> {
    const marker = `m${++count}`;
    const at = seconds();
    const end = await client.executeForUser(people[count % people.length] as string, 'demo__count', { marker }).then(
      () => ({ end: 'ok' as const }),
      (error: unknown) => ({
        end: error instanceof OutcomeUnknownError ? ('unknown' as const) : ('failed' as const),
        why: error instanceof ValetError ? `${error.name} ${error.message}` : String(error),
      }),
    );
    ledger.calls.push({ marker, at, ms: (seconds() - at) * 1_000, ...end });
  }
  async function createUser(): Promise<void> {
    const username = `made${++count}`;
    try {
      await client.users.create({ username });
      ledger.users.push(username);
    } catch (error) {
      ledger.failed.push(`user ${username}: ${String(error)}`);
    }
  }
  async function callGreedily(): Promise<void> {
    const marker = `g${++count}`;
    const at = seconds();
    const response = await fetch(`${url}/mcp/tool/call`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json', 'idempotency-key': marker },
      body: JSON.stringify({ username: 'greedy', serverName: 'demo', methodName: 'count', args: { marker } }),
    }).catch(() => undefined);
    await response?.arrayBuffer().catch(() => undefined);
    ledger.greedy.push({ at, marker, status: response?.status ?? 0 });
  }

  const all = [paced(90, call), paced(1_000, createUser), paced(200, callGreedily)];
  return {
    ledger,
    async stop() {
      isOver = true;
      await Promise.all(all);
    },
  };
}

// The numbers of the overview: the last hour from the journal, minute by minute, and 30 days as the gateway counts them.
import type { CallRecord } from '@mcp-valet/client';
import { gateway } from '../gateway.ts';

export interface Overview {
  times: number[];
  calls: number[];
  failed: number[];
  /** By rules; limits are apart. */
  refused: number[];
  limited: number[];
  /** Of the calls that ran; null where none did. */
  typical: (number | null)[];
  slowest: (number | null)[];
}

const minutes = 60;
const hourMs = 3_600_000;
/** Of a busier gateway the newest ones are drawn, and the page says so. */
export const maxCalls = 5_000;

const quantile = (sorted: readonly number[], share: number): number | null =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
export const isLimited = ({ reason }: CallRecord): boolean => reason?.startsWith('rate_limit') === true;
const isFailed = ({ outcome }: CallRecord): boolean => outcome === 'failed' || outcome === 'unknown';
const isRefused = (call: CallRecord): boolean => call.outcome === 'refused' && !isLimited(call);

async function lastHour(): Promise<CallRecord[]> {
  const from = new Date(Date.now() - hourMs).toISOString();
  const first = await gateway.calls.list({ from, limit: 1000 });
  return first.toArray({ limit: maxCalls });
}

function byMinute(calls: readonly CallRecord[]): Overview {
  const end = Math.floor(Date.now() / 60_000);
  const buckets = Array.from({ length: minutes }, (): CallRecord[] => []);
  for (const call of calls) {
    buckets[minutes - 1 - (end - Math.floor(Date.parse(call.at) / 60_000))]?.push(call);
  }
  const latencies = buckets.map((bucket) =>
    bucket.flatMap(({ latencyMs }) => (latencyMs === null ? [] : [latencyMs])).sort((a, b) => a - b),
  );
  return {
    times: buckets.map((_, index) => (end - minutes + 1 + index) * 60),
    calls: buckets.map(({ length }) => length),
    failed: buckets.map((bucket) => bucket.filter(isFailed).length),
    refused: buckets.map((bucket) => bucket.filter(isRefused).length),
    limited: buckets.map((bucket) => bucket.filter(isLimited).length),
    typical: latencies.map((sorted) => quantile(sorted, 0.5)),
    slowest: latencies.map((sorted) => quantile(sorted, 0.95)),
  };
}

const dayMs = 86_400_000;

/** Thirty days, quiet ones too. */
function everyDay(found: readonly UsageRow[]) {
  return Array.from({ length: 30 }, (_, index) => {
    const day = new Date(Date.now() - (29 - index) * dayMs).toISOString().slice(0, 10);
    const row = found.find((one) => one.day === day);
    return {
      at: Date.parse(`${day}T00:00:00Z`) / 1000,
      calls: row?.calls ?? 0,
      failed: row?.failed ?? 0,
      refused: row?.refused ?? 0,
    };
  });
}

type UsageRow = Awaited<ReturnType<typeof gateway.usage.list>>['items'][number];

export async function readOverview() {
  const [calls, days, tools, status, users, servers, connectors] = await Promise.all([
    lastHour(),
    gateway.usage.list({ by: 'day', limit: 31 }),
    gateway.usage.list({ by: 'connector,tool', limit: 6 }),
    gateway.status(),
    gateway.users.list({ limit: 1 }),
    gateway.servers.list({ limit: 1 }),
    gateway.connectors.list({ limit: 1 }),
  ]);
  const ran = calls.flatMap(({ latencyMs }) => (latencyMs === null ? [] : [latencyMs])).sort((a, b) => a - b);
  return {
    hour: byMinute(calls),
    sums: {
      calls: calls.length,
      failed: calls.filter(isFailed).length,
      refused: calls.filter(isRefused).length,
      limited: calls.filter(isLimited).length,
      slowest: quantile(ran, 0.95),
    },
    days: everyDay(days.items),
    tools: tools.items,
    status,
    totals: { users: users.total ?? 0, servers: servers.total ?? 0, connectors: connectors.total ?? 0 },
  };
}

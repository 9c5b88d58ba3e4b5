// The load generator of the benchmark, in a process of its own: N connections, one request in flight on each, the time of every request.
// It checks the status of every answer and nothing else, so that it costs a fraction of what it measures.
import { randomUUID } from 'node:crypto';
import { type Dispatcher, Pool } from 'undici';

export interface LoadOrder {
  /** Connections are dealt out to them in turn; one path. */
  urls: readonly string[];
  headers: Record<string, string>;
  /** Named in turn as the user of a call. */
  users: readonly string[];
  /** Whether every call has an idempotency key of its own, as the SDK's have. */
  isKeyed?: boolean;
  body: string;
  connections: number;
  seconds: number;
}
export interface LoadResult {
  calls: number;
  errors: number;
  perSecond: number;
  /** Milliseconds, of every single call: no histogram between. */
  p50: number;
  p99: number;
}

const nanos = 1e6;

async function run(order: LoadOrder): Promise<LoadResult> {
  const pools = order.urls.map(
    (url) => new Pool(new URL(url).origin, { connections: order.connections, pipelining: 1 }),
  );
  const path = new URL(order.urls[0] as string).pathname;
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...order.headers,
  };
  const requests = order.users.map(
    (user): Dispatcher.DispatchOptions => ({
      path,
      method: 'POST',
      headers: { ...headers, 'x-alloy-userid': user },
      body: order.body,
    }),
  );
  let turn = 0;
  const next = (): Dispatcher.DispatchOptions => {
    const request = requests[turn++ % requests.length] as Dispatcher.DispatchOptions;
    if (order.isKeyed !== true) return request;
    return { ...request, headers: { ...(request.headers as typeof headers), 'idempotency-key': randomUUID() } };
  };
  const latencies: number[] = [];
  let errors = 0;
  const once = (pool: Pool): Promise<void> =>
    new Promise((resolve) => {
      let status = 0;
      const startedAt = process.hrtime.bigint();
      const failed = (): void => {
        errors++;
        resolve();
      };
      pool.dispatch(next(), {
        onRequestStart: () => undefined,
        onResponseStart: (_controller, code) => {
          status = code;
        },
        onResponseData: () => undefined,
        onResponseEnd: () => {
          if (status < 200 || status > 299) return failed();
          latencies.push(Number(process.hrtime.bigint() - startedAt) / nanos);
          resolve();
        },
        onResponseError: failed,
      });
    });
  const startedAt = process.hrtime.bigint();
  const end = startedAt + BigInt(Math.round(order.seconds * 1e9));
  const connection = async (_: unknown, index: number): Promise<void> => {
    const pool = pools[index % pools.length] as Pool;
    while (process.hrtime.bigint() < end) await once(pool);
  };
  await Promise.all(Array.from({ length: order.connections }, connection));
  const took = Number(process.hrtime.bigint() - startedAt) / 1e9;
  await Promise.all(pools.map((pool) => pool.close()));
  const sorted = Float64Array.from(latencies).sort();
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { calls: sorted.length, errors, perSecond: sorted.length / took, p50: at(0.5), p99: at(0.99) };
}

process.on('message', (order: LoadOrder) => {
  run(order).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
      process.exit(1);
    },
  );
});
process.send?.('ready');
process.once('disconnect', () => process.exit(0));

// The load generator of the benchmark, in a process of its own: N connections, one request in flight on each, the time of every request.
// It checks the status of every answer and nothing else, so that it costs a fraction of what it measures.
import { type Dispatcher, Pool } from 'undici';

export interface LoadOrder {
  url: string;
  headers: Record<string, string>;
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
  const { origin, pathname } = new URL(order.url);
  const pool = new Pool(origin, { connections: order.connections, pipelining: 1 });
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...order.headers,
  };
  const options: Dispatcher.DispatchOptions = { path: pathname, method: 'POST', headers, body: order.body };
  const latencies: number[] = [];
  let errors = 0;
  const once = (): Promise<void> =>
    new Promise((resolve) => {
      let status = 0;
      const startedAt = process.hrtime.bigint();
      const failed = (): void => {
        errors++;
        resolve();
      };
      pool.dispatch(options, {
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
  const connection = async (): Promise<void> => {
    while (process.hrtime.bigint() < end) await once();
  };
  await Promise.all(Array.from({ length: order.connections }, connection));
  const took = Number(process.hrtime.bigint() - startedAt) / 1e9;
  await pool.close();
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

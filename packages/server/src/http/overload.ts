// The one door at which a process that cannot keep up turns requests away: before sign-in, at no cost, with 503 and Retry-After.
//
// Reasons: the database breaker is open, the event loop is late, the heap is nearly full, or the bodies of running requests fill their share of
// memory. Guarantee: health, readiness and metrics are answered all the same, or a balancer would take a busy process for a dead one.
// Bodies count once their sender is known, by the declared length or, where none is declared, by what arrives.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Readable, Transform } from 'node:stream';
import { getHeapStatistics } from 'node:v8';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { Refusal } from '../refusal.ts';

export interface OverloadOptions {
  isDatabaseReachable(): boolean;
  log: Logger;
  maxBodyBytes?: number;
  /** For tests: what the process says about itself. */
  read?: () => Reading;
}

export interface Reading {
  /** How late the event loop was, on average of the last look. */
  loopDelayMs: number;
  heapUsed: number;
  heapLimit: number;
}

export interface Overload {
  /** Bytes of request bodies in memory now. */
  readonly bodyBytes: number;
  /** How often each reason has turned a request away. */
  readonly refused: ReadonlyMap<string, number>;
}

const lookEveryMs = 500;
const lateLooksInRow = 3;
const resolutionMs = 20;
const maxLoopDelayMs = 500;
const maxHeapShare = 0.8;
const mib = 1024 * 1024;
/** Paths that answer whatever happens. They read nothing and wait for nothing. */
const alwaysServed = new Set(['/health', '/healthz', '/readyz', '/metrics']);

/** Why the process should take no more; undefined: it may. */
export function strainOf({ loopDelayMs, heapUsed, heapLimit }: Reading): 'event_loop' | 'heap' | undefined {
  if (loopDelayMs > maxLoopDelayMs) return 'event_loop';
  return heapUsed > heapLimit * maxHeapShare ? 'heap' : undefined;
}

function ownReading(app: FastifyInstance): () => Reading {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  app.addHook('onClose', async () => void delay.disable());
  return () => {
    // Of an interval without a sample the mean is NaN: the loop did not turn once.
    const loopDelayMs = delay.count === 0 ? 0 : delay.mean / 1e6 - resolutionMs;
    delay.reset();
    const { used_heap_size: heapUsed, heap_size_limit: heapLimit } = getHeapStatistics();
    return { loopDelayMs, heapUsed, heapLimit };
  };
}

const refusalOf = (reason: string): Refusal =>
  new Refusal('UNAVAILABLE', 'The gateway cannot serve now', { retryAfterMs: 1000, reason: `overload:${reason}` });

export function installOverload(app: FastifyInstance, options: OverloadOptions): Overload {
  const { isDatabaseReachable, log, maxBodyBytes = 256 * mib } = options;
  const read = options.read ?? ownReading(app);
  const refused = new Map<string, number>();
  const held = new WeakMap<FastifyRequest, number>();
  let bodyBytes = 0;
  let strain: ReturnType<typeof strainOf>;
  let lateLooks = 0;
  let told: string | undefined;

  const timer = setInterval(() => {
    const seen = strainOf(read());
    // One long turn is over by the time that it is seen; only a loop that stays late is overloaded.
    lateLooks = seen === 'event_loop' ? lateLooks + 1 : 0;
    strain = seen === 'event_loop' && lateLooks < lateLooksInRow ? undefined : seen;
    // One line when it begins and one when it is over: a line for each request would add to the load.
    const now = isDatabaseReachable() ? strain : 'database';
    if (now !== told) log.warn({ reason: now ?? 'over' }, 'overload');
    told = now;
  }, lookEveryMs);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));

  const turnAway = (reason: string): Refusal => {
    refused.set(reason, (refused.get(reason) ?? 0) + 1);
    return refusalOf(reason);
  };

  app.addHook('onRequest', async (request) => {
    if (alwaysServed.has(request.routeOptions.url ?? '')) return;
    if (!isDatabaseReachable()) throw turnAway('database');
    if (strain !== undefined) throw turnAway(strain);
  });

  const hold = (request: FastifyRequest, reply: FastifyReply, bytes: number): boolean => {
    if (bodyBytes + bytes > maxBodyBytes) return false;
    bodyBytes += bytes;
    const before = held.get(request);
    held.set(request, (before ?? 0) + bytes);
    if (before !== undefined) return true;
    const release = (): void => {
      bodyBytes -= held.get(request) ?? 0;
      held.delete(request);
    };
    reply.raw.once('close', release);
    reply.raw.once('finish', release);
    return true;
  };

  app.addHook('preParsing', async (request, reply, payload) => {
    const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
    if (encoding !== undefined) return counted(payload, (bytes) => hold(request, reply, bytes), turnAway);
    const declared = Number(length ?? 0);
    // What is over the route's limit is refused unread.
    if (declared > 0 && declared <= request.routeOptions.bodyLimit && !hold(request, reply, declared))
      throw turnAway('bodies');
    return payload;
  });

  return {
    get bodyBytes() {
      return bodyBytes;
    },
    refused,
  };
}

/** The same body, counted as it arrives. What is refused is still read to its end, unkept, so that the answer can be sent. */
function counted(payload: Readable, hold: (bytes: number) => boolean, turnAway: (reason: string) => Refusal): Readable {
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (hold(chunk.length)) return done(null, chunk);
      payload.unpipe(through);
      payload.resume();
      done(turnAway('bodies'));
    },
  });
  payload.once('error', (error) => through.destroy(error));
  payload.once('close', () => {
    if (!through.writableEnded) through.destroy();
  });
  return payload.pipe(through);
}

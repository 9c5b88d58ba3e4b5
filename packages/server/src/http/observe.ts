// What the operator sees of requests: opens metrics and traces where they are asked for, tells them of every request, and answers GET /metrics.
// Whatever is not asked for is not loaded. Only the token of VALET_METRICS_TOKEN opens the route, and nothing else; no key of an account does:
// the numbers are the whole installation's.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { Config, Secret } from '../config.ts';
import { type Exposition, type Gauges, type Metrics, noMetrics } from '../metrics/port.ts';
import { Refusal } from '../refusal.ts';
import { openTracing, type RequestTracing } from '../tracing/open.ts';
import { refusalSent } from './reply-error.ts';

export interface Observation {
  metrics: Metrics;
  tracing: RequestTracing;
  /** Before any route: hooks apply to what is registered later. */
  install(app: FastifyInstance): void;
  /** From now on /metrics is answered. */
  expose(app: FastifyInstance, gauges: Gauges): void;
}

export async function openObservation(config: Config, version: string): Promise<Observation> {
  const token = config.metricsToken;
  const exposition = token && (await import('../metrics/prometheus.ts')).createExposition();
  const tracing = await openTracing(config.traces, version);
  return {
    metrics: exposition ?? noMetrics,
    tracing,
    install(app) {
      if (exposition) countRequests(app, exposition);
      if (config.traces) traceRequests(app, tracing);
    },
    expose(app, gauges) {
      if (!exposition || !token) return;
      exposition.watch(gauges);
      metricsRoute(app, exposition, token);
    },
  };
}

function countRequests(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onResponse', async (request, reply) => {
    metrics.refused(refusalSent(request));
    metrics.request({
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
    });
  });
}

function traceRequests(app: FastifyInstance, tracing: RequestTracing): void {
  app.addHook('onRequest', async (request) => tracing.started?.(request.raw));
  app.addHook('onResponse', async (request, reply) => {
    tracing.ended(request.raw, {
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      requestId: request.id,
    });
  });
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

function metricsRoute(app: FastifyInstance, exposition: Exposition, token: Secret): void {
  const expected = digest(`Bearer ${token.reveal()}`);
  app.get('/metrics', async (request, reply) => {
    if (!timingSafeEqual(digest(request.headers.authorization ?? ''), expected))
      throw new Refusal('UNAUTHORIZED', 'Missing or invalid credential', { reason: 'metrics_token' });
    const text = await exposition.text();
    return reply.header('cache-control', 'no-store').type(exposition.contentType).send(text);
  });
}

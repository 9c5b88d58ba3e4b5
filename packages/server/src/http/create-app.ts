// The Fastify instance: how long it waits, how much it reads, and how it answers what is no HTTP. Routes and hooks come from elsewhere.
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { replyBrokenHttp, replyRouterError } from './framework-errors.ts';
import { requestIdOf } from './request-id.ts';

export function createApp(config: Config, log: Logger): FastifyInstance {
  const app = Fastify({
    loggerInstance: log as never,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: (request) => requestIdOf(request),
    frameworkErrors: (error, request, reply) => replyRouterError(error, request as never, reply as never, log),
    clientErrorHandler: (error, socket) => replyBrokenHttp(error, socket, log),
    bodyLimit: config.limits.managementBodyBytes,
    requestTimeout: 15_000,
    keepAliveTimeout: 65_000,
    maxRequestsPerSocket: 1_000,
    // Not `true`: that would cut the calls in flight. `closeAll` ends what is idle, and all of it when the patience is over.
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    trustProxy: config.trustProxy.length > 0 ? [...config.trustProxy] : false,
    routerOptions: { maxParamLength: 512 },
    // Only with a short checking interval do the limits hold: the default looks every 30 s.
    // A request without Host is refused by the guard, in our words and not in Node's.
    http: {
      headersTimeout: 10_000,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 16 * 1024,
      requireHostHeader: false,
    },
  });
  app.server.maxConnections = 2_000;
  return app as unknown as FastifyInstance;
}

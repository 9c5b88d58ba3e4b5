// The one door for errors of REST routes: anything thrown becomes a code of the shared table in the dialect of its route.
//
// Guarantee: a caller reads our sentences only. What is not a Refusal is answered with a fixed text and logged under the request id by name,
// code and place; foreign messages may quote values and are left out even there. Missing and foreign objects are the same 404, byte for byte
// but for the request id. Failure: an error of the error path itself ends as a bare 500 by Fastify.
import { type Dialect, type ErrorCode, errorBody, errorTable, headers } from '@mcp-valet/shared';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { DatabaseError, DatabaseUnavailable } from '../db/errors.ts';
import { refusedHeaders } from '../rate-limits/take.ts';
import { Refusal } from '../refusal.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Which envelope the route's errors have. */
    dialect?: Dialect;
  }
}

/** Envelope of paths that no route answers: by whose system they look like. */
export function dialectOf(path: string): Dialect {
  if (/^\/(users|keys)(\/|\?|$)/.test(path)) return 'users';
  if (/^\/(secrets|mcp\/tool)(\/|\?|$)/.test(path)) return 'secrets';
  return 'api';
}

/** What Fastify refuses by itself, before a handler. */
const frameworkCodes: Readonly<Record<string, { code: ErrorCode; message: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'PAYLOAD_TOO_LARGE', message: 'The body is over the limit' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'The body must be application/json' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'INVALID_REQUEST',
    message: 'The body does not have its declared length',
  },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'INVALID_REQUEST', message: 'The body is empty' },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'INVALID_REQUEST', message: 'The body is not valid JSON' },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'INVALID_REQUEST', message: 'A part of the path is too long' },
  FST_ERR_BAD_URL: { code: 'INVALID_REQUEST', message: 'The path is not validly encoded' },
  FST_ERR_HANDLER_TIMEOUT: { code: 'UNAVAILABLE', message: 'The gateway took too long' },
};

const serializationFailure = '40001';
const deadlock = '40P01';
const brokenReference = '23503';

/** Any error as a refusal; undefined for what must be logged as our fault. */
export function asRefusal(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (error instanceof DatabaseUnavailable) return unavailable(`database:${error.code}`);
  if (error instanceof DatabaseError) {
    if (error.code === serializationFailure || error.code === deadlock) return unavailable(`database:${error.code}`);
    // Deleted by another request between look-up and write.
    if (error.code === brokenReference)
      return new Refusal('CONFLICT', 'Something that this request refers to was changed meanwhile');
    return undefined;
  }
  const { code, statusCode } = (typeof error === 'object' && error !== null ? error : {}) as {
    code?: unknown;
    statusCode?: unknown;
  };
  const known = typeof code === 'string' ? frameworkCodes[code] : undefined;
  if (known !== undefined)
    return new Refusal(known.code, known.message, known.code === 'UNAVAILABLE' ? { retryAfterMs: 1000 } : {});
  const isFramework = typeof code === 'string' && code.startsWith('FST_');
  return isFramework && statusCode === 400 ? new Refusal('INVALID_REQUEST', 'The request is malformed') : undefined;
}

const unavailable = (reason: string) =>
  new Refusal('UNAVAILABLE', 'The gateway cannot serve now', { retryAfterMs: 1000, reason });

const sent = new WeakMap<FastifyRequest, Refusal>();

/** What the request was refused with, once it was answered here. */
export const refusalSent = (request: FastifyRequest): Refusal | undefined => sent.get(request);

/** Sends the error in the route's dialect. */
export function replyError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): FastifyReply {
  const refusal =
    asRefusal(error) ?? new Refusal('INTERNAL_ERROR', 'Internal error; the request id finds it in the log');
  sent.set(request, refusal);
  // 503 is told to the operator too: callers only know that it was no fault of theirs. Overload tells of itself, once.
  if (refusal.status >= 500 && !refusal.reason.startsWith('overload:')) logFailure(error, refusal, request, log);
  const { code, message, details, word } = refusal;
  // What the router itself refuses has no route, whatever the type says.
  const config = request.routeOptions.config as typeof request.routeOptions.config | undefined;
  const dialect = config?.dialect ?? dialectOf(request.url);
  void reply
    .code(refusal.status)
    .header(headers.requestId, request.id)
    .header(headers.shouldRetry, String(errorTable[code].retryable))
    .header('cache-control', 'no-store');
  if (code === 'UNAUTHORIZED') void reply.header('www-authenticate', 'Bearer');
  const retryAfterMs = refusal.retryAfterMs ?? (code === 'UNAVAILABLE' || code === 'RATE_LIMITED' ? 1000 : undefined);
  if (retryAfterMs !== undefined) void reply.header('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1000))));
  void reply.headers(refusedHeaders(refusal));
  return reply.send(errorBody(dialect, { code, message, details, word, requestId: request.id }));
}

function logFailure(error: unknown, refusal: Refusal, request: FastifyRequest, log: Logger): void {
  const known = error instanceof Error ? error : undefined;
  const code = (known as { code?: unknown } | undefined)?.code;
  log.error(
    {
      requestId: request.id,
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: refusal.status,
      reason: refusal.reason,
      error: known?.name ?? typeof error,
      ...((typeof code === 'string' || typeof code === 'number') && { code }),
      // Frames only: the first lines of a stack are the message.
      at: known?.stack
        ?.split('\n')
        .filter((line) => /^\s+at /.test(line))
        .slice(0, 8),
    },
    'request failed',
  );
}

/** Errors and unknown paths of the whole instance. MCP endpoints answer in JSON-RPC and set their own handler in their own scope. */
export function installErrorReplies(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler((error, request, reply) => replyError(error, request, reply, log));
  app.setNotFoundHandler((request, reply) => replyError(new Refusal('NOT_FOUND', 'Not found'), request, reply, log));
}

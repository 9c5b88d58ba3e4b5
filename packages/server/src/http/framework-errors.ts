// Answers for what never becomes a request of a route: paths that are not validly encoded, and bytes that are no HTTP. Fastify's own answers
// repeat the URL, which may hold a token, and have no request id. Knows no route and reads no body.
import type { Socket } from 'node:net';
import { errorBody, headers } from '@mcp-valet/shared';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { newId } from '../ids.ts';
import { errorAnswer } from '../mcp/direct-lane.ts';
import { RpcError } from '../mcp/jsonrpc.ts';
import { asRefusal, replyError } from './reply-error.ts';

const isMcpPath = (path: string): boolean => /^\/mcp(?:[/?]|$)/.test(path) && !/^\/mcp\/tool\/call(?:\?|$)/.test(path);

/** For Fastify's `frameworkErrors`: errors of the router, in the dialect of whatever the path looks like. */
export function replyRouterError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): void {
  const refusal = asRefusal(error);
  if (refusal === undefined || !isMcpPath(request.url)) {
    void replyError(error, request, reply, log);
    return;
  }
  const rpc = new RpcError(refusal.status, refusal.message, { status: refusal.status, data: { code: refusal.code } });
  const answer = errorAnswer(null, rpc, request.id);
  void reply
    .code(answer.status)
    .headers({ 'cache-control': 'no-store', [headers.requestId]: request.id, [headers.shouldRetry]: 'false' })
    .send(answer.body);
}

const byCode: Readonly<Record<string, { status: string; message: string }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { status: '408 Request Timeout', message: 'The request did not arrive in time' },
  HPE_HEADER_OVERFLOW: { status: '431 Request Header Fields Too Large', message: 'The headers are over the limit' },
};
const malformed = { status: '400 Bad Request', message: 'The request is not valid HTTP' };

/** For Fastify's `clientErrorHandler`: what Node's parser refuses. The error quotes the bytes and is therefore logged by its code only. */
export function replyBrokenHttp(error: NodeJS.ErrnoException, socket: Socket, log: Logger): void {
  // The other side is gone.
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const { status, message } = byCode[error.code ?? ''] ?? malformed;
  const requestId = newId('req');
  log.debug({ requestId, code: error.code }, 'broken_http');
  if (socket.writable) {
    const body = JSON.stringify(errorBody('api', { code: 'INVALID_REQUEST', message, requestId }));
    const head = [
      `HTTP/1.1 ${status}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      `${headers.requestId}: ${requestId}`,
      `${headers.shouldRetry}: false`,
      'cache-control: no-store',
      'connection: close',
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  }
  socket.destroy();
}

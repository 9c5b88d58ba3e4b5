// The MCP endpoints as Fastify routes: bytes -> one message -> a lane -> an answer. The credential is checked before the body is read.
// Knows HTTP and the gate's steps; what a method does is elsewhere.
import type { ServerResponse } from 'node:http';
import { headers as names } from '@mcp-valet/shared';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Parts } from '../context.ts';
import { identifyRequest, unauthorized } from '../identity/identify.ts';
import type { Principal } from '../identity/principal.ts';
import { Refusal } from '../refusal.ts';
import { answerBatch } from './batch.ts';
import { admission, findCaller } from './caller.ts';
import { visibleConnectors } from './catalog.ts';
import { challenge, requiredScopes } from './challenge.ts';
import { answerDirect, type DirectAnswer, errorAnswer, toRpcError } from './direct-lane.ts';
import type { SdkLane } from './exchange.ts';
import { findServer } from './find-server.ts';
import { checkMediaType, GateRefusal, type HeaderReader, type Inbound, readInbound } from './gate.ts';
import { idOf, isObject, RpcError } from './jsonrpc.ts';
import { chooseLane } from './lane.ts';
import type { CallRequest, UserCall } from './request.ts';
import { noteEvent } from './trail.ts';

declare module 'fastify' {
  interface FastifyRequest {
    valetPrincipal: Principal | null;
  }
}

type McpParams = { serverId?: string; accessToken?: string };

export const headerReader =
  (request: FastifyRequest): HeaderReader =>
  (name) => {
    const value = request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };

/** The signal of a caller that is gone. Only the modern era means to cancel by it. */
export function goneSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller.signal;
}

const keyGrammar = /^[\x21-\x7e]{1,255}$/;

/** The idempotency key of a tools/call, from the header or `_meta`. */
function idempotencyKeyOf(header: HeaderReader, inbound: Inbound): string | undefined {
  if (inbound.kind !== 'request' || inbound.method !== 'tools/call') return undefined;
  const meta = isObject(inbound.params['_meta']) ? inbound.params['_meta'] : {};
  const key = header(names.idempotencyKey) ?? meta['mcp-valet/idempotencyKey'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && keyGrammar.test(key)) return key;
  throw new GateRefusal(
    new RpcError(400, 'Idempotency-Key must be 1-255 visible ASCII characters', {
      status: 400,
      data: { code: 'INVALID_REQUEST' },
    }),
    inbound.id,
  );
}

function send(
  reply: FastifyReply,
  request: Pick<CallRequest, 'replyHeaders'> | undefined,
  answer: DirectAnswer | DirectAnswer[],
): FastifyReply {
  const single = Array.isArray(answer) ? undefined : answer;
  const status = single?.status ?? 200;
  reply.headers(request?.replyHeaders ?? {});
  if (single?.retryAfterMs !== undefined)
    reply.header('retry-after', String(Math.max(1, Math.ceil(single.retryAfterMs / 1000))));
  if (status >= 400) reply.header(names.shouldRetry, String(status === 429 || status === 503));
  const body = Array.isArray(answer) ? answer.map((each) => each.body) : answer.body;
  return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
}

export function mcpEndpoints(parts: Parts, sdkLane: SdkLane, forceLane?: 'direct' | 'sdk') {
  return async (app: FastifyInstance): Promise<void> => {
    app.decorateRequest('valetPrincipal', null);
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

    app.addHook('onRequest', async (request, reply) => {
      reply.headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
      const header = headerReader(request);
      if (request.method !== 'POST' && header('mcp-session-id') === undefined) {
        reply.header('allow', 'POST, GET, DELETE');
        throw new GateRefusal(
          new RpcError(405, 'Use POST; GET and DELETE need a session id', {
            status: 405,
            data: { code: 'METHOD_NOT_ALLOWED' },
          }),
        );
      }
      const { accessToken, serverId } = request.params as McpParams;
      try {
        const principal = await identifyRequest(
          { headers: request.headers, rawHeaders: request.raw.rawHeaders },
          parts,
          { pathToken: accessToken, serverId: serverId ?? header(names.server) },
        );
        // A server's token is only good in its URL: as a bearer it would travel where the URL's own rules do not hold.
        if (principal.kind === 'url' && accessToken === undefined) throw unauthorized('token_in_wrong_place');
        request.valetPrincipal = principal;
        parts.epoch.promise(reply);
      } catch (error) {
        if (error instanceof Refusal) await refuseSignIn(parts, request, reply, error);
        throw error;
      }
      if (request.method === 'POST') checkMediaType(header);
    });

    app.setErrorHandler((error, request, reply) => {
      const { id: requestId } = request;
      if (error instanceof GateRefusal) return send(reply, undefined, errorAnswer(error.id, error.error, requestId));
      const code = isObject(error) ? error['code'] : undefined;
      if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
        const tooLarge = new RpcError(413, 'The body is over the limit', {
          status: 413,
          data: { code: 'PAYLOAD_TOO_LARGE' },
        });
        return send(reply, undefined, errorAnswer(null, tooLarge, requestId));
      }
      if (typeof code === 'string' && code.startsWith('FST_ERR_CTP')) {
        return send(
          reply,
          undefined,
          errorAnswer(null, new RpcError(-32700, 'The body cannot be read', { status: 400 }), requestId),
        );
      }
      const rpc = toRpcError(error, { requestId, parts });
      // The one refusal that has a status of its own here: a path that names no server of this account.
      const status =
        error instanceof Refusal && error.code === 'NOT_FOUND'
          ? 404
          : error instanceof Refusal
            ? rpc.status
            : rpc.status === 200
              ? 500
              : rpc.status;
      return send(reply, undefined, { ...errorAnswer(null, rpc, requestId), status });
    });

    const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      const principal = request.valetPrincipal;
      if (principal === null) throw new Error('the hook has identified the caller');
      const header = headerReader(request);
      const server = await findServer(parts, principal, (request.params as McpParams).serverId, header(names.server));
      const base = (era: CallRequest['era'], lane: CallRequest['lane'], meta?: unknown): CallRequest => ({
        parts,
        principal,
        server,
        sources: { header: header(names.user) },
        strict: header(names.strictUser) === 'true',
        credentialHeader: header(names.credential),
        idempotencyKey: undefined,
        requestId: request.id,
        address: request.ip,
        era,
        lane,
        header,
        signal: era === 'modern' ? goneSignal(reply.raw) : null,
        replyHeaders: {},
        trace: parts.tracing.of(request.raw, meta),
      });
      const sessionId = header('mcp-session-id');
      const toSdk = (call: CallRequest, inbound: Parameters<SdkLane['serve']>[0]['inbound']): Promise<void> => {
        const preset = Object.fromEntries(
          Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]),
        );
        reply.hijack();
        return sdkLane.serve({
          request: call,
          inbound,
          sessionId,
          raw: request.raw,
          response: reply.raw,
          headers: preset,
        });
      };
      if (request.method !== 'POST') {
        await toSdk(base('legacy', 'sdk'), { kind: 'session', method: request.method === 'GET' ? 'GET' : 'DELETE' });
        return reply;
      }
      const inbound = readInbound(request.body as Buffer, header);
      const meta = inbound.kind === 'request' ? inbound.params['_meta'] : undefined;
      const call = { ...base(inbound.era, 'direct', meta), idempotencyKey: idempotencyKeyOf(header, inbound) };
      if (server === null) {
        const blocked = await allBlocked(call);
        if (blocked !== undefined) return reply.code(403).send(blocked);
      }
      const hasSession = sessionId !== undefined && inbound.era === 'legacy';
      switch (inbound.kind) {
        case 'request': {
          const lane = forceLane ?? (await chooseLane(call, inbound, hasSession ? sessionId : undefined));
          if (lane === 'direct') return send(reply, call, await answerDirect(call, inbound));
          await toSdk({ ...call, lane: 'sdk' }, inbound);
          return reply;
        }
        case 'notification':
          if (!hasSession) return reply.code(202).send();
          await toSdk({ ...call, lane: 'sdk' }, inbound);
          return reply;
        case 'response':
          if (!hasSession)
            throw new GateRefusal(
              new RpcError(-32600, 'A response needs the session that asked', { status: 400 }),
              idOf(inbound.body),
            );
          await toSdk({ ...call, lane: 'sdk' }, inbound);
          return reply;
        case 'batch': {
          if (hasSession) {
            await toSdk({ ...call, lane: 'sdk' }, inbound);
            return reply;
          }
          const answers = await answerBatch(call, inbound.body, header);
          return answers.length === 0 ? reply.code(202).send() : send(reply, call, answers);
        }
      }
    };

    const { bodyBytes } = parts.config.limits;
    for (const url of ['/mcp', '/mcp/:serverId', '/mcp/:serverId/:accessToken']) {
      app.route({ method: ['POST', 'GET', 'DELETE'], url, bodyLimit: bodyBytes, exposeHeadRoute: false, handler });
    }
  };
}

async function refuseSignIn(parts: Parts, request: FastifyRequest, reply: FastifyReply, error: Refusal): Promise<void> {
  const { accessToken, serverId } = request.params as McpParams;
  const { authorization, [names.userToken]: userToken, [names.server]: headerId } = request.headers;
  const wasSent = authorization !== undefined || userToken !== undefined || accessToken !== undefined;
  if (error.code === 'UNAUTHORIZED' || error.code === 'INSUFFICIENT_SCOPE') {
    const isScope = error.code === 'INSUFFICIENT_SCOPE';
    const why = isScope ? 'insufficient_scope' : wasSent ? 'invalid_token' : undefined;
    const id = serverId ?? (typeof headerId === 'string' ? headerId : undefined);
    // The owner of a token URL has nowhere to sign in: whoever made it gives out another.
    const text =
      accessToken === undefined
        ? await challenge(parts, id, { error: why, ...(isScope && { scopes: requiredScopes(error) }) })
        : `Bearer error="${why}"`;
    reply.header('www-authenticate', text);
  }
  if (error.status >= 500 || error.status === 400) return;
  await parts.trail.signInFailed({ address: request.ip, requestId: request.id, reason: error.reason, by: error.by });
}

/** The seed's body when the user's access rules leave nothing of the aggregate endpoint. */
async function allBlocked(call: CallRequest): Promise<Record<string, unknown> | undefined> {
  const all = await call.parts.directory.connectors(call.principal.accountId);
  if (all.size === 0) return undefined;
  let caller: UserCall;
  try {
    // Without a trace: the method itself will say who may not, and leave the one event of it.
    caller = await findCaller(call);
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
  if (!admission(caller).allowed) return undefined;
  const { record, attempted } = caller.user;
  if ((record.allowed.length === 0 && record.blocked.length === 0) || (await visibleConnectors(caller)).length > 0)
    return undefined;
  noteEvent(call, {
    action: 'call.refuse',
    outcome: 'refused',
    userId: record.id,
    attemptedUser: attempted ?? undefined,
    reason: 'all_blocked',
  });
  return { error: 'access_denied', message: 'All MCPs are blocked for your user', request_id: call.requestId };
}

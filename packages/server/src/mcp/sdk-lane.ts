// The SDK lane: sessions, streams and subscriptions of both eras, on the official SDK's server. Its handlers only call the functions that
// the direct lane calls.
import { performance } from 'node:perf_hooks';
import type { Parts } from '../context.ts';
import { Refusal } from '../refusal.ts';
import { findCaller, noteRefusedCaller } from './caller.ts';
import { errorAnswer, runRequest, toRpcError } from './direct-lane.ts';
import type { Exchange, SdkLane } from './exchange.ts';
import { checkAccept, GateRefusal, type Inbound, readInbound } from './gate.ts';
import { idOf, type RequestId, RpcError } from './jsonrpc.ts';
import { mintsSession } from './lane.ts';
import { initialize } from './methods.ts';
import { isSameOwner, ownerOf } from './owner.ts';
import type { CallRequest, UserCall } from './request.ts';
import { serveListen } from './sdk-listen.ts';
import { writeAnswers, writeEmpty, writeError } from './sdk-response.ts';
import { Session } from './sdk-session.ts';
import { serveLegacy, serveModern } from './sdk-stateless.ts';
import { Sessions } from './sessions.ts';

const batchVersion = '2025-03-26';
const maxBatch = 20;
const closeWithinMs = 900;

const noSession = (): RpcError => new RpcError(404, 'Session not found', { status: 404, data: { code: 'NOT_FOUND' } });

/** The effective user without a permit: whose session it is must be known before anything is counted. */
async function callerOf(request: CallRequest): Promise<UserCall> {
  try {
    return await findCaller(request);
  } catch (error) {
    if (error instanceof Refusal) noteRefusedCaller(request, error);
    throw error;
  }
}

export function createSdkLane(parts: Parts): SdkLane {
  const now = (): number => performance.now();
  const sessions = new Sessions(parts.live, now, (error) =>
    parts.log.warn({ name: error instanceof Error ? error.name : typeof error }, 'mcp_session_end_failed'),
  );
  /** Exchanges in flight that have no session. */
  const live = new Set<{ close(): Promise<void> }>();

  const openSession = async (exchange: Exchange, inbound: Extract<Inbound, { kind: 'request' }>): Promise<void> => {
    const { request } = exchange;
    const { params } = inbound;
    const result = await initialize(request, params, { hasStream: true });
    const call = await callerOf(request);
    const session = new Session(call, ownerOf(call), params, result, now);
    await sessions.add(session);
    await session.post(exchange, inbound);
  };

  /** Foreign, ended and unknown sessions are the same: not there. */
  const findSession = async (request: CallRequest, id: string): Promise<Session> => {
    const session = sessions.find(id);
    if (!(session instanceof Session)) throw noSession();
    const call = await callerOf(request);
    if (!isSameOwner(session.owner, ownerOf(call))) throw noSession();
    session.touch();
    return session;
  };

  const answerBatch = async (exchange: Exchange, session: Session, elements: readonly unknown[]): Promise<void> => {
    if (session.version !== batchVersion)
      throw new RpcError(-32600, `Batches need protocol version ${batchVersion}`, { status: 400 });
    if (elements.length > maxBatch)
      throw new RpcError(-32600, `At most ${maxBatch} messages per batch`, { status: 400 });
    const request: CallRequest = { ...exchange.request, session: session.caller };
    const answers: unknown[] = [];
    for (const element of elements) {
      try {
        const inbound = readInbound(Buffer.from(JSON.stringify(element)), request.header);
        if (inbound.kind !== 'request') continue;
        const result = await runRequest(request, inbound.method, inbound.params);
        answers.push({ jsonrpc: '2.0', id: inbound.id, result });
      } catch (error) {
        const id = error instanceof GateRefusal ? error.id : idOf(element);
        answers.push(
          errorAnswer(id, error instanceof GateRefusal ? error.error : toRpcError(error, request), request.requestId)
            .body,
        );
      }
    }
    if (answers.length === 0) writeEmpty(exchange, 202);
    else writeAnswers(exchange, answers);
  };

  const serveSession = async (exchange: Exchange, id: string): Promise<void> => {
    const { request, inbound } = exchange;
    const session = await findSession(request, id);
    if (inbound.kind === 'batch') return answerBatch(exchange, session, inbound.body);
    if (inbound.kind !== 'session') return session.post(exchange, inbound);
    if (inbound.method === 'DELETE') {
      await sessions.end(session.id);
      return writeEmpty(exchange, 200);
    }
    const refused = checkAccept(request.header('accept') ?? 'none/none', ['text/event-stream']);
    if (refused !== undefined) throw refused;
    if (session.hasStream)
      throw new RpcError(409, 'The session has a stream already', { status: 409, data: { code: 'CONFLICT' } });
    const leave = sessions.open({ owner: session.owner, end: async () => undefined, changed: () => undefined });
    try {
      await session.stream(exchange);
    } finally {
      leave();
    }
  };

  const answer = async (exchange: Exchange): Promise<void> => {
    const { request, inbound, sessionId } = exchange;
    if (request.era === 'modern') {
      if (inbound.kind !== 'request') return writeEmpty(exchange, 202);
      return inbound.method === 'subscriptions/listen'
        ? serveListen(exchange, inbound, sessions)
        : serveModern(exchange, inbound, live);
    }
    if (sessionId !== undefined) return serveSession(exchange, sessionId);
    if (inbound.kind !== 'request') throw noSession();
    const isOpening = inbound.method === 'initialize' && (await mintsSession(request, inbound.params));
    return isOpening ? openSession(exchange, inbound) : serveLegacy(exchange, inbound, live);
  };

  const idOfExchange = ({ inbound }: Exchange): RequestId | null => (inbound.kind === 'request' ? inbound.id : null);

  return {
    async serve(exchange) {
      const { response, request } = exchange;
      try {
        await answer(exchange);
      } catch (error) {
        const failure = error instanceof GateRefusal ? error.error : toRpcError(error, request);
        if (!response.headersSent) writeError(exchange, idOfExchange(exchange), failure);
        else response.destroy();
      }
    },
    open: () => ({ ...sessions.counts(), exchanges: live.size }),
    async close() {
      const ended = Promise.all([sessions.close(), ...[...live].map((one) => one.close())]);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, closeWithinMs);
      });
      await Promise.race([ended, late]);
      clearTimeout(timer);
    },
  };
}

// The direct lane: one request in, one JSON answer out, no SDK code but the classifier of the gate. Everything that a method means is in
// `methods.ts` and `resources.ts`, which the SDK lane calls too.
import { Refusal } from '../refusal.ts';
import type { Inbound } from './gate.ts';
import { type RequestId, RpcError } from './jsonrpc.ts';
import { callTool, discover, getPrompt, initialize, listItems, ping } from './methods.ts';
import type { LaneRelay } from './relay.ts';
import type { CallRequest } from './request.ts';
import { complete, readResource } from './resources.ts';
import { refusalToRpc } from './result.ts';

type Params = Record<string, unknown>;

/** The answer of a method. Throws RpcError. Shared with the SDK lane's handlers. */
export function runRequest(
  request: CallRequest,
  method: string,
  params: Params,
  lane: LaneRelay = {},
): Promise<Record<string, unknown>> {
  switch (method) {
    case 'initialize':
      return initialize(request, params, { hasStream: false });
    case 'ping':
      return ping(request);
    case 'server/discover':
      return discover(request);
    case 'tools/list':
      return listItems(request, 'tools', params);
    case 'prompts/list':
      return listItems(request, 'prompts', params);
    case 'resources/list':
      return listItems(request, 'resources', params);
    case 'resources/templates/list':
      return listItems(request, 'templates', params);
    case 'tools/call':
      return callTool(request, params, lane);
    case 'prompts/get':
      return getPrompt(request, params, lane);
    case 'resources/read':
      return readResource(request, params, lane);
    case 'completion/complete':
      return complete(request, params);
    default:
      // Known to the protocol, but nothing here declares the capability behind it.
      throw new RpcError(-32601, 'Method not found', { status: request.era === 'modern' ? 404 : 200 });
  }
}

/** Whatever was thrown, as an error that may be shown. Only our own errors keep their words. */
export function toRpcError(error: unknown, request: Pick<CallRequest, 'requestId' | 'parts'>): RpcError {
  if (error instanceof RpcError) return error;
  if (error instanceof Refusal) {
    request.parts.metrics.refused(error);
    return refusalToRpc(error, request.requestId);
  }
  const isDown = error instanceof Error && error.name === 'DatabaseUnavailable';
  if (isDown)
    return toRpcError(new Refusal('UNAVAILABLE', 'The gateway cannot serve now', { retryAfterMs: 1000 }), request);
  request.parts.log.error(
    { requestId: request.requestId, name: error instanceof Error ? error.name : typeof error },
    'mcp_request_failed',
  );
  if (error instanceof Error)
    request.parts.log.debug(
      { requestId: request.requestId, at: error.stack?.split('\n').slice(1, 6) },
      'mcp_request_failed_at',
    );
  return new RpcError(-32603, 'Internal error', { data: { code: 'INTERNAL_ERROR', requestId: request.requestId } });
}

export interface DirectAnswer {
  status: number;
  body: Record<string, unknown>;
  retryAfterMs?: number | undefined;
}

export const errorAnswer = (id: RequestId | null, error: RpcError, requestId: string): DirectAnswer => ({
  status: error.status,
  retryAfterMs: error.retryAfterMs,
  body: { jsonrpc: '2.0', id, error: { code: error.code, message: error.message, data: { requestId, ...error.data } } },
});

export async function answerDirect(
  request: CallRequest,
  inbound: Extract<Inbound, { kind: 'request' }>,
): Promise<DirectAnswer> {
  try {
    const result = await runRequest(request, inbound.method, inbound.params);
    return { status: 200, body: { jsonrpc: '2.0', id: inbound.id, result } };
  } catch (error) {
    return errorAnswer(inbound.id, toRpcError(error, request), request.requestId);
  }
}

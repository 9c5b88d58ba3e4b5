// Pure: shapes what leaves an MCP endpoint, for both lanes. First what the upstream sent about itself is deleted, then ours is set:
// an upstream's serverInfo, cache hints or result type must not reach the caller as ours. Also: refusals as tool results and RPC errors.
import { envelopeKeys, errorTable, type GatewayErrorData, metaKeys, type UserFallback } from '@mcp-valet/shared';
import type { Refusal } from '../refusal.ts';
import { isObject, RpcError } from './jsonrpc.ts';
import type { Era } from './request.ts';

export interface ServerInfo {
  name: string;
  title?: string;
  version: string;
}

const reservedMeta =
  /^(?:[a-z0-9.-]+\.)?(?:modelcontextprotocol|mcp)(?:\.[a-z0-9.-]+)?\/|^mcp-valet\/|^progressToken$/i;

/** An upstream's `_meta` without the keys that are reserved for the protocol or for us. */
function vendorMeta(meta: unknown): Record<string, unknown> | undefined {
  if (!isObject(meta)) return undefined;
  const entries = Object.entries(meta).filter(([key]) => !reservedMeta.test(key));
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** Takes away what an upstream may not say in our name. */
export function stripResult(result: Record<string, unknown>): Record<string, unknown> {
  const { _meta, ttlMs: _ttl, cacheScope: _scope, resultType: _type, ...rest } = result;
  const meta = vendorMeta(_meta);
  return meta === undefined ? rest : { ...rest, _meta: meta };
}

/** `structuredContent` that is no object cannot be expressed in the 2025 era: its JSON becomes text if there is no text. */
function legacyStructured(result: Record<string, unknown>): Record<string, unknown> {
  const { structuredContent, ...rest } = result;
  if (structuredContent === undefined || isObject(structuredContent)) return result;
  const content = Array.isArray(rest['content']) ? rest['content'] : [];
  const hasText = content.some((block) => isObject(block) && block['type'] === 'text');
  return hasText ? rest : { ...rest, content: [...content, { type: 'text', text: JSON.stringify(structuredContent) }] };
}

export interface Shape {
  era: Era;
  serverInfo: ServerInfo;
  /** Cache hints of complete list results, modern era only. */
  ttlMs?: number | undefined;
  resultType?: 'complete' | 'input_required' | undefined;
}

/** The final form of a result: era, our serverInfo, cache hints. `result` has been stripped. */
export function shapeResult(result: Record<string, unknown>, shape: Shape): Record<string, unknown> {
  if (shape.era === 'legacy') return result;
  const meta = isObject(result['_meta']) ? result['_meta'] : {};
  return {
    ...result,
    resultType: shape.resultType ?? 'complete',
    ...(shape.ttlMs !== undefined && { ttlMs: shape.ttlMs, cacheScope: 'private' }),
    _meta: { ...meta, [envelopeKeys.serverInfo]: shape.serverInfo },
  };
}

/** A tools/call result of an upstream, before the era's shape. */
export function shapeToolResult(result: Record<string, unknown>, era: Era): Record<string, unknown> {
  const withContent = result['content'] === undefined ? { ...result, content: [] } : result;
  return era === 'legacy' ? legacyStructured(withContent) : withContent;
}

export function errorData(refusal: Refusal, requestId: string): GatewayErrorData {
  const { connect, requiredScopes, missing } = refusal.details ?? {};
  const isScope = refusal.code === 'INSUFFICIENT_SCOPE' && Array.isArray(requiredScopes) && Array.isArray(missing);
  return {
    code: refusal.code,
    requestId,
    executed: refusal.executed,
    retryable: errorTable[refusal.code].retryable || refusal.retryAfterMs !== undefined,
    ...(refusal.retryAfterMs !== undefined && { retryAfterMs: refusal.retryAfterMs }),
    ...(isObject(connect) && { connect: connect as unknown as NonNullable<GatewayErrorData['connect']> }),
    ...(isScope && { requiredScopes: requiredScopes as string[], missingScopes: missing as string[] }),
  };
}

/** Refusals that belong to the transport or the key, not to the tool: they are JSON-RPC errors, some with their HTTP status. */
const rpcStatus: Partial<Record<Refusal['code'], number>> = {
  INVALID_REQUEST: 400,
  UNAUTHORIZED: 401,
  USER_NOT_FOUND: 403,
  USER_DISABLED: 403,
  INSUFFICIENT_SCOPE: 403,
  RATE_LIMITED: 429,
  UNAVAILABLE: 503,
  IDEMPOTENCY_IN_PROGRESS: 200,
  IDEMPOTENCY_MISMATCH: 200,
  ANSWER_NOT_KEPT: 200,
  INTERNAL_ERROR: 200,
};

/** Reasons of a FORBIDDEN that is about the caller and not about a tool: whom it may name, and from where it may call. */
const callerReasons: ReadonlySet<string> = new Set([
  'override_not_allowed',
  'user_not_on_key',
  'host_not_allowed',
  'origin_not_allowed',
  'server_not_for_key',
]);
const rpcStatusOf = (refusal: Refusal): number | undefined =>
  callerReasons.has(refusal.reason) ? 403 : rpcStatus[refusal.code];

/** A refusal as a JSON-RPC error: the HTTP status number is the code, as `data.code` has the word. */
export function refusalToRpc(refusal: Refusal, requestId: string): RpcError {
  const status = rpcStatusOf(refusal) ?? 200;
  // On MCP routes a 404 would mean a lost session to 2025-era clients.
  const code = refusal.code === 'USER_NOT_FOUND' ? 403 : refusal.code === 'INTERNAL_ERROR' ? -32603 : refusal.status;
  return new RpcError(code, refusal.message, {
    status,
    data: { ...errorData(refusal, requestId) },
    ...(refusal.retryAfterMs !== undefined && { retryAfterMs: refusal.retryAfterMs }),
  });
}

/** Whether a refused tools/call answers as a tool result (the agent can act on it) and not as a JSON-RPC error. */
export const isToolRefusal = (refusal: Refusal): boolean => rpcStatusOf(refusal) === undefined;

/** A refused tools/call as the tool result that an agent can read. */
export function refusalToResult(refusal: Refusal, requestId: string): Record<string, unknown> {
  const connectUrl = refusal.details?.['connectUrl'];
  const body = { error: refusal.message, code: refusal.code, ...(connectUrl !== undefined && { connectUrl }) };
  return {
    content: [{ type: 'text', text: JSON.stringify(body) }],
    isError: true,
    _meta: { [metaKeys.error]: errorData(refusal, requestId) },
  };
}

/** Says in a result that the call ran as somebody else. */
export function withFallback(result: Record<string, unknown>, fallback: UserFallback | null): Record<string, unknown> {
  if (fallback === null) return result;
  const meta = isObject(result['_meta']) ? result['_meta'] : {};
  const marked = { ...result, _meta: { ...meta, [metaKeys.userFallback]: fallback } };
  if (!Array.isArray(result['content'])) return marked;
  return { ...marked, content: [{ type: 'text', text: JSON.stringify(fallback) }, ...result['content']] };
}

/** Own JSON answer of a meta tool. */
export const jsonResult = (value: Record<string, unknown>): Record<string, unknown> => ({
  content: [{ type: 'text', text: JSON.stringify(value) }],
  structuredContent: value,
});

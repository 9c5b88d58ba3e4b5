// Transport and protocol checks that every MCP request passes before any lane: media type, Accept, size, JSON, era, standard headers, method.
// The era is taken from the body by the SDK's classifier; there is no second one. Pure but for reading the request.
import { legacyVersions, limits, modernVersion } from '@mcp-valet/shared';
import { classifyInboundRequest } from '@modelcontextprotocol/server';
import { decodeHeaderText } from '../connectors/param-headers.ts';
import { idOf, isObject, JsonError, parseJson, type RequestId, RpcError } from './jsonrpc.ts';
import type { Era } from './request.ts';

export type HeaderReader = (name: string) => string | undefined;

export type Inbound =
  | { kind: 'request'; era: Era; id: RequestId; method: string; params: Record<string, unknown>; body: unknown }
  | { kind: 'notification'; era: Era; method: string; body: unknown }
  | { kind: 'response'; era: 'legacy'; body: unknown }
  | { kind: 'batch'; era: 'legacy'; body: readonly unknown[] };

/** Refused, with the id that the answer echoes. */
export class GateRefusal extends Error {
  override readonly name = 'GateRefusal';
  readonly id: RequestId | null;
  readonly error: RpcError;
  constructor(error: RpcError, id: RequestId | null = null) {
    super(error.message);
    this.error = error;
    this.id = id;
  }
}

const essence = (value: string): string => (value.split(';')[0] ?? '').trim().toLowerCase();

/** Step 4: exactly `application/json`, parameters allowed. */
export function checkMediaType(header: HeaderReader): void {
  if (essence(header('content-type') ?? '') === 'application/json') return;
  throw new GateRefusal(
    new RpcError(415, 'Content-Type must be application/json', {
      status: 415,
      data: { code: 'UNSUPPORTED_MEDIA_TYPE' },
    }),
  );
}

/** The most specific range that matches decides, as RFC 9110 12.5.1 has it: a `q=0` refuses although a wildcard would not. */
function accepts(header: string, type: string): boolean {
  const ranges = new Map<string, boolean>();
  for (const range of header.split(',')) {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = parameters.find((parameter) => /^q\s*=/.test(parameter))?.split('=')[1];
    ranges.set(name, quality === undefined || Number(quality) !== 0);
  }
  const [main = ''] = type.split('/');
  return ranges.get(type) ?? ranges.get(`${main}/*`) ?? ranges.get('*/*') ?? false;
}

/** What nearly every client sends, in its two usual spellings. */
const usualAccepts = new Set(['application/json, text/event-stream', 'application/json,text/event-stream', '*/*']);

/** Step 7: absent or wildcard is fine; otherwise both types must be listed. */
export function checkAccept(
  accept: string | undefined,
  needed: readonly string[] = ['application/json', 'text/event-stream'],
): RpcError | undefined {
  if (accept === undefined || usualAccepts.has(accept) || accept.trim() === '') return undefined;
  if (needed.every((type) => accepts(accept, type))) return undefined;
  return new RpcError(406, `Accept must list ${needed.join(' and ')}`, {
    status: 406,
    data: { code: 'NOT_ACCEPTABLE' },
  });
}

const mirrored: Record<string, string> = { 'tools/call': 'name', 'prompts/get': 'name', 'resources/read': 'uri' };
const disagree = (body: string): RpcError =>
  new RpcError(-32020, `Bad Request: the request headers and body disagree: ${body}`, { status: 400 });

/** Step 9, modern requests: the standard headers are there and equal the body. */
function checkStandardHeaders(
  header: HeaderReader,
  method: string,
  params: Record<string, unknown>,
): RpcError | undefined {
  if (header('mcp-protocol-version') === undefined)
    return disagree('the required MCP-Protocol-Version header is absent');
  const sentMethod = header('mcp-method');
  if (sentMethod === undefined)
    return disagree(`the body names method ${method} but the required Mcp-Method header is absent`);
  const field = mirrored[method];
  if (field === undefined) return undefined;
  const value = params[field];
  const sent = header('mcp-name');
  if (sent === undefined) {
    return typeof value === 'string'
      ? disagree(`the body carries params.${field} but the required Mcp-Name header is absent`)
      : undefined;
  }
  const decoded = decodeHeaderText(sent);
  if (decoded === undefined) return disagree('the Mcp-Name header carries an invalid base64 sentinel value');
  return typeof value === 'string' && decoded !== value
    ? disagree(`the Mcp-Name header differs from params.${field}`)
    : undefined;
}

const modernMethods = new Set([
  'server/discover',
  'tools/list',
  'tools/call',
  'prompts/list',
  'prompts/get',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'completion/complete',
  'subscriptions/listen',
]);
const legacyMethods = new Set([
  'initialize',
  'ping',
  'tools/list',
  'tools/call',
  'prompts/list',
  'prompts/get',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'completion/complete',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
]);

/** Step 12: the method exists in this era. */
export function checkMethod(era: Era, method: string): RpcError | undefined {
  if ((era === 'modern' ? modernMethods : legacyMethods).has(method)) return undefined;
  return new RpcError(-32601, 'Method not found', { status: era === 'modern' ? 404 : 200 });
}

const messageKeys = new Set(['jsonrpc', 'id', 'method', 'params']);

/**
 * Whether a message is a 2025-era request at sight: nothing in it or beside it that could claim another era or be a reason to refuse it.
 * Only ever says yes where the SDK's classifier says so too (a test compares them); everything else is the classifier's.
 */
export function isPlainLegacyRequest(body: unknown, header: HeaderReader): body is Record<string, unknown> {
  if (!isObject(body) || body['jsonrpc'] !== '2.0' || typeof body['method'] !== 'string') return false;
  const { id, params } = body;
  if (typeof id !== 'string' && !Number.isSafeInteger(id)) return false;
  for (const key in body) if (!messageKeys.has(key)) return false;
  if (params === undefined ? Object.hasOwn(body, 'params') : !isObject(params) || '_meta' in params) return false;
  if (header('mcp-method') !== undefined || header('mcp-name') !== undefined) return false;
  const version = header('mcp-protocol-version');
  return version === undefined || (legacyVersions as readonly string[]).includes(version);
}

/** Steps 5 and 6 on the bytes, then 7 to 9 and 12. Throws GateRefusal. */
export function readInbound(bytes: Buffer, header: HeaderReader): Inbound {
  let body: unknown;
  try {
    body = parseJson(bytes, limits.jsonDepth, limits.mcpJsonNodes);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new GateRefusal(new RpcError(-32700, error.message, { status: 400 }));
  }
  const id = idOf(body);
  const refuse = (error: RpcError): never => {
    throw new GateRefusal(error, id);
  };
  const notAcceptable = checkAccept(header('accept'));
  if (notAcceptable !== undefined) refuse(notAcceptable);

  if (isPlainLegacyRequest(body, header) && id !== null) {
    const method = String(body['method']);
    const noMethod = checkMethod('legacy', method);
    if (noMethod !== undefined) refuse(noMethod);
    const params = (body['params'] ?? {}) as Record<string, unknown>;
    return { kind: 'request', era: 'legacy', id, method, params, body };
  }
  const version = header('mcp-protocol-version');
  const sentMethod = header('mcp-method');
  const sentName = header('mcp-name');
  const outcome = classifyInboundRequest({
    httpMethod: 'POST',
    ...(version !== undefined && { protocolVersionHeader: version }),
    ...(sentMethod !== undefined && { mcpMethodHeader: sentMethod }),
    ...(sentName !== undefined && { mcpNameHeader: sentName }),
    body,
  });
  if (outcome.kind === 'reject') {
    const data = isObject(outcome.data) ? outcome.data : undefined;
    return refuse(new RpcError(outcome.code, outcome.message, { status: outcome.httpStatus, ...(data && { data }) }));
  }
  if (outcome.kind === 'legacy' && outcome.reason === 'batch')
    return { kind: 'batch', era: 'legacy', body: body as unknown[] };
  if (outcome.kind === 'legacy' && outcome.reason === 'response') return { kind: 'response', era: 'legacy', body };
  const era: Era = outcome.kind;
  const message = body as Record<string, unknown>;
  const method = String(message['method']);
  if (id === null && !Object.hasOwn(message, 'id')) return { kind: 'notification', era, method, body };
  if (id === null) return refuse(new RpcError(-32600, 'The id must be a string or an integer', { status: 400 }));
  const params = message['params'];
  if (params !== undefined && !isObject(params))
    return refuse(new RpcError(-32602, 'params must be an object', { status: era === 'modern' ? 400 : 200 }));
  const request = { kind: 'request', era, id, method, params: params ?? {}, body } as const;
  if (outcome.kind === 'modern') {
    const requested = outcome.classification.revision;
    if (requested !== modernVersion) {
      refuse(
        new RpcError(-32022, 'Unsupported protocol version', {
          status: 400,
          data: { supported: [modernVersion], requested },
        }),
      );
    }
    const mismatch = checkStandardHeaders(header, method, request.params);
    if (mismatch !== undefined) refuse(mismatch);
  } else if (
    version !== undefined &&
    method !== 'initialize' &&
    !(legacyVersions as readonly string[]).includes(version.trim())
  ) {
    refuse(
      new RpcError(-32600, `Bad Request: unsupported protocol version`, {
        status: 400,
        data: { supported: [...legacyVersions] },
      }),
    );
  }
  const noMethod = checkMethod(era, method);
  if (noMethod !== undefined) refuse(noMethod);
  return request;
}

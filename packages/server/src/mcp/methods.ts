// What each MCP method answers, for both lanes: the final result, or a thrown RpcError. Transport, eras' headers and framing are the lanes'
// business; who may do what is decided in `call.ts` and `catalog.ts`.
import { legacyVersions, metaKeys, modernVersion } from '@mcp-valet/shared';
import { UpstreamFailure } from '../connectors/backend.ts';
import type { ListKind } from '../connectors/lists.ts';
import { paramHeaderMismatch, scanParamHeaders } from '../connectors/param-headers.ts';
import { limitHeaders, refusedHeaders } from '../rate-limits/take.ts';
import { Refusal } from '../refusal.ts';
import type { Answer } from './answer.ts';
import { runCall, type Step } from './call.ts';
import { resolveCaller } from './caller.ts';
import { findPublished, findUnlisted, listPublished } from './catalog.ts';
import { challenge, requiredScopes } from './challenge.ts';
import { isObject, RpcError } from './jsonrpc.ts';
import { type LaneRelay, relayOf } from './relay.ts';
import { type CallRequest, isDirect, type UserCall } from './request.ts';
import {
  isToolRefusal,
  refusalToResult,
  refusalToRpc,
  type ServerInfo,
  shapeResult,
  shapeToolResult,
  withFallback,
} from './result.ts';
import { openCursor, type StateBinding, sealCursor } from './state.ts';
import { isMetaTool, metaToolList, planMetaTool } from './tools/index.ts';
import { promptStep, timeoutOf, toolStep } from './upstream-step.ts';

export type Params = Record<string, unknown>;
type Result = Record<string, unknown>;

const pageSize = 1000;

export const serverInfoOf = ({ server, parts }: CallRequest): ServerInfo => ({
  name: 'MCP Valet',
  ...(server !== null && { title: server.name }),
  version: parts.version,
});

/** What an endpoint can do. Direct mode proxies lists that may change; a stateless 2025 request can hear of nothing. */
export function capabilitiesOf(request: CallRequest, options: { hasStream: boolean }): Record<string, unknown> {
  const changes = options.hasStream ? { listChanged: true } : {};
  if (!isDirect(request)) return { tools: changes, prompts: {}, resources: {} };
  return {
    tools: changes,
    prompts: changes,
    resources: { ...changes, ...(options.hasStream && { subscribe: true }) },
    completions: {},
    ...(options.hasStream && { logging: {} }),
  };
}

const instructionsOf = (request: CallRequest): Result => {
  const text = request.server?.customInstructions ?? undefined;
  return text === undefined ? {} : { instructions: text };
};

/** The effective user of a request that only reads lists, and a permit of the lists' own limit. */
export async function resolveReader(request: CallRequest): Promise<UserCall> {
  const call = await guarded(request, () => resolveCaller(request, false));
  const permit = await guarded(request, () => call.parts.limits.list(call.principal.accountId, call.user.record.id));
  Object.assign(request.replyHeaders, limitHeaders(permit));
  return call;
}

/** Turns our refusals into the JSON-RPC errors of this plane. */
async function guarded<T>(request: CallRequest, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof Refusal) {
      Object.assign(request.replyHeaders, refusedHeaders(error));
      throw refusalToRpc(error, request.requestId);
    }
    throw error;
  }
}

export const finish = (call: UserCall, result: Result, ttlMs?: number): Result =>
  shapeResult(withFallback(result, call.user.fallback), { era: call.era, serverInfo: serverInfoOf(call), ttlMs });

export async function initialize(
  request: CallRequest,
  params: Params,
  options: { hasStream: boolean },
): Promise<Result> {
  await resolveReader(request);
  const asked = params['protocolVersion'];
  if (typeof asked !== 'string' || !isObject(params['capabilities']) || !isObject(params['clientInfo'])) {
    throw new RpcError(-32602, 'initialize needs protocolVersion, capabilities and clientInfo');
  }
  const isKnown = (legacyVersions as readonly string[]).includes(asked);
  return {
    protocolVersion: isKnown ? asked : legacyVersions.at(-1),
    capabilities: capabilitiesOf(request, options),
    serverInfo: serverInfoOf(request),
    ...instructionsOf(request),
  };
}

export async function ping(request: CallRequest): Promise<Result> {
  await resolveReader(request);
  return {};
}

export async function discover(request: CallRequest): Promise<Result> {
  const call = await resolveReader(request);
  const result = {
    supportedVersions: [modernVersion],
    capabilities: capabilitiesOf(request, { hasStream: true }),
    ...instructionsOf(request),
  };
  return finish(call, result, 60_000);
}

const listFields: Record<ListKind, string> = {
  tools: 'tools',
  prompts: 'prompts',
  resources: 'resources',
  templates: 'resourceTemplates',
};

/** One of the four lists, filtered for this user. */
export async function listItems(request: CallRequest, kind: ListKind, params: Params): Promise<Result> {
  const call = await resolveReader(request);
  const cursor = params['cursor'];
  if (cursor !== undefined && typeof cursor !== 'string') throw new RpcError(-32602, 'cursor must be a string');
  const from = cursor === undefined ? 0 : openCursor(call, kind, cursor);
  const field = listFields[kind];
  if (!isDirect(call)) return finish(call, { [field]: kind === 'tools' ? metaToolList : [] }, 60_000);
  const { items, ttlMs, unavailable } = await listPublished(call, kind);
  const page = items.slice(from, from + pageSize).map((item) => (call.era === 'legacy' ? legacyItem(item) : item));
  const next = from + pageSize < items.length ? { nextCursor: sealCursor(call, kind, from + pageSize) } : {};
  const meta = unavailable.length > 0 ? { _meta: { [metaKeys.unavailable]: unavailable } } : {};
  return finish(call, { [field]: page, ...next, ...meta }, ttlMs);
}

/** A non-object outputSchema cannot be expressed in the 2025 era. */
function legacyItem(item: Record<string, unknown>): Record<string, unknown> {
  const { outputSchema, ...rest } = item;
  if (outputSchema === undefined || (isObject(outputSchema) && (outputSchema['type'] ?? 'object') === 'object'))
    return item;
  return rest;
}

/** The result of a call in its final form; refusals of tools/call that an agent can act on become tool results. */
function settle(call: UserCall, answer: Answer, method: 'tools/call' | 'prompts/get' | 'resources/read'): Result {
  const { error } = answer;
  const isTool = method === 'tools/call';
  if (error instanceof RpcError) throw error;
  if (error !== null && !(isTool && isToolRefusal(error))) throw refusalToRpc(error, call.requestId);
  const result = error === null ? answer.result : refusalToResult(error, call.requestId);
  if (answer.inputRequired) {
    return shapeResult(result, { era: call.era, serverInfo: serverInfoOf(call), resultType: 'input_required' });
  }
  const shaped = isTool ? shapeToolResult(result, call.era) : result;
  return finish(call, shaped, method === 'resources/read' ? 0 : undefined);
}

export async function runMethod(
  request: CallRequest,
  method: 'tools/call' | 'prompts/get' | 'resources/read',
  plan: Parameters<typeof runCall>[1],
): Promise<Result> {
  try {
    const { call, answer } = await runCall(request, plan);
    return settle(call, answer, method);
  } catch (error) {
    if (error instanceof UpstreamFailure) {
      // Only a list that had to be read first can fail here: nothing ran.
      const refusal = new Refusal('UPSTREAM_UNREACHABLE', 'Upstream unreachable', { reason: `upstream_${error.kind}` });
      if (method === 'tools/call') return unplaced(request, refusal);
      throw refusalToRpc(refusal, request.requestId);
    }
    if (!(error instanceof Refusal)) throw error;
    if (method === 'tools/call' && (isToolRefusal(error) || isKeysOwn(request, error))) return unplaced(request, error);
    await addChallenge(request, error);
    throw refusalToRpc(error, request.requestId);
  }
}

/** A key that lacks a tool's scope reads so like any other refusal; only a user can go and get another token. */
const isKeysOwn = ({ principal }: CallRequest, { code }: Refusal): boolean =>
  code === 'INSUFFICIENT_SCOPE' && principal.proof === null;

/** A user token that lacks a scope: HTTP 403 with what the client must ask for. */
async function addChallenge({ parts, principal, server, replyHeaders }: CallRequest, error: Refusal): Promise<void> {
  if (error.code !== 'INSUFFICIENT_SCOPE' || principal.proof === null) return;
  replyHeaders['www-authenticate'] = await challenge(parts, server?.id, {
    error: 'insufficient_scope',
    scopes: requiredScopes(error),
  });
}

/** A refused tools/call as a result, before a step existed. */
const unplaced = (request: CallRequest, refusal: Refusal): Result =>
  shapeResult(refusalToResult(refusal, request.requestId), { era: request.era, serverInfo: serverInfoOf(request) });

const unknown = (thing: string, name: string): RpcError =>
  new RpcError(-32602, `Unknown ${thing}: ${name}`, { data: { executed: 'no' } });

export function callTool(request: CallRequest, params: Params, lane: LaneRelay = {}): Promise<Result> {
  const { name } = params;
  const args = params['arguments'] ?? {};
  if (typeof name !== 'string') throw new RpcError(-32602, 'name must be a string');
  if (!isObject(args)) throw new RpcError(-32602, 'arguments must be an object');
  return runMethod(request, 'tools/call', async (call) => {
    const binding = { method: 'tools/call', name, params: { name, arguments: args } };
    if (!isDirect(call)) {
      if (!isMetaTool(name)) throw unknown('tool', name);
      const connectorId = args['connectorId'];
      const all = await call.parts.directory.connectors(call.principal.accountId);
      const connector = typeof connectorId === 'string' ? all.get(connectorId) : undefined;
      const relay = connector === undefined ? {} : await relayOf(call, connector, params, binding, lane);
      return planMetaTool(name, args, call, relay);
    }
    const entry = await findPublished(call, 'tools', name);
    if (entry === undefined) return unlistedTool(call, params, name, binding, lane);
    if (call.era === 'modern') checkParamHeaders(call, entry.named.item['inputSchema'], args);
    const relay = await relayOf(call, entry.connector, params, binding, lane);
    const target = { connector: entry.connector, item: entry.named.item, arguments: args };
    return { ...toolStep(call, target, name, relay), hiddenAs: () => unknown('tool', name) };
  });
}

/** A tool that cannot be looked up before the user connects an account: the call ends as one for want of a credential. */
async function unlistedTool(
  call: UserCall,
  params: Params,
  name: string,
  binding: Omit<StateBinding, 'connectorId' | 'credentialId'>,
  lane: LaneRelay,
): Promise<Step> {
  const found = await findUnlisted(call, name);
  if (found === undefined) throw unknown('tool', name);
  const args = isObject(params['arguments']) ? params['arguments'] : {};
  const relay = await relayOf(call, found.connector, params, binding, lane);
  return {
    label: name,
    target: found,
    input: { connector: found.connector.id, name: found.action, arguments: args },
    credential: { use: 'choose' },
    hiddenAs: () => unknown('tool', name),
    isLocalRead: false,
    timeoutMs: timeoutOf(call, found.connector),
    dialog: relay.dialog,
    /** The user has connected since: now the tool can be looked up. The decision was about the name as it stands, so it must be that tool. */
    async run(upstream, signal) {
      const { named } = (await findPublished(call, 'tools', name)) ?? {};
      if (named?.name !== found.action) throw unknown('tool', name);
      if (call.era === 'modern') checkParamHeaders(call, named.item['inputSchema'], args);
      const target = { connector: found.connector, item: named.item, arguments: args };
      return toolStep(call, target, name, relay).run(upstream, signal, call);
    },
  };
}

function checkParamHeaders(call: UserCall, schema: unknown, args: Record<string, unknown>): void {
  const scan = scanParamHeaders(schema);
  const mismatch = scan.valid ? paramHeaderMismatch(scan.headers, args, call.header) : undefined;
  if (mismatch === undefined) return;
  throw new RpcError(-32020, `Bad Request: the request headers and body disagree: ${mismatch.body}`, {
    status: 400,
    data: { mismatch },
  });
}

export function getPrompt(request: CallRequest, params: Params, lane: LaneRelay = {}): Promise<Result> {
  const { name } = params;
  if (typeof name !== 'string') throw new RpcError(-32602, 'name must be a string');
  return runMethod(request, 'prompts/get', async (call) => {
    const entry = isDirect(call) ? await findPublished(call, 'prompts', name) : undefined;
    if (entry === undefined) throw unknown('prompt', name);
    const args = params['arguments'];
    const binding = { method: 'prompts/get', name, params: { name, arguments: args } };
    const relay = await relayOf(call, entry.connector, params, binding, lane);
    return {
      ...promptStep(call, entry.connector, entry.named.name, args, relay),
      hiddenAs: () => unknown('prompt', name),
    };
  });
}

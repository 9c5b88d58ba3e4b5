// Resources and completions of a direct-mode endpoint: the same resolver, decisions, limits and scrubbing as tools. URIs and names are
// mapped between what we publish and what the upstream knows; never inside text.

import { UpstreamFailure } from '../connectors/backend.ts';
import { openUpstream } from '../connectors/forward.ts';
import type { ConnectorRecord } from '../identity/records.ts';
import { decideOn, rulesOf } from './caller.ts';
import { chooseCredential, findPublished, prefixOf, serverConnectors } from './catalog.ts';
import { isObject, RpcError } from './jsonrpc.ts';
import { finish, type Params, resolveReader, runMethod } from './methods.ts';
import { splitUri } from './names.ts';
import { type LaneRelay, relayOf } from './relay.ts';
import { type CallRequest, isDirect, onBehalf, type UserCall } from './request.ts';
import { stripResult } from './result.ts';
import { resourceStep } from './upstream-step.ts';

const completionWithinMs = 5_000;

/** The connector and own URI (or URI template) of a published one. */
export async function locateUri(
  call: UserCall,
  published: string,
): Promise<{ connector: ConnectorRecord; uri: string } | undefined> {
  if (!isDirect(call)) return undefined;
  const connectors = await serverConnectors(call);
  const split = splitUri(
    published,
    connectors.map(({ id }) => id),
    prefixOf(call),
  );
  const connector = connectors.find(({ id }) => id === split?.connectorId);
  return split && connector && { connector, uri: split.uri };
}

const resourceNotFound = (uri: string): RpcError => new RpcError(-32602, 'Resource not found', { data: { uri } });

export function readResource(
  request: CallRequest,
  params: Params,
  lane: LaneRelay = {},
): Promise<Record<string, unknown>> {
  const { uri } = params;
  if (typeof uri !== 'string') throw new RpcError(-32602, 'uri must be a string');
  return runMethod(request, 'resources/read', async (call) => {
    const found = await locateUri(call, uri);
    if (found === undefined) throw resourceNotFound(uri);
    const binding = { method: 'resources/read', name: uri, params: { uri } };
    const relay = await relayOf(call, found.connector, params, binding, lane);
    return { ...resourceStep(call, found.connector, found.uri, relay), hiddenAs: () => resourceNotFound(uri) };
  });
}

interface CompletionTarget {
  connector: ConnectorRecord;
  ref: Record<string, unknown>;
  action: string;
}

async function completionTarget(call: UserCall, ref: Params): Promise<CompletionTarget | undefined> {
  if (ref['type'] === 'ref/prompt' && typeof ref['name'] === 'string') {
    const entry = isDirect(call) ? await findPublished(call, 'prompts', ref['name']) : undefined;
    return entry && { connector: entry.connector, ref: { ...ref, name: entry.named.name }, action: entry.named.name };
  }
  if (ref['type'] === 'ref/resource' && typeof ref['uri'] === 'string') {
    const found = await locateUri(call, ref['uri']);
    return found && { connector: found.connector, ref: { ...ref, uri: found.uri }, action: found.uri };
  }
  throw new RpcError(-32602, 'ref must name a prompt or a resource template');
}

/** Suggestions for an argument. Reads only; what the user may not use completes like what does not exist. */
export async function complete(request: CallRequest, params: Params): Promise<Record<string, unknown>> {
  const call = await resolveReader(request);
  const { ref, argument } = params;
  if (!isObject(ref) || !isObject(argument)) throw new RpcError(-32602, 'completion/complete needs ref and argument');
  const target = await completionTarget(call, ref);
  const decision = target && decideOn(rulesOf(call), target.connector, target.action);
  if (target === undefined || !decision?.allowed) throw new RpcError(-32602, 'Unknown completion reference');
  const choice = await chooseCredential(call, target.connector);
  if (choice.kind === 'missing' || choice.kind === 'reauth') throw new RpcError(-32602, 'Unknown completion reference');
  const upstream = await openUpstream(
    call.parts.vault,
    target.connector,
    onBehalf(call),
    choice.kind === 'use' ? choice.credential : null,
    call.session,
  );
  const context = params['context'] === undefined ? {} : { context: params['context'] };
  try {
    const { result } = await call.parts.carriers.request(upstream, {
      method: 'completion/complete',
      params: { ref: target.ref, argument, ...context },
      signal: AbortSignal.timeout(completionWithinMs),
    });
    return finish(call, stripResult(result));
  } catch (error) {
    if (!(error instanceof UpstreamFailure)) throw error;
    if (error.kind === 'rpc' && error.rpc?.code === -32602) throw new RpcError(-32602, error.rpc.message);
    // Suggestions are a comfort: an upstream that cannot give any gives none.
    return finish(call, { completion: { values: [], total: 0, hasMore: false } });
  }
}

// Which lane answers a message: the direct lane, one JSON answer without SDK code, or the SDK lane for what needs a session or a stream.
// Decided once, after the gate; a message never changes lanes.
import { envelopeKeys } from '@mcp-valet/shared';
import { keyFor } from '../connectors/forward.ts';
import { effectiveUser } from '../identity/effective-user.ts';
import { Refusal } from '../refusal.ts';
import { chooseCredential, visibleConnectors } from './catalog.ts';
import type { Inbound } from './gate.ts';
import { isObject } from './jsonrpc.ts';
import { type CallRequest, isDirect, onBehalf } from './request.ts';

/** Methods whose whole point is a stream or a session. */
const streaming = new Set(['subscriptions/listen']);

const interactive = ['elicitation', 'sampling', 'roots'];

/** Whether a connector of this direct-mode endpoint is known to keep upstream sessions for this user. */
async function needsUpstreamSession(request: CallRequest): Promise<boolean> {
  try {
    const policy = {
      onUnknownUser: request.server?.onUnknownUser ?? request.parts.config.onUnknownUser,
      strict: request.strict,
    };
    const user = await effectiveUser(request.principal, request.sources, policy, request.parts.directory);
    const call = { ...request, user };
    for (const connector of await visibleConnectors(call)) {
      const choice = await chooseCredential(call, connector);
      const key = keyFor(connector, onBehalf(call), choice.kind === 'use' ? choice.credential : null);
      const verdict = request.parts.carriers.peekVerdict(key);
      if (connector.transport === 'sse' || (verdict !== undefined && !verdict.modern && verdict.legacy === 'session'))
        return true;
    }
  } catch (error) {
    // Whoever may not call is told so by the method itself.
    if (!(error instanceof Refusal)) throw error;
  }
  return false;
}

/** Whether this `initialize` gets a session: asked for by the server, or needed for what client or upstream declare. */
export async function mintsSession(request: CallRequest, params: Record<string, unknown>): Promise<boolean> {
  const sessions = request.server?.sessions ?? 'auto';
  if (sessions !== 'auto') return sessions === 'always';
  // The next request may go to another replica, which would know nothing of it, and the official clients do not begin anew by themselves.
  if (request.parts.replicas.live() > 1) return false;
  const capabilities = isObject(params['capabilities']) ? params['capabilities'] : {};
  if (interactive.some((name) => Object.hasOwn(capabilities, name))) return true;
  return isDirect(request) && needsUpstreamSession(request);
}

export async function chooseLane(
  request: CallRequest,
  inbound: Extract<Inbound, { kind: 'request' }>,
  sessionId: string | undefined,
): Promise<'direct' | 'sdk'> {
  const { era, method, params } = inbound;
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  if (meta['progressToken'] !== undefined || streaming.has(method)) return 'sdk';
  if (era === 'modern') return meta[envelopeKeys.logLevel] === undefined ? 'direct' : 'sdk';
  if (sessionId !== undefined) return 'sdk';
  return method === 'initialize' && (await mintsSession(request, params)) ? 'sdk' : 'direct';
}

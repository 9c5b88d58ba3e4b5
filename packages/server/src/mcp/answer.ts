// What a call came to, before a plane gives it a form: a result to pass on, or a refusal or JSON-RPC error that stands for it. Also how an
// answer is kept for replays, and how an upstream's failure becomes one. No I/O.
import { limits } from '@mcp-valet/shared';
import { UpstreamFailure } from '../connectors/backend.ts';
import { InjectError } from '../connectors/inject.ts';
import { DatabaseUnavailable } from '../db/errors.ts';
import type { CallOutcome } from '../db/hot-path.ts';
import { Refusal } from '../refusal.ts';
import type { CallClock } from './clock.ts';
import { isObject, RpcError } from './jsonrpc.ts';
import type { UserCall } from './request.ts';

export interface Answer {
  /** Stripped of what the upstream may not say; shaped for the era later. */
  result: Record<string, unknown>;
  /** Set when the answer is not a result: `result` is then empty. */
  error: Refusal | RpcError | null;
  outcome: CallOutcome;
  /** What becomes of the idempotency claim. */
  keep: 'done' | 'unknown' | 'released';
  /** From the upstream, modern era only. */
  inputRequired?: boolean;
}

export function resultAnswer(result: Record<string, unknown>, upstreamStatus?: number | null): Answer {
  const outcome: CallOutcome = { outcome: result['isError'] === true ? 'tool_error' : 'ok' };
  if (typeof upstreamStatus === 'number') outcome.upstreamStatus = upstreamStatus;
  return { result, error: null, outcome, keep: 'done' };
}

/** A refusal as the answer of a call that had an intent. */
export function ofRefusal(refusal: Refusal): Answer {
  const isUnknown = refusal.executed === 'unknown';
  // Nothing ran, and the same key may be used again when what was missing is there.
  const isWant =
    refusal.code === 'CREDENTIALS_REQUIRED' || refusal.code === 'REAUTH_REQUIRED' || refusal.reason === 'budget_spent';
  return {
    result: {},
    error: refusal,
    outcome: { outcome: isUnknown ? 'unknown' : isWant ? 'refused' : 'failed', reason: refusal.reason },
    keep: isUnknown ? 'unknown' : isWant ? 'released' : 'done',
  };
}

/** JSON-RPC codes that mean the same to both eras; anything else of an upstream is an internal error of its own. */
const relayedCodes = new Set([-32600, -32601, -32602, -32603]);

/** An upstream needs what the caller did not declare: the modern era has an error for it, an older client only reads about it. */
function ofMissingCapability(failure: UpstreamFailure, call: UserCall): Answer {
  const { message = '', data } = failure.rpc ?? {};
  const outcome: CallOutcome = {
    outcome: 'tool_error',
    reason: 'rpc -32021',
    upstreamStatus: failure.status ?? undefined,
  };
  if (call.era === 'legacy') {
    return { ...resultAnswer({ content: [{ type: 'text', text: message }], isError: true }), outcome };
  }
  const needed = isObject(data) && isObject(data['requiredCapabilities']) ? data['requiredCapabilities'] : {};
  const error = new RpcError(-32021, message, { status: 400, data: { requiredCapabilities: needed } });
  return { result: {}, error, outcome, keep: 'released' };
}

/** Words by which the gateway itself speaks in an error's data: clients send again, or show a link, because of them. */
const gatewayWords = new Set(['code', 'requestId', 'executed', 'retryable', 'retryAfterMs', 'connect', 'connectUrl']);

/** An upstream's error data without what would pass for ours. Its own numbers and other fields stay. */
function foreignData(data: unknown): Record<string, unknown> | undefined {
  if (!isObject(data)) return undefined;
  return Object.fromEntries(
    Object.entries(data).filter(
      ([key, value]) => !gatewayWords.has(key) || (key === 'code' && typeof value !== 'string'),
    ),
  );
}

/** The upstream wants the user to open a page first: a session that can show one is told so, everybody else reads the address. */
function ofUrlElicitation(failure: UpstreamFailure, call: UserCall): Answer {
  const { message = '', data } = failure.rpc ?? {};
  const outcome: CallOutcome = {
    outcome: 'tool_error',
    reason: 'rpc -32042',
    upstreamStatus: failure.status ?? undefined,
  };
  const declared = call.session?.capabilities['elicitation'];
  if (isObject(declared) && Object.hasOwn(declared, 'url') && isObject(data)) {
    return {
      result: {},
      error: new RpcError(-32042, message, { data: foreignData(data) ?? {} }),
      outcome,
      keep: 'released',
    };
  }
  const pages = isObject(data) && Array.isArray(data['elicitations']) ? (data['elicitations'] as unknown[]) : [];
  const urls = pages.flatMap((page) => (isObject(page) && typeof page['url'] === 'string' ? [page['url']] : []));
  const text = [message, ...urls].join('\n');
  return { ...resultAnswer({ content: [{ type: 'text', text }], isError: true }), outcome, keep: 'released' };
}

function ofRpc(failure: UpstreamFailure, call: UserCall): Answer {
  if (failure.rpc?.code === -32021) return ofMissingCapability(failure, call);
  if (failure.rpc?.code === -32042) return ofUrlElicitation(failure, call);
  const code = failure.rpc?.code ?? -32603;
  const isKnown = relayedCodes.has(code);
  const message = failure.rpc?.message ?? '';
  const data = foreignData(failure.rpc?.data);
  // Resource not found was -32002 in the 2025 era and is invalid params since.
  const error = new RpcError(isKnown ? code : code === -32002 ? -32602 : -32603, message, {
    ...(data && { data }),
  });
  return {
    result: {},
    error,
    outcome: { outcome: 'tool_error', reason: `rpc ${code}`, upstreamStatus: failure.status ?? undefined },
    keep: 'done',
  };
}

/** What was really waited: a probe or a handshake gives up before the call's own deadline. */
const waitedMs = (clock: CallClock): number => (clock.signal.aborted ? clock.timeoutMs : clock.elapsedMs());

function refusalOf(failure: UpstreamFailure, call: UserCall, connectorId: string, clock: CallClock): Refusal {
  const { executed, retryAfterMs } = failure;
  const reason = `upstream_${failure.kind}`;
  switch (failure.kind) {
    case 'unreachable':
      return new Refusal('UPSTREAM_UNREACHABLE', failure.words ?? 'Upstream unreachable', {
        reason,
        executed,
        retryAfterMs,
        word: 'upstream_unreachable',
      });
    case 'timeout':
      return new Refusal('UPSTREAM_TIMEOUT', failure.words ?? `Upstream timed out after ${waitedMs(clock)} ms`, {
        reason,
        executed,
      });
    case 'unauthorized':
      return new Refusal(
        'REAUTH_REQUIRED',
        `The credentials of ${call.user.record.username} for connector ${connectorId} are no longer accepted`,
        {
          reason,
          executed,
        },
      );
    case 'forbidden':
      return new Refusal('UPSTREAM_ERROR', 'Upstream refused access', { reason, executed });
    case 'rate_limited':
      return new Refusal('UPSTREAM_ERROR', failure.words ?? 'Upstream limits requests', {
        reason,
        executed,
        retryAfterMs: retryAfterMs ?? 1000,
      });
    case 'wrong_era':
    case 'session_lost':
      return new Refusal('UPSTREAM_ERROR', 'Upstream does not accept MCP requests at this address', {
        reason,
        executed,
      });
    default:
      return new Refusal('UPSTREAM_ERROR', failure.words ?? 'Upstream failed', { reason, executed, retryAfterMs });
  }
}

/** Whatever was thrown on the way, as the answer of the call. Only our own refusals and protocol errors keep their words. */
export function answerOfFailure(
  error: unknown,
  call: UserCall,
  connectorId: string | undefined,
  clock: CallClock,
): Answer {
  if (error instanceof UpstreamFailure) {
    if (error.kind === 'rpc') return ofRpc(error, call);
    return ofRefusal(refusalOf(error, call, connectorId ?? '', clock));
  }
  if (error instanceof InjectError) {
    return ofRefusal(
      new Refusal(
        'CREDENTIALS_REQUIRED',
        `No credentials found for ${call.user.record.username} on connector ${connectorId ?? ''}`,
        {
          reason: 'secret_missing',
          // The name, never a value: whoever set the connector up learns what a user still has to give.
          details: { missing: error.missing },
        },
      ),
    );
  }
  if (error instanceof DatabaseUnavailable) {
    // What a step still looks up, it looks up before it sends: the same key may be used again.
    const executed = clock.upstreamMs > 0 ? 'unknown' : 'no';
    const reason = `database:${error.code}`;
    const refusal = new Refusal('UNAVAILABLE', 'The gateway cannot serve now', {
      retryAfterMs: 1000,
      reason,
      executed,
    });
    return executed === 'no' ? { ...ofRefusal(refusal), keep: 'released' } : ofRefusal(refusal);
  }
  if (error instanceof Refusal) return ofRefusal(error);
  if (error instanceof RpcError)
    return { result: {}, error, outcome: { outcome: 'tool_error', reason: `rpc ${error.code}` }, keep: 'done' };
  call.parts.log.error(
    { requestId: call.requestId, name: error instanceof Error ? error.name : typeof error },
    'call_failed_unexpectedly',
  );
  if (error instanceof Error)
    call.parts.log.debug({ requestId: call.requestId, stack: error.stack?.split('\n').slice(1, 6) }, 'call_failed_at');
  return ofRefusal(new Refusal('INTERNAL_ERROR', 'Internal error', { reason: 'internal' }));
}

interface StoredAnswer {
  v: 1;
  result?: Record<string, unknown>;
  refusal?: {
    code: Refusal['code'];
    message: string;
    reason: string;
    executed: Refusal['executed'];
    retryAfterMs?: number;
  };
  rpc?: { code: number; message: string; data?: Record<string, unknown> };
  outcome: CallOutcome['outcome'];
}

/** The answer as bytes to be sealed; undefined when it is too large to keep. */
export function encodeAnswer({ result, error, outcome }: Answer): Uint8Array | undefined {
  const stored: StoredAnswer = { v: 1, outcome: outcome.outcome };
  if (error instanceof Refusal) {
    const { code, message, reason, executed, retryAfterMs } = error;
    stored.refusal = { code, message, reason, executed, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  } else if (error instanceof RpcError) {
    stored.rpc = { code: error.code, message: error.message, ...(error.data && { data: error.data }) };
  } else stored.result = result;
  const bytes = Buffer.from(JSON.stringify(stored), 'utf8');
  return bytes.length > limits.storedAnswerBytes ? undefined : bytes;
}

export function decodeAnswer(bytes: Uint8Array): Answer {
  const stored = JSON.parse(Buffer.from(bytes).toString('utf8')) as StoredAnswer;
  const error = stored.refusal
    ? new Refusal(stored.refusal.code, stored.refusal.message, stored.refusal)
    : stored.rpc
      ? new RpcError(stored.rpc.code, stored.rpc.message, stored.rpc.data ? { data: stored.rpc.data } : {})
      : null;
  return { result: stored.result ?? {}, error, outcome: { outcome: stored.outcome }, keep: 'done' };
}

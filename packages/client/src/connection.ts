// Tells from a fetch rejection how far the request came, by walking `cause.code`. Pure. No message text is read but
// one, and a code we do not know counts as "may have been sent".
import { curatedCause } from './error-base.ts';
import { ConnectionError, type ErrorFields } from './errors.ts';

type Phase = ConnectionError['phase'];

/** Codes after which no byte of the request can have left. Node, undici and Bun names. */
const neverSent: Readonly<Record<string, Phase>> = {
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  ECONNREFUSED: 'connect',
  ConnectionRefused: 'connect',
  FailedToOpenSocket: 'connect',
  EHOSTUNREACH: 'connect',
  ENETUNREACH: 'connect',
  ENETDOWN: 'connect',
  EADDRNOTAVAIL: 'connect',
  UND_ERR_CONNECT_TIMEOUT: 'connect',
  CERT_HAS_EXPIRED: 'tls',
  CERT_NOT_YET_VALID: 'tls',
  CERT_REVOKED: 'tls',
  CERT_UNTRUSTED: 'tls',
  CERT_SIGNATURE_FAILURE: 'tls',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls',
  UNABLE_TO_GET_ISSUER_CERT: 'tls',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'tls',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls',
  ERR_TLS_CERT_ALTNAME_INVALID: 'tls',
  ERR_SSL_WRONG_VERSION_NUMBER: 'tls',
};

const sentences: Readonly<Record<Phase, string>> = {
  dns: 'The host name could not be resolved',
  connect: 'The connection could not be made',
  tls: 'The TLS certificate or handshake was refused',
  send: 'The connection broke while the request was sent',
  receive: 'The connection broke before the answer was complete',
};

interface Reason {
  code: string | undefined;
  phase: Phase;
  sent: 'no' | 'maybe';
}

const maxDepth = 8;

function reasonOf(error: unknown, depth = 0): Reason {
  const unknown: Reason = { code: undefined, phase: 'receive', sent: 'maybe' };
  if (depth > maxDepth || typeof error !== 'object' || error === null) return unknown;
  const { code, syscall, errors, cause } = error as Record<string, unknown>;
  // Several addresses were tried: only if every one of them failed early did nothing leave.
  if (Array.isArray(errors) && errors.length > 0) {
    const reasons = errors.map((entry) => reasonOf(entry, depth + 1));
    return reasons.find((reason) => reason.sent === 'maybe') ?? reasons[0] ?? unknown;
  }
  if (typeof code === 'string' && Object.hasOwn(neverSent, code)) {
    return { code, phase: neverSent[code] ?? 'connect', sent: 'no' };
  }
  // The same ETIMEDOUT or ECONNRESET means "never sent" only while connecting.
  if (typeof code === 'string' && syscall === 'connect') return { code, phase: 'connect', sent: 'no' };
  if (cause !== undefined && cause !== error) {
    const deeper = reasonOf(cause, depth + 1);
    if (deeper.code !== undefined || deeper.sent === 'no') return deeper;
  }
  if (typeof code !== 'string')
    return isRefusedPort(error) ? { code: 'BAD_PORT', phase: 'connect', sent: 'no' } : unknown;
  return { code, phase: code === 'EPIPE' ? 'send' : 'receive', sent: 'maybe' };
}

/** `fetch` itself refuses some ports (1, 9, 6000, …). It has no code for that, and only its own words; nobody else's error gets here. */
const isRefusedPort = (error: object): boolean => (error as { message?: unknown }).message === 'bad port';

/** The error for a rejected fetch that was neither our abort nor our timer. */
export function connectionError(error: unknown, context: Partial<ErrorFields>): ConnectionError {
  const { code, phase, sent } = reasonOf(error);
  const message = sentences[phase];
  return new ConnectionError({
    ...context,
    message,
    phase,
    sent,
    ...(code !== undefined && { details: { cause: code } }),
    cause: curatedCause(message, code),
  });
}

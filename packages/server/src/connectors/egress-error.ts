// The one error that outbound requests end with, and the translation of what undici and Node throw into it.
// Its message is always one of our own sentences: no upstream text, header value, URL or address may enter it, because it
// is shown to callers and logged. There is deliberately no `cause`.

export type EgressErrorCode =
  | 'EGRESS_REFUSED'
  | 'UNREACHABLE'
  | 'TIMEOUT'
  | 'TOO_LARGE'
  | 'REDIRECT'
  | 'BROKEN'
  | 'ABORTED';

const SENTENCES: Record<EgressErrorCode, string> = {
  EGRESS_REFUSED: 'The gateway does not send requests to this address.',
  UNREACHABLE: 'The upstream could not be reached.',
  TIMEOUT: 'The upstream did not answer in time.',
  TOO_LARGE: 'The answer of the upstream is larger than allowed.',
  REDIRECT: 'The upstream answered with a redirect; redirects are not followed.',
  BROKEN: 'The upstream broke off or answered with something that is not valid HTTP.',
  ABORTED: 'The request was cancelled.',
};

/**
 * Why an outbound request has no answer. `sent` is `'no'` only where it is certain that not one byte of the request left this
 * process, so that the caller may say "not executed"; everything else is `'maybe'`.
 */
export class EgressError extends Error {
  override readonly name = 'EgressError';
  readonly code: EgressErrorCode;
  readonly sent: 'no' | 'maybe';

  constructor(code: EgressErrorCode, sent: 'no' | 'maybe', sentence: string = SENTENCES[code]) {
    super(sentence);
    this.code = code;
    this.sent = sent;
  }
}

/** A refusal before anything was sent, with the sentence that tells a person what to change. */
export function refused(sentence?: string): EgressError {
  return new EgressError('EGRESS_REFUSED', 'no', sentence);
}

/** What an aborted signal means: a deadline (`AbortSignal.timeout`, or any reason named TimeoutError) or a cancellation. */
export function abortError(signal: AbortSignal, sent: 'no' | 'maybe'): EgressError {
  const reason: unknown = signal.reason;
  const isDeadline = reason instanceof Error && reason.name === 'TimeoutError';
  return new EgressError(isDeadline ? 'TIMEOUT' : 'ABORTED', sent);
}

/**
 * Translates any failure of a dispatched request. `started` says whether undici had begun to write this request; a failure
 * before that (name resolution, connection, TLS, pool closed) cannot have sent anything.
 */
export function toEgressError(failure: unknown, started: boolean): EgressError {
  const sent = started ? 'maybe' : 'no';
  // Rebuilt rather than rethrown: one failed connection fails every request queued for it, and they must not share a stack.
  if (failure instanceof EgressError) return new EgressError(failure.code, sent, failure.message);
  return new EgressError(codeOf(failure, started), sent);
}

function codeOf(failure: unknown, started: boolean): EgressErrorCode {
  const code = failure instanceof Error && 'code' in failure ? failure.code : undefined;
  switch (code) {
    case 'UND_ERR_HEADERS_OVERFLOW':
    case 'ERR_BUFFER_TOO_LARGE':
      return 'TOO_LARGE';
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'TIMEOUT';
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_CLOSED':
      return 'ABORTED';
    case 'UND_ERR_INVALID_ARG':
    case 'UND_ERR_NOT_SUPPORTED':
      return 'EGRESS_REFUSED';
    default:
      return started ? 'BROKEN' : 'UNREACHABLE';
  }
}

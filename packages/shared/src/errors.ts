// The one error table for both sides: code -> HTTP status, whether a retry can help, whether a tool may have run. And the three envelopes.
import * as z from 'zod/mini';

/** Which of the three error envelopes a route speaks: ours, or that of one of the two seed systems. */
export type Dialect = 'api' | 'users' | 'secrets';

interface ErrorFacts {
  status: number;
  /** The same request may succeed later without being changed. */
  retryable: boolean;
  /** Whether the tool may have run when this code answers a call. */
  executed: 'no' | 'unknown' | 'yes';
  when: string;
}

const facts = {
  INVALID_REQUEST: {
    status: 400,
    retryable: false,
    executed: 'no',
    when: 'Schema violation, malformed input, or two identities in one request',
  },
  UNAUTHORIZED: {
    status: 401,
    retryable: false,
    executed: 'no',
    when: 'Missing, invalid, expired or revoked credential',
  },
  FORBIDDEN: {
    status: 403,
    retryable: false,
    executed: 'no',
    when: 'The credential or a restriction does not allow this',
  },
  USER_DISABLED: { status: 403, retryable: false, executed: 'no', when: 'The user is disabled' },
  INSUFFICIENT_SCOPE: { status: 403, retryable: false, executed: 'no', when: 'The token lacks a scope' },
  NOT_FOUND: { status: 404, retryable: false, executed: 'no', when: 'Does not exist, or belongs to another account' },
  USER_NOT_FOUND: { status: 404, retryable: false, executed: 'no', when: 'No such user in this account' },
  NOT_ACCEPTABLE: {
    status: 406,
    retryable: false,
    executed: 'no',
    when: 'Accept leaves out application/json or text/event-stream',
  },
  CONFLICT: { status: 409, retryable: false, executed: 'no', when: 'The name or id is taken' },
  IDEMPOTENCY_IN_PROGRESS: {
    status: 409,
    retryable: true,
    executed: 'unknown',
    when: 'The first request with this key is still running',
  },
  OUTCOME_UNKNOWN: {
    status: 409,
    retryable: false,
    executed: 'unknown',
    when: 'The outcome of the first attempt was lost; it is never executed again',
  },
  ANSWER_NOT_KEPT: {
    status: 409,
    retryable: false,
    executed: 'yes',
    when: 'It ran once; its answer was too large or too secret to be kept',
  },
  CREDENTIALS_REQUIRED: {
    status: 409,
    retryable: false,
    executed: 'no',
    when: 'The user has no credential for the connector',
  },
  REAUTH_REQUIRED: {
    status: 409,
    retryable: false,
    executed: 'no',
    when: 'The upstream refuses the stored credential',
  },
  PAYLOAD_TOO_LARGE: { status: 413, retryable: false, executed: 'no', when: 'The body is over the limit' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retryable: false, executed: 'no', when: 'The body is not application/json' },
  IDEMPOTENCY_MISMATCH: { status: 422, retryable: false, executed: 'no', when: 'The key was used for another request' },
  UNPROCESSABLE: {
    status: 422,
    retryable: false,
    executed: 'no',
    when: 'Well-formed, but the parts contradict each other',
  },
  RATE_LIMITED: {
    status: 429,
    retryable: true,
    executed: 'no',
    when: 'Over the limit; Retry-After says when to come back',
  },
  INTERNAL_ERROR: {
    status: 500,
    retryable: false,
    executed: 'unknown',
    when: 'Our fault; the request id finds it in the log',
  },
  UPSTREAM_ERROR: {
    status: 502,
    retryable: false,
    executed: 'unknown',
    when: 'The upstream failed or answered nonsense',
  },
  UPSTREAM_UNREACHABLE: {
    status: 502,
    retryable: true,
    executed: 'no',
    when: 'The upstream could not be reached; nothing was sent',
  },
  UNAVAILABLE: { status: 503, retryable: true, executed: 'no', when: 'The gateway cannot serve now' },
  UPSTREAM_TIMEOUT: { status: 504, retryable: false, executed: 'unknown', when: 'The upstream did not answer in time' },
} as const satisfies Record<string, ErrorFacts>;

export type ErrorCode = keyof typeof facts;
export const errorTable: Readonly<Record<ErrorCode, ErrorFacts>> = facts;
export const errorCodes = Object.keys(facts) as ErrorCode[];
export const isErrorCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(facts, code);

/** An error as both sides know it before an envelope is chosen. */
export interface ErrorAnswer {
  code: ErrorCode;
  message: string;
  details?: Record<string, unknown> | undefined;
  requestId: string;
  /** The seed dialects' own word for it, where it differs from the lower-cased code: `server_not_found`. */
  word?: string | undefined;
}

/** Body of an error in the dialect of its route. */
export function errorBody(dialect: Dialect, answer: ErrorAnswer): Record<string, unknown> {
  const word = answer.word ?? answer.code.toLowerCase();
  if (dialect === 'users') {
    return {
      error: word,
      message: answer.message,
      request_id: answer.requestId,
      ...(answer.details && { details: answer.details }),
    };
  }
  if (dialect === 'secrets') {
    const connectUrl = answer.details?.['connectUrl'];
    return {
      success: false,
      error: answer.message,
      code: word,
      requestId: answer.requestId,
      ...(connectUrl !== undefined && { connectUrl }),
      ...(answer.details && { details: answer.details }),
    };
  }
  return {
    error: { code: answer.code, message: answer.message, ...(answer.details && { details: answer.details }) },
    requestId: answer.requestId,
  };
}

const details = z.optional(z.record(z.string(), z.unknown()));

/** Envelope of `/api/*`. `details.issues` names what was wrong: `[{ path, message }]`. */
export const apiError = z.object({
  error: z.object({ code: z.string(), message: z.string(), details }),
  requestId: z.string(),
});
/** Envelope of the routes of user management. */
export const usersError = z.object({ error: z.string(), message: z.string(), request_id: z.string(), details });
/** Envelope of the secret routes and the direct tool call. */
export const secretsError = z.object({
  success: z.literal(false),
  error: z.string(),
  code: z.string(),
  requestId: z.string(),
  connectUrl: z.optional(z.string()),
  details,
});

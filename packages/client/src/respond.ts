// Reads every error envelope there is and makes the error class of its code. The code comes from the body, else from the status;
// no class is ever picked by the text of a message. Pure.
import { type ErrorCode, errorTable, type GatewayErrorData, isErrorCode, headers as names } from '@mcp-valet/shared';
import type { Executed } from './errors.ts';
import * as errors from './errors.ts';
import { scrub, scrubDeep } from './redact.ts';
import { exhaustedPolicy, retryAfterMs } from './retry-after.ts';

/** What errors of one call have to know about it. */
export interface CallContext {
  operation: string;
  userId: string | undefined;
  attempts: number;
  /** Something on the other side may change: false for GET. */
  changes: boolean;
  /** Texts that must not appear in an error, whoever repeats them. */
  secrets: readonly string[];
}

export interface Answer {
  status: number;
  headers: Headers;
  bytes: Uint8Array<ArrayBuffer>;
}

/** The part of every error that the call decides. Spread last: a read never ran anything. */
export const about = (context: CallContext): Partial<errors.ErrorFields> => ({
  operation: context.operation,
  userId: context.userId,
  attempts: context.attempts,
  ...(!context.changes && { executed: 'no' as const }),
});

const classes = {
  INVALID_REQUEST: errors.BadRequestError,
  UNAUTHORIZED: errors.AuthenticationError,
  FORBIDDEN: errors.PermissionError,
  USER_DISABLED: errors.PermissionError,
  INSUFFICIENT_SCOPE: errors.PermissionError,
  NOT_FOUND: errors.NotFoundError,
  USER_NOT_FOUND: errors.NotFoundError,
  NOT_ACCEPTABLE: errors.APIError,
  CONFLICT: errors.ConflictError,
  IDEMPOTENCY_IN_PROGRESS: errors.ConflictError,
  PAYLOAD_TOO_LARGE: errors.PayloadTooLargeError,
  UNSUPPORTED_MEDIA_TYPE: errors.APIError,
  IDEMPOTENCY_MISMATCH: errors.IdempotencyMismatchError,
  UNPROCESSABLE: errors.UnprocessableError,
  INTERNAL_ERROR: errors.ServerError,
  UPSTREAM_ERROR: errors.UpstreamError,
  UPSTREAM_UNREACHABLE: errors.UpstreamError,
  UNAVAILABLE: errors.UnavailableError,
  UPSTREAM_TIMEOUT: errors.UpstreamError,
} satisfies Record<Exclude<ErrorCode, Special>, typeof errors.APIError>;

/** Codes whose errors say more than an APIError. */
type Special = 'RATE_LIMITED' | 'CREDENTIALS_REQUIRED' | 'REAUTH_REQUIRED' | 'OUTCOME_UNKNOWN' | 'ANSWER_NOT_KEPT';

/** Words of the seed dialects that are not just a code in lower case. */
const words: Readonly<Record<string, ErrorCode>> = {
  SERVER_NOT_FOUND: 'NOT_FOUND',
  TOOL_NOT_FOUND: 'NOT_FOUND',
  SECRET_NOT_FOUND: 'NOT_FOUND',
  NOT_ALLOWED: 'FORBIDDEN',
  ACCESS_DENIED: 'FORBIDDEN',
};

/** What the build keeps of the table: the compiler refuses the rest. */
const facts: Readonly<Record<ErrorCode, { status: number; retryable: boolean; executed: Executed }>> = errorTable;

function codeOf(word: unknown): ErrorCode | undefined {
  if (typeof word !== 'string') return undefined;
  const upper = word.toUpperCase();
  if (isErrorCode(upper)) return upper;
  return Object.hasOwn(words, upper) ? words[upper] : undefined;
}

export const isKnownWord = (word: unknown): boolean => codeOf(word) !== undefined;

/** An error as any envelope tells it. */
export interface Spoken {
  word?: unknown;
  message?: unknown;
  details?: unknown;
  requestId?: unknown;
  connectUrl?: unknown;
  /** `_meta["mcp-valet/error"]` or `data` of a JSON-RPC error. */
  gateway?: Partial<GatewayErrorData> | undefined;
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The three envelopes, JSON-RPC, and `{ error: "text" }`; `undefined` when the body is none of them. */
export function readEnvelope(body: unknown): Spoken | undefined {
  if (!isRecord(body)) return undefined;
  const { error, message, code, details } = body;
  const requestId = body['requestId'] ?? body['request_id'];
  if (isRecord(error)) {
    const gateway = isRecord(error['data']) ? (error['data'] as Partial<GatewayErrorData>) : undefined;
    const word = typeof error['code'] === 'string' ? error['code'] : gateway?.code;
    return {
      word,
      message: error['message'],
      details: error['details'],
      requestId: requestId ?? gateway?.requestId,
      gateway,
    };
  }
  if (typeof error !== 'string') return undefined;
  // `code` beside it: `error` is the sentence. `message` beside it: `error` is the word.
  if (code !== undefined || body['success'] === false) {
    return { word: code, message: error, details, requestId, connectUrl: body['connectUrl'] };
  }
  return message === undefined ? { message: error, requestId } : { word: error, message, details, requestId };
}

const statusCodes: Readonly<Record<number, ErrorCode>> = {
  400: 'INVALID_REQUEST',
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  406: 'NOT_ACCEPTABLE',
  409: 'CONFLICT',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  422: 'UNPROCESSABLE',
  429: 'RATE_LIMITED',
  502: 'UPSTREAM_ERROR',
  503: 'UNAVAILABLE',
};

/** Statuses by which a server says that it did not do it. Everything else, said by a stranger, proves nothing. */
const refusals = new Set([
  400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 417, 422, 426, 428, 429, 431, 451, 501, 505,
]);
const transient = new Set([408, 425, 429, 502, 503, 504]);

/** The error of an answer outside 2xx. */
export function errorOfAnswer(answer: Answer, body: unknown, context: CallContext): errors.ValetError {
  const spoken = readEnvelope(body) ?? {};
  const known = codeOf(spoken.word);
  return makeError(spoken, known, context, answer);
}

/** The error that the gateway reports inside a 2xx answer. */
export function errorOfCode(spoken: Spoken, context: CallContext, answer: Answer): errors.ValetError {
  return makeError(spoken, codeOf(spoken.word), context, answer);
}

/** True when the gateway itself named the code: it knows what happened to the call. */
const spokenByGateway = new WeakSet<errors.ValetError>();
export const isGatewayWord = (error: errors.ValetError): boolean => spokenByGateway.has(error);

function makeError(
  spoken: Spoken,
  known: ErrorCode | undefined,
  context: CallContext,
  answer: Answer,
): errors.ValetError {
  const ok = answer.status >= 200 && answer.status < 300;
  const status = ok && known ? facts[known].status : answer.status;
  const code = known ?? statusCodes[status];
  const { gateway } = spoken;
  // The words of the contract are common ones. That nothing ran is believed of a server error only from whoever shows to be this gateway.
  const proven =
    executedOf(gateway?.executed) !== undefined ||
    answer.headers.has(names.idempotency) ||
    answer.headers.get(names.shouldRetry) === 'true';
  const meant = known && (status < 500 || proven) ? facts[known] : undefined;
  const toldMs = gateway?.retryAfterMs;
  const executed: Executed =
    executedOf(gateway?.executed) ?? meant?.executed ?? (refusals.has(status) ? 'no' : 'unknown');
  const details = withWord(scrubDeep(spoken.details, context.secrets), spoken.word, code);
  const fields: errors.ErrorFields = {
    code: code ?? futureCode(spoken.word) ?? `HTTP_${status}`,
    message: messageOf(spoken.message, answer, context),
    status,
    requestId: requestIdOf(spoken.requestId, answer.headers),
    retryable:
      typeof gateway?.retryable === 'boolean' ? gateway.retryable : (meant?.retryable ?? transient.has(status)),
    retryAfterMs:
      retryAfterMs(answer.headers, Date.now()) ??
      (Number.isFinite(toldMs) && (toldMs as number) >= 0 ? toldMs : undefined),
    executed,
    details: isRecord(details) ? details : undefined,
    hint: status === 404 && !proven ? missingFeature(context.operation) : undefined,
    ...about(context),
  };
  const error = construct(code, fields, spoken, answer);
  if (meant) spokenByGateway.add(error);
  return error;
}

/** A 404 for a whole collection, from a server that does not show to be this gateway: it may lack the feature. */
function missingFeature(operation: string): string | undefined {
  const noun = /^(\w+)\.(?:list|create)$/.exec(operation)?.[1];
  return noun && `This server may have no ${noun}: they are a feature of the MCP Valet gateway`;
}

function construct(
  code: ErrorCode | undefined,
  fields: errors.ErrorFields,
  spoken: Spoken,
  answer: Answer,
): errors.ValetError {
  switch (code) {
    case undefined:
      return (fields.status ?? 0) >= 500 ? new errors.ServerError(fields) : new errors.APIError(fields);
    case 'RATE_LIMITED':
      return new errors.RateLimitError({ ...fields, source: 'server', policy: exhaustedPolicy(answer.headers) });
    case 'OUTCOME_UNKNOWN':
      return new errors.OutcomeUnknownError({ ...fields, state: 'unknown' });
    case 'ANSWER_NOT_KEPT':
      return new errors.AnswerLostError(fields);
    case 'CREDENTIALS_REQUIRED':
    case 'REAUTH_REQUIRED':
      return credentialError(code, fields, spoken);
    default:
      return new classes[code](fields);
  }
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

function credentialError(code: string, fields: errors.ErrorFields, spoken: Spoken): errors.CredentialRequiredError {
  const connect = isRecord(spoken.gateway?.connect) ? spoken.gateway.connect : undefined;
  // The link leaves `details`, which are printed, and stays as a property, which is not.
  const { connectUrl, connect: nested, ...details } = fields.details ?? {};
  const inDetails = isRecord(nested) ? nested : undefined;
  return new errors.CredentialRequiredError({
    ...fields,
    details: Object.keys(details).length > 0 ? details : undefined,
    reason: code === 'REAUTH_REQUIRED' ? 'reauth_required' : 'missing',
    connector: text(connect?.connector) ?? text(inDetails?.['connector']) ?? text(details['connector']),
    connectUrl: text(connect?.url) ?? text(spoken.connectUrl) ?? text(connectUrl) ?? text(inDetails?.['url']),
    expiresAt: text(connect?.expiresAt) ?? text(inDetails?.['expiresAt']),
  });
}

export const executedOf = (value: unknown): Executed | undefined =>
  value === 'no' || value === 'unknown' || value === 'yes' ? value : undefined;

/** A code that a newer server knows and we do not. */
const futureCode = (word: unknown): string | undefined =>
  typeof word === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(word) ? word : undefined;

/** `server_not_found` says more than NOT_FOUND, so a word that is not the code is kept. */
function withWord(details: unknown, word: unknown, code: string | undefined): unknown {
  if (typeof word !== 'string' || word.toUpperCase() === code) return details;
  return { ...(isRecord(details) ? details : {}), word: word.slice(0, 100) };
}

/** A page is not written by the gateway: who reads the error looks in the right place. */
function pageNote({ headers }: Answer): string {
  const isPage = /^text\/html\b/i.test(headers.get('content-type') ?? '');
  return isPage ? ' with an HTML page: something in front of it may have answered' : '';
}

/** The server's own sentence. One without, such as the page of a proxy, has said no more than its status: no sentence of ours would be true. */
function messageOf(said: unknown, answer: Answer, context: CallContext): string {
  const own = text(said);
  return own === undefined ? `The server answered ${answer.status}${pageNote(answer)}` : scrub(own, context.secrets);
}

/** The request id of a body or header, if it looks like one: it is printed. */
export function requestIdOf(said: unknown, headers: Headers): string | undefined {
  const id = text(said) ?? headers.get('x-request-id') ?? undefined;
  return id !== undefined && /^[A-Za-z0-9._-]{1,64}$/.test(id) ? id : undefined;
}

/** JSON of a body; `undefined` when it is empty. Throws SyntaxError on anything else. */
export function parseJson(bytes: Uint8Array): unknown {
  const json = new TextDecoder().decode(bytes);
  return json.trim() === '' ? undefined : (JSON.parse(json) as unknown);
}

/** A 2xx that cannot be the answer to this call. */
export function unreadable(message: string, context: CallContext, answer: Answer): errors.ResponseError {
  const note = pageNote(answer);
  return new errors.ResponseError({
    message: note ? `${message}: the server answered${note}` : message,
    status: answer.status,
    requestId: requestIdOf(undefined, answer.headers),
    executed: 'unknown',
    ...about(context),
  });
}

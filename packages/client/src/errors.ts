// Every error the SDK throws, one class per thing a caller can do about it. Facts come from the contract's error table (`respond`).
// Server text in them is scrubbed by whoever makes them.
import { type ErrorFields, fill, hide, kind, ValetError } from './error-base.ts';
import type { InputRequests } from './input.ts';

export { type ErrorFields, type Executed, ValetError } from './error-base.ts';

/** The client was made or used in a way that cannot work. Nothing was sent. */
export class ConfigError extends ValetError {
  static override readonly [kind]: string = 'ConfigError';
  constructor(fields: ErrorFields) {
    super(fill({ code: 'CONFIG' }, fields));
  }
}

/** An argument is wrong. Found before anything was sent; `issues` names what. */
export class ValidationError extends ValetError {
  static override readonly [kind]: string = 'ValidationError';
  /** What is wrong, and where: `path` names the argument or its field. */
  readonly issues: readonly { path: string; message: string }[];
  constructor(fields: ErrorFields & { path: string }) {
    super(fill({ code: 'VALIDATION' }, fields));
    this.issues = [{ path: fields.path, message: fields.message }];
  }
}

/** The server answered something that cannot be read as an answer to this call. */
export class ResponseError extends ValetError {
  static override readonly [kind]: string = 'ResponseError';
  constructor(fields: ErrorFields) {
    super(fill({ code: 'UNREADABLE_ANSWER' }, fields));
  }
}

/** The server refused or failed: the base of one class per kind of answer. */
export class APIError extends ValetError {
  static override readonly [kind]: string = 'APIError';
}
/** 400: the request is malformed; `details.issues` names what. */
export class BadRequestError extends APIError {
  static override readonly [kind]: string = 'BadRequestError';
}
/** 401: the credential is missing, wrong, expired or revoked. */
export class AuthenticationError extends APIError {
  static override readonly [kind]: string = 'AuthenticationError';
}
/** 403: the credential, a restriction or the user's state does not allow this. */
export class PermissionError extends APIError {
  static override readonly [kind]: string = 'PermissionError';
}
/** 404: it does not exist, or belongs to another account. */
export class NotFoundError extends APIError {
  static override readonly [kind]: string = 'NotFoundError';
}
/** 409: the name or id is taken, or the state does not allow it. */
export class ConflictError extends APIError {
  static override readonly [kind]: string = 'ConflictError';
}
/** 413: the body is over the server's limit. */
export class PayloadTooLargeError extends APIError {
  static override readonly [kind]: string = 'PayloadTooLargeError';
}
/** 422: well-formed, but the parts contradict each other. */
export class UnprocessableError extends APIError {
  static override readonly [kind]: string = 'UnprocessableError';
}
/** 422: the idempotency key was already used for another request. */
export class IdempotencyMismatchError extends APIError {
  static override readonly [kind]: string = 'IdempotencyMismatchError';
}
/** 429: over the limit; nothing ran. `retryAfterMs` says when to come back. */
export class RateLimitError extends APIError {
  static override readonly [kind]: string = 'RateLimitError';
  /** Who said no. */
  readonly source: 'server' | 'local';
  /** Name of the limit, when the server names it: `user`, `account`. */
  readonly policy: string | undefined;
  constructor(fields: ErrorFields & { source: 'server' | 'local'; policy?: string | undefined }) {
    super(fields);
    this.source = fields.source;
    this.policy = fields.policy;
  }
}
/** The upstream behind the gateway failed, did not answer in time or could not be reached. */
export class UpstreamError extends APIError {
  static override readonly [kind]: string = 'UpstreamError';
}
/** 503: cannot serve now. */
export class UnavailableError extends APIError {
  static override readonly [kind]: string = 'UnavailableError';
}
/** Any other 5xx. */
export class ServerError extends APIError {
  static override readonly [kind]: string = 'ServerError';
}

/** The facts of a failure of the network. */
export interface ConnectionFields extends ErrorFields {
  phase: 'dns' | 'connect' | 'tls' | 'send' | 'receive';
  sent: 'no' | 'maybe';
}

/** The network failed. `sent: 'no'` means that the request provably never left. */
export class ConnectionError extends ValetError {
  static override readonly [kind]: string = 'ConnectionError';
  /** How far the request came. */
  readonly phase: ConnectionFields['phase'];
  /** Whether the server may have it. */
  readonly sent: 'no' | 'maybe';
  constructor(fields: ConnectionFields) {
    super(fill({ code: 'CONNECTION', retryable: true, executed: fields.sent === 'no' ? 'no' : 'unknown' }, fields));
    this.phase = fields.phase;
    this.sent = fields.sent;
  }
}

/** No answer in time: of one attempt, or of the whole call. */
export class TimeoutError extends ConnectionError {
  static override readonly [kind]: string = 'TimeoutError';
  /** What took too long: one request (`timeout`), the whole call (`deadline`), or the wait for its turn. */
  readonly kind: 'attempt' | 'deadline' | 'queue';
  constructor(fields: ErrorFields & { kind: 'attempt' | 'deadline' | 'queue' }) {
    super(fill({ code: 'TIMEOUT', phase: 'receive', sent: fields.kind === 'queue' ? 'no' : 'maybe' }, fields));
    this.kind = fields.kind;
  }
}

/** The server answered with a redirect. They are never followed: credentials would go along. */
export class RedirectError extends ConnectionError {
  static override readonly [kind]: string = 'RedirectError';
  constructor(fields: ErrorFields) {
    super(fill({ code: 'REDIRECT', phase: 'receive', sent: 'maybe', retryable: false }, fields));
  }
}

/** The caller's signal fired. A call that was already sent may still run: its result can be had with the key. */
export class AbortError extends ValetError {
  static override readonly [kind]: string = 'AbortError';
  /** Key of the call: the same call with it answers what became of this one. */
  readonly idempotencyKey: string | undefined;
  constructor(fields: ErrorFields & { idempotencyKey?: string | undefined }) {
    super(fill({ code: 'ABORTED' }, fields));
    this.idempotencyKey = fields.idempotencyKey;
  }
}

/** A JSON-RPC error that is not one of the gateway's own. */
export class RpcError extends ValetError {
  static override readonly [kind]: string = 'RpcError';
  /** The number that the server gave. */
  readonly rpcCode: number;
  /** What the server attached; never printed. */
  declare readonly data: unknown;
  constructor(fields: ErrorFields & { rpcCode: number; data?: unknown }) {
    super(fill({ code: 'RPC', executed: 'unknown' }, fields));
    this.rpcCode = fields.rpcCode;
    hide<RpcError>(this, { data: fields.data });
  }
}

/** The tool itself said no. Only thrown by `orThrow()` and `throwOnToolError`. */
export class ToolError<R = unknown> extends ValetError {
  static override readonly [kind]: string = 'ToolError';
  /** The whole result; never printed. */
  declare readonly result: R;
  constructor(fields: ErrorFields & { result: R }) {
    super(fill({ code: 'TOOL', executed: 'yes' }, fields));
    hide<ToolError<R>>(this, { result: fields.result });
  }
}

/** The tool asks its caller something before it goes on: answer with `onInputRequired`. It has not run to an end. */
export class InputRequiredError extends ValetError {
  static override readonly [kind]: string = 'InputRequiredError';
  /** The questions by name, as MCP writes them; never printed. */
  declare readonly requests: InputRequests;
  /** What the server wants back with the answers; never printed. */
  declare readonly requestState: string | undefined;
  constructor(fields: ErrorFields & { requests: InputRequests; requestState?: string | undefined }) {
    super(fill({ code: 'INPUT_REQUIRED', hint: 'Answer with the option onInputRequired' }, fields));
    hide<InputRequiredError>(this, { requests: fields.requests, requestState: fields.requestState });
  }
}

/** The user has to connect an account first, or again. Show `connectUrl` to that user and to nobody else. */
export class CredentialRequiredError extends ValetError {
  static override readonly [kind]: string = 'CredentialRequiredError';
  /** Which connector has no usable credential of this user. */
  readonly connector: string | undefined;
  /** Never connected, or no longer valid. */
  readonly reason: 'missing' | 'reauth_required';
  /** Until when the link works, ISO 8601. */
  readonly expiresAt: string | undefined;
  /** Where the user signs in. Acts for that user, so it is never printed. */
  declare readonly connectUrl: string | undefined;
  constructor(
    fields: ErrorFields & {
      connector?: string | undefined;
      reason: 'missing' | 'reauth_required';
      connectUrl?: string | undefined;
      expiresAt?: string | undefined;
    },
  ) {
    super(fill({ code: 'CREDENTIALS_REQUIRED', hint: 'Let the user connect an account, then call again' }, fields));
    this.connector = fields.connector;
    this.reason = fields.reason;
    this.expiresAt = fields.expiresAt;
    hide<CredentialRequiredError>(this, { connectUrl: fields.connectUrl });
  }
}

/** The server ran the call as somebody else because it does not know the user. It has already happened. */
export class UserFallbackError<R = unknown> extends ValetError {
  static override readonly [kind]: string = 'UserFallbackError';
  /** Whom the call was for; never printed. */
  declare readonly attempted: string;
  /** As whom it ran; never printed. */
  declare readonly fallback: string;
  /** What came back; never printed. */
  declare readonly result: R;
  constructor(fields: ErrorFields & { attempted: string; fallback: string; result: R }) {
    super(fill({ code: 'USER_FALLBACK', executed: 'yes' }, fields));
    hide<UserFallbackError<R>>(this, { attempted: fields.attempted, fallback: fields.fallback, result: fields.result });
  }
}

/** Nobody can say whether the call ran. It is not sent again; ask the journal with the key before you do. */
export class OutcomeUnknownError extends ValetError {
  static override readonly [kind]: string = 'OutcomeUnknownError';
  /** Key of the call, for `calls.findByIdempotencyKey`. */
  readonly idempotencyKey: string | undefined;
  /** `running`: the server still works on it. `unknown`: the server lost it. `no_answer`: we heard nothing usable. */
  readonly state: 'running' | 'unknown' | 'no_answer';
  constructor(
    fields: ErrorFields & { idempotencyKey?: string | undefined; state: 'running' | 'unknown' | 'no_answer' },
  ) {
    const hint = 'Look the call up by its idempotency key before doing it again';
    super({ ...fill({ code: 'OUTCOME_UNKNOWN', hint }, fields), executed: 'unknown' });
    this.idempotencyKey = fields.idempotencyKey;
    this.state = fields.state;
  }
}

/** It ran once, and its answer is gone: too large to keep, or a secret that is shown only once. */
export class AnswerLostError<R = unknown> extends ValetError {
  static override readonly [kind]: string = 'AnswerLostError';
  /** What was made, without what is shown only once; `undefined` when nothing of the answer was kept. Never printed. */
  declare readonly resource: R | undefined;
  constructor(fields: ErrorFields & { resource?: R | undefined }) {
    const hint = 'It is there: look it up; a key or token that was shown only once has to be rotated';
    super({ ...fill({ code: 'ANSWER_NOT_KEPT', hint }, fields), executed: 'yes' });
    hide<AnswerLostError<R>>(this, { resource: fields.resource });
  }
}

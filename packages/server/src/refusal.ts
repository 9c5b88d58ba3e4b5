// The one way for our code to say no: a code of the shared table and a sentence for a person. Never holds internals or foreign text.
import { type ErrorCode, errorTable } from '@mcp-valet/shared';

export interface RefusedKey {
  accountId: string;
  keyId: string;
  kind: string;
}

export interface RefusalOptions {
  details?: Record<string, unknown> | undefined;
  /** The seed dialects' own word, where it differs from the lower-cased code. */
  word?: string | undefined;
  retryAfterMs?: number | undefined;
  /** What the operator hears in journal and audit; the caller hears only the code. Defaults to the code. */
  reason?: string | undefined;
  /** Whose key was refused, where it is one of ours: for the trail, never for the answer. */
  by?: RefusedKey | undefined;
  /** Overrides the table where the pipeline knows better whether a tool ran. */
  executed?: 'no' | 'unknown' | 'yes' | undefined;
}

export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: ErrorCode;
  readonly status: number;
  readonly details: Record<string, unknown> | undefined;
  readonly word: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly reason: string;
  readonly by: RefusedKey | undefined;
  readonly executed: 'no' | 'unknown' | 'yes';

  constructor(code: ErrorCode, message: string, options: RefusalOptions = {}) {
    super(message);
    this.code = code;
    this.status = errorTable[code].status;
    this.details = options.details;
    this.word = options.word;
    this.retryAfterMs = options.retryAfterMs;
    this.reason = options.reason ?? code;
    this.by = options.by;
    this.executed = options.executed ?? errorTable[code].executed;
  }
}

/** One text for what is missing and for what belongs to somebody else. */
export const notFound = (thing: string, word?: string): Refusal =>
  new Refusal('NOT_FOUND', `${thing} not found`, { word });
export const userNotFound = (): Refusal => new Refusal('USER_NOT_FOUND', 'User not found', { word: 'user_not_found' });

// The base of every error of the SDK: its facts, its brand and how it prints. Must not hold a request, a header or a body.
// Classes are told apart by the brand, because the ESM and the CommonJS build hold different ones.
import { printAs } from './redact.ts';

export const kind: unique symbol = Symbol.for('mcp-valet.error.kind') as never;
const lineage: unique symbol = Symbol.for('mcp-valet.error.lineage') as never;
const maxMessageLength = 1000;

/** Whether a call had an effect. */
export type Executed = 'no' | 'unknown' | 'yes';

/** The facts of an error; all but the message are optional. */
export interface ErrorFields {
  message: string;
  code?: string | undefined;
  operation?: string | undefined;
  status?: number | undefined;
  requestId?: string | undefined;
  attempts?: number | undefined;
  retryable?: boolean | undefined;
  retryAfterMs?: number | undefined;
  executed?: Executed | undefined;
  hint?: string | undefined;
  details?: Record<string, unknown> | undefined;
  userId?: string | undefined;
  cause?: unknown;
}

function kinds(start: unknown): string[] {
  const found: string[] = [];
  for (let at = start; typeof at === 'function'; at = Object.getPrototypeOf(at) as unknown) {
    if (Object.hasOwn(at, kind)) found.push((at as unknown as { [kind]: string })[kind]);
  }
  return found;
}

/** Base of all errors of this SDK. `instanceof` works across copies of the package. */
export class ValetError extends Error {
  static readonly [kind]: string = 'ValetError';

  /** What went wrong, for programs: a code of the contract (`NOT_FOUND`) or the class's own. */
  readonly code: string;
  /** Which method: `servers.create`, `execute`. */
  readonly operation: string | undefined;
  /** HTTP status of the answer, if there was one. */
  readonly status: number | undefined;
  /** Finds the request in the gateway's log. */
  readonly requestId: string | undefined;
  /** How many requests were sent for this call. */
  readonly attempts: number;
  /** The same call may succeed later. */
  readonly retryable: boolean;
  /** Milliseconds to wait before the next try, when the server said so. */
  readonly retryAfterMs: number | undefined;
  /** Whether the tool, or the change, may have run. */
  readonly executed: Executed;
  /** What to do about it. */
  readonly hint: string | undefined;
  /** More facts: validation issues, the socket's code. */
  readonly details: Record<string, unknown> | undefined;
  readonly #userId: string | undefined;

  constructor(fields: ErrorFields) {
    super(fields.message.slice(0, maxMessageLength), fields.cause === undefined ? undefined : { cause: fields.cause });
    const names = kinds(new.target);
    const hidden = { enumerable: false, configurable: true, writable: true };
    Object.defineProperty(this, 'name', { ...hidden, value: names[0] });
    Object.defineProperty(this, lineage, { ...hidden, value: names });
    this.code = fields.code ?? 'VALET_ERROR';
    this.operation = fields.operation;
    this.status = fields.status;
    this.requestId = fields.requestId;
    this.attempts = fields.attempts ?? 0;
    this.retryable = fields.retryable ?? false;
    this.retryAfterMs = fields.retryAfterMs;
    this.executed = fields.executed ?? 'no';
    this.hint = fields.hint;
    this.details = fields.details;
    this.#userId = fields.userId;
    printAs(
      this,
      () => ({ name: this.name, message: this.message, ...this.#facts() }),
      (inspect) => `${this.stack ?? this.message} ${inspect(this.#facts())}`,
    );
  }

  /** The user the call was for. Readable, never printed. */
  get userId(): string | undefined {
    return this.#userId;
  }

  /** What the class and those below it hold in the open; what is hidden is not enumerable. */
  #facts(): Record<string, unknown> {
    return Object.fromEntries(Object.entries(this).filter(([, value]) => value !== undefined));
  }

  static override [Symbol.hasInstance](this: unknown, value: unknown): boolean {
    // A class that a caller derives has no brand of its own and is an ordinary class.
    if (typeof this !== 'function') return false;
    if (!Object.hasOwn(this, kind)) return Function.prototype[Symbol.hasInstance].call(this, value);
    const names = (value as { [lineage]?: unknown } | null | undefined)?.[lineage];
    return Array.isArray(names) && names.includes((this as unknown as { [kind]: string })[kind]);
  }
}

/** Keeps a value readable on an error and out of everything that prints it. */
export function hide<T extends object>(error: T, values: Partial<T>): void {
  for (const [key, value] of Object.entries(values)) {
    Object.defineProperty(error, key, { value, enumerable: false, configurable: true, writable: false });
  }
}

/** `fields` with defaults for what they leave open; an explicit `undefined` is left open. */
export function fill<const D extends object, F extends object>(defaults: D, fields: F): D & F {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) } as D & F;
}

/** A fresh error in place of the transport's own, which prints requests and hosts. */
export function curatedCause(message: string, code: string | undefined): Error {
  const cause = new Error(message);
  if (code !== undefined) Object.defineProperty(cause, 'code', { value: code, enumerable: true });
  return cause;
}

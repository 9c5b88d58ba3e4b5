// The promise that every method returns: the value, and three other ways to look at the same one request.
// Must not start anything twice.
import { curatedCause } from './error-base.ts';
import { ValetError } from './errors.ts';
import type { Meta, Settled } from './operation.ts';
import type { Answer } from './respond.ts';

/** What `safe()` resolves to. */
export type SafeResult<T> = { ok: true; data: T; meta: Meta } | { ok: false; error: ValetError };

/** A request that has already begun. However often it is awaited, it is sent once. */
export interface Call<T> extends Promise<T> {
  /** The value with request id, status, attempts and idempotency key. */
  withMeta(): Promise<{ data: T; meta: Meta }>;
  /** The last answer as the server sent it, also when it is an error. Rejects only when there was none. */
  raw(): Promise<Response>;
  /** The value or the error, as a value: never rejects. */
  safe(): Promise<SafeResult<T>>;
}

/** One page. Iterating it goes on through the following pages. */
export interface Page<T> extends AsyncIterable<T> {
  /** The entries of this page. */
  readonly items: readonly T[];
  /** Whether `next()` has something. */
  readonly hasMore: boolean;
  /** Length of the whole list, when the server tells it. */
  readonly total?: number;
  /** The next page. Rejects with ValidationError when there is none: ask `hasMore`. */
  next(): Call<Page<T>>;
  /** This page and all that follow. */
  pages(): AsyncIterable<Page<T>>;
  /** The items of this and the following pages, at most `limit`. */
  toArray(options: { limit: number }): Promise<T[]>;
}

/** A list: await it for one page, or iterate it for all items of all pages. */
export interface List<T> extends Call<Page<T>>, AsyncIterable<T> {}

class CallPromise<T> extends Promise<T> implements Call<T> {
  readonly #outcome: Promise<Settled<T>>;

  constructor(run: () => Promise<Settled<T>>) {
    const outcome = settle(run);
    super((resolve, reject) => void valueFrom(outcome).then(resolve, reject));
    this.#outcome = outcome;
  }

  async withMeta(): Promise<{ data: T; meta: Meta }> {
    await this.#over();
    const { data, meta } = succeeded(await this.#outcome);
    return { data, meta };
  }

  async raw(): Promise<Response> {
    await this.#over();
    const end = await this.#outcome;
    return rebuild(end.answer ?? succeeded(end).answer);
  }

  async safe(): Promise<SafeResult<T>> {
    await this.#over();
    const end = await this.#outcome;
    if (end.ok) return { ok: true, data: end.data, meta: end.meta };
    return { ok: false, error: end.error instanceof ValetError ? end.error : unexpected(end.error) };
  }

  /** Whoever asks for another view has taken responsibility: the promise itself must not be reported as unhandled. */
  #over(): Promise<unknown> {
    const over = () => undefined;
    return this.then(over, over);
  }
}

class ListPromise<T> extends CallPromise<Page<T>> implements List<T> {
  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    yield* await this;
  }
}

// `await` takes a promise whose constructor is Promise as it is, and wraps every other, where engines lose the line that awaits. And what `then`
// makes is an ordinary promise: only the first one is a request.
for (const { prototype } of [CallPromise, ListPromise]) Reflect.deleteProperty(prototype, 'constructor');

export const startCall = <T>(run: () => Promise<Settled<T>>): Call<T> => new CallPromise(run);
export const startList = <T>(run: () => Promise<Settled<Page<T>>>): List<T> => new ListPromise(run);

async function valueFrom<T>(outcome: Promise<Settled<T>>): Promise<T> {
  const end = await outcome;
  if (end.ok) return end.data;
  if (end.error instanceof ValetError) addCaller(end.error, valueFrom);
  throw end.error;
}

/** Errors are made deep inside, some by a timer, or before anybody waits: the lines of whoever awaits come last, if the engine can tell. */
function addCaller(error: ValetError, below: unknown): void {
  const { captureStackTrace } = Error as { captureStackTrace?: (target: object, below: unknown) => void };
  const here: { stack?: unknown } = {};
  captureStackTrace?.(here, below);
  const { stack } = error;
  if (typeof here.stack !== 'string' || typeof stack !== 'string') return;
  const lines = here.stack.split('\n').filter((line) => /^\s+at /.test(line) && !stack.includes(line));
  if (lines.length > 0) error.stack = [stack, ...lines].join('\n');
}

/** Failures before the first request, such as a wrong argument, are outcomes too. */
async function settle<T>(run: () => Promise<Settled<T>>): Promise<Settled<T>> {
  try {
    return await run();
  } catch (error) {
    return { ok: false, error, answer: undefined };
  }
}

function succeeded<T>(end: Settled<T>): Settled<T> & { ok: true } {
  if (!end.ok) throw end.error;
  return end;
}

function unexpected(error: unknown): ValetError {
  const name = error instanceof Error ? error.name : typeof error;
  const message = `Unexpected ${name}`;
  return new ValetError({ code: 'UNEXPECTED', message, executed: 'unknown', cause: curatedCause(message, undefined) });
}

/** The body is already decoded and complete, so the headers about its transfer no longer hold. */
function rebuild({ status, headers, bytes }: Answer): Response {
  const kept = new Headers(headers);
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) kept.delete(name);
  return new Response([204, 205, 304].includes(status) ? null : bytes, { status, headers: kept });
}

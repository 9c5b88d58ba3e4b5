// One request and its answer over a pool, as undici dispatch handlers: undici's own `request` costs a Readable and two promises
// more per call, and cannot say whether the request had begun to be written, which decides `sent`. Nothing is retried here.
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import {
  BodyMeter,
  type Coding,
  codingOf,
  decodeStream,
  decodeWhole,
  headersOfDecoded,
  type ResponseHeaders,
} from './egress-body.ts';
import { abortError, EgressError, toEgressError } from './egress-error.ts';

/** A complete answer; the body is decoded and within its limit. */
export interface EgressResponse {
  status: number;
  headers: ResponseHeaders;
  body: Buffer;
}

/** A body that is read while it arrives. Read it to its end, break off the loop, or call `close`: until then it holds a socket. */
export interface EgressBody extends AsyncIterable<Uint8Array> {
  close(): void;
}

export interface EgressStream {
  status: number;
  headers: ResponseHeaders;
  body: EgressBody;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

abstract class Exchange<Answer> implements Dispatcher.DispatchHandler {
  protected controller: Dispatcher.DispatchController | undefined;
  protected status = 0;
  protected headers: ResponseHeaders = {};
  readonly #resolve: (answer: Answer | Promise<Answer>) => void;
  readonly #reject: (failure: EgressError) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #onSettled: () => void;
  readonly #onAbort = () => {
    if (this.#signal !== undefined) this.fail(abortError(this.#signal, this.sent));
  };
  #isOpen = true;

  constructor(
    signal: AbortSignal | undefined,
    onSettled: () => void,
    resolve: (answer: Answer | Promise<Answer>) => void,
    reject: (failure: EgressError) => void,
  ) {
    this.#signal = signal;
    this.#onSettled = onSettled;
    this.#resolve = resolve;
    this.#reject = reject;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  protected abstract onAnswerStart(headers: ResponseHeaders): void;
  protected abstract onAnswerData(chunk: Buffer): void;
  protected abstract onAnswerEnd(): void;
  /** Ends a body that has already been handed out. */
  protected onFailure(_failure: EgressError): void {}

  protected get sent(): 'no' | 'maybe' {
    return this.controller === undefined ? 'no' : 'maybe';
  }

  protected answer(answer: Answer | Promise<Answer>): void {
    this.#resolve(answer);
  }

  /** Gives the socket back; true the first time. */
  protected settle(): boolean {
    if (!this.#isOpen) return false;
    this.#isOpen = false;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#onSettled();
    return true;
  }

  /** Ends the exchange and, if it had begun, its socket: a half-read answer leaves nothing that can be used again. */
  fail(failure: EgressError): void {
    if (!this.settle()) return;
    this.#reject(failure);
    this.onFailure(failure);
    this.controller?.abort(failure);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Called right before the first byte is written. Throwing drops this request alone and keeps the socket: it was given up
    // while it waited, or undici is about to write it a second time.
    if (!this.#isOpen || this.controller !== undefined) throw new EgressError('ABORTED', this.sent);
    this.controller = controller;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: ResponseHeaders): void {
    if (status < 200 || !this.#isOpen) return;
    if (REDIRECTS.has(status)) {
      this.fail(new EgressError('REDIRECT', 'maybe'));
      return;
    }
    this.status = status;
    this.headers = headers;
    this.#guard(() => this.onAnswerStart(headers));
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isOpen) this.#guard(() => this.onAnswerData(chunk));
  }

  onResponseEnd(): void {
    if (this.settle()) this.onAnswerEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, failure: Error): void {
    this.fail(toEgressError(failure, this.controller !== undefined));
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (failure) {
      this.fail(toEgressError(failure, true));
    }
  }
}

/** Collects the whole body. */
export class WholeExchange extends Exchange<EgressResponse> {
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #coding: Coding | undefined;

  constructor(maxBytes: number, ...rest: ConstructorParameters<typeof Exchange<EgressResponse>>) {
    super(...rest);
    this.#maxBytes = maxBytes;
  }

  protected onAnswerStart(headers: ResponseHeaders): void {
    this.#coding = codingOf(headers);
  }

  protected onAnswerData(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) throw new EgressError('TOO_LARGE', 'maybe');
    this.#chunks.push(chunk);
  }

  protected onAnswerEnd(): void {
    const [first] = this.#chunks;
    const body = first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#bytes);
    if (this.#coding === undefined) this.answer({ status: this.status, headers: this.headers, body });
    else this.answer(this.#decoded(this.#coding, body));
  }

  async #decoded(coding: Coding, encoded: Buffer): Promise<EgressResponse> {
    const body = await decodeWhole(coding, encoded, this.#maxBytes);
    return { status: this.status, headers: headersOfDecoded(this.headers), body };
  }
}

/** Hands out the body while it arrives, with back-pressure. */
export class StreamExchange extends Exchange<EgressStream> {
  readonly #maxBytes: number;
  #source: Readable | undefined;

  constructor(maxBytes: number, ...rest: ConstructorParameters<typeof Exchange<EgressStream>>) {
    super(...rest);
    this.#maxBytes = maxBytes;
  }

  protected onAnswerStart(headers: ResponseHeaders): void {
    const coding = codingOf(headers);
    const source = new Readable({
      read: () => this.controller?.resume(),
      destroy: (failure, done) => {
        // The reader left before the end: nobody will take the rest.
        this.fail(new EgressError('ABORTED', 'maybe'));
        done(failure);
      },
    });
    // A failure may arrive while nobody is reading; the reader's iterator still gets it.
    source.on('error', () => undefined);
    this.#source = source;
    const body = coding === undefined ? source : decodeStream(coding, source);
    const meter = new BodyMeter(headers, this.#maxBytes);
    this.answer({
      status: this.status,
      headers: coding === undefined ? headers : headersOfDecoded(headers),
      body: {
        [Symbol.asyncIterator]: () => counted(body, meter),
        close: () => void body.destroy(),
      },
    });
  }

  protected onAnswerData(chunk: Buffer): void {
    if (this.#source?.push(chunk) === false) this.controller?.pause();
  }

  protected onAnswerEnd(): void {
    this.#source?.push(null);
  }

  protected override onFailure(failure: EgressError): void {
    this.#source?.destroy(failure);
  }
}

async function* counted(body: Readable, meter: BodyMeter): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      meter.add(chunk);
      yield chunk;
    }
  } catch (failure) {
    throw toEgressError(failure, true);
  }
}

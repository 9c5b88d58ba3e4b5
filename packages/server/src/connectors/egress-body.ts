// What an upstream's body may cost: sizes are counted after decompression, so a small answer that unpacks to gigabytes stops at
// the limit. Gzip, deflate and br are undone although `identity` is asked for, since some upstreams compress regardless.
import { pipeline, type Readable } from 'node:stream';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { EgressError, toEgressError } from './egress-error.ts';

export type Coding = 'gzip' | 'deflate' | 'br';

export type ResponseHeaders = Record<string, string | string[] | undefined>;

/** The content coding of an answer, or undefined for none. Throws BROKEN for one that cannot be undone, stacked ones included. */
export function codingOf(headers: ResponseHeaders): Coding | undefined {
  const header = headers['content-encoding'];
  if (header === undefined) return undefined;
  switch (String(header).trim().toLowerCase()) {
    case '':
    case 'identity':
      return undefined;
    case 'gzip':
    case 'x-gzip':
      return 'gzip';
    case 'deflate':
      return 'deflate';
    case 'br':
      return 'br';
    default:
      throw new EgressError('BROKEN', 'maybe', 'The upstream used a content coding that was not offered.');
  }
}

/** The headers as they describe the decoded body. */
export function headersOfDecoded(headers: ResponseHeaders): ResponseHeaders {
  const { 'content-encoding': _coding, 'content-length': _length, ...rest } = headers;
  return rest;
}

const unpackers = {
  gzip: promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip),
  deflate: promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.inflate),
  br: promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress),
};

/** Decodes a whole body; never holds more than `maxBytes` of output. */
export async function decodeWhole(coding: Coding, body: Buffer, maxBytes: number): Promise<Buffer> {
  if (body.length === 0) return body;
  try {
    return await unpackers[coding](body, { maxOutputLength: Math.max(1, maxBytes) });
  } catch (failure) {
    throw toEgressError(failure, true);
  }
}

/** Decodes a body that is read while it arrives; the result carries the failure of either side. */
export function decodeStream(coding: Coding, body: Readable): Readable {
  const unpacker =
    coding === 'gzip' ? zlib.createGunzip() : coding === 'br' ? zlib.createBrotliDecompress() : zlib.createInflate();
  // The callback is required but has nothing to add: pipeline has destroyed the unpacker with the same failure.
  return pipeline(body, unpacker, () => undefined);
}

/**
 * Counts a body as it is read. An event stream may be endless, so there the limit holds for each event (the bytes up to its empty
 * line, comments included); every other body is limited as a whole.
 */
export class BodyMeter {
  readonly #maxBytes: number;
  readonly #isEventStream: boolean;
  #bytes = 0;
  #isLineEmpty = true;

  constructor(headers: ResponseHeaders, maxBytes: number) {
    this.#maxBytes = maxBytes;
    const type = headers['content-type'];
    this.#isEventStream = typeof type === 'string' && /^\s*text\/event-stream\s*(;|$)/i.test(type);
  }

  /** Throws TOO_LARGE as soon as the limit is passed. */
  add(chunk: Uint8Array): void {
    if (!this.#isEventStream) {
      this.#bytes += chunk.length;
      if (this.#bytes > this.#maxBytes) throw new EgressError('TOO_LARGE', 'maybe');
      return;
    }
    let position = 0;
    while (position < chunk.length) {
      // Only LF ends a line here. A stream that uses bare CR counts as one event, which errs on the safe side.
      const newline = chunk.indexOf(LF, position);
      const end = newline === -1 ? chunk.length : newline + 1;
      this.#bytes += end - position;
      if (this.#bytes > this.#maxBytes) throw new EgressError('TOO_LARGE', 'maybe');
      const content = newline === -1 ? end : newline;
      if (content > position + 1 || (content === position + 1 && chunk[position] !== CR)) this.#isLineEmpty = false;
      if (newline !== -1) {
        if (this.#isLineEmpty) this.#bytes = 0;
        this.#isLineEmpty = true;
      }
      position = end;
    }
  }
}

const LF = 0x0a;
const CR = 0x0d;

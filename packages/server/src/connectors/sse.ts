// A bounded parser of Server-Sent Events for answers of upstreams (the WHATWG grammar, without reconnection). Pure: reads bytes,
// writes nothing. Work is linear in the input however it is cut into chunks, and one event never holds more than its limit.
import { EgressError } from './egress-error.ts';

/** One event that had a `data` line; `data` may be empty (MCP servers open a stream with such an event to announce its id). */
export interface SseEvent {
  event?: string;
  data: string;
  /** The id given in this event, not one carried over from an earlier event. */
  id?: string;
}

export interface SseLimits {
  /** Bytes of one event with its comments and line ends. Default 10 MiB. */
  maxEventBytes?: number;
}

const MAX_EVENT_BYTES = 10 * 1024 * 1024;
/** Very many tiny lines or chunks in one event cost far more memory than their bytes. */
const MAX_EVENT_PIECES = 500_000;

/** Parses a body while it arrives. Throws EgressError TOO_LARGE when one event passes its limit; an unfinished last event is dropped. */
export async function* parseSse(
  chunks: AsyncIterable<Uint8Array>,
  limits: SseLimits = {},
): AsyncGenerator<SseEvent, void, undefined> {
  const parser = new SseParser(limits.maxEventBytes ?? MAX_EVENT_BYTES);
  for await (const chunk of chunks) yield* parser.push(chunk);
}

/** Parses a body that is complete; the reader of the body has already limited its size. */
export function sseEvents(body: Uint8Array, limits: SseLimits = {}): SseEvent[] {
  return [...new SseParser(limits.maxEventBytes ?? Math.max(MAX_EVENT_BYTES, body.length)).push(body)];
}

class SseParser {
  readonly #maxEventBytes: number;
  /** Drops a byte order mark, as the grammar asks, and joins characters that were cut between chunks. */
  readonly #decoder = new TextDecoder();
  /** The beginning of a line whose end has not arrived; joined once, so a dripping upstream does not make this quadratic. */
  #partialLine: string[] = [];
  #endedWithCr = false;
  #eventBytes = 0;
  #pieces = 0;
  #event: string | undefined;
  #id: string | undefined;
  #data: string[] = [];

  constructor(maxEventBytes: number) {
    this.#maxEventBytes = maxEventBytes;
  }

  *push(chunk: Uint8Array): Generator<SseEvent, void, undefined> {
    const text = this.#decoder.decode(chunk, { stream: true });
    let position = 0;
    if (this.#endedWithCr && text.length > 0) {
      if (text.startsWith('\n')) position = 1;
      this.#endedWithCr = false;
    }
    for (;;) {
      const end = lineEnd(text, position);
      const piece = text.slice(position, end);
      this.#count(piece);
      if (end === text.length) {
        if (piece !== '') this.#partialLine.push(piece);
        return;
      }
      this.#partialLine.push(piece);
      const line = this.#partialLine.join('');
      this.#partialLine = [];
      position = end + 1;
      if (text.charCodeAt(end) === CR) {
        if (text.charCodeAt(position) === LF) position += 1;
        else this.#endedWithCr = position === text.length;
      }
      const event = this.#take(line);
      if (event !== undefined) yield event;
    }
  }

  #count(piece: string): void {
    this.#eventBytes += Buffer.byteLength(piece) + 1;
    this.#pieces += 1;
    if (this.#eventBytes > this.#maxEventBytes || this.#pieces > MAX_EVENT_PIECES) {
      throw new EgressError('TOO_LARGE', 'maybe');
    }
  }

  #take(line: string): SseEvent | undefined {
    if (line === '') return this.#finish();
    const colon = line.indexOf(':');
    if (colon === 0) return undefined;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line.charCodeAt(colon + 1) === SPACE ? colon + 2 : colon + 1);
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#event = value;
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    return undefined;
  }

  #finish(): SseEvent | undefined {
    const [event, id, data] = [this.#event, this.#id, this.#data];
    this.#event = undefined;
    this.#id = undefined;
    this.#data = [];
    this.#eventBytes = 0;
    this.#pieces = 0;
    if (data.length === 0) return undefined;
    return {
      data: data.length === 1 && data[0] !== undefined ? data[0] : data.join('\n'),
      ...(event === undefined || event === '' ? {} : { event }),
      ...(id === undefined ? {} : { id }),
    };
  }
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

/** The index of the next line end at or after `from`, or the text's length. */
function lineEnd(text: string, from: number): number {
  LINE_END.lastIndex = from;
  const match = LINE_END.exec(text);
  return match === null ? text.length : match.index;
}

const LINE_END = /[\r\n]/g;

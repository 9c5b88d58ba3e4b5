// Reads a server-sent event stream piece by piece: LF, CRLF and CR, comments, multi-line data, empty priming events. No I/O.

/** Feed it text as it arrives; it returns the `data` of every event that became complete. */
export class SseParser {
  /** The unfinished line, in pieces: a long one must not be copied or searched again with each of them. */
  #pieces: string[] = [];
  #endsInCr = false;
  #data: string[] = [];

  push(text: string): string[] {
    const events: string[] = [];
    this.#pieces.push(text);
    if (!this.#endsInCr && !/[\r\n]/.test(text)) return events;
    let buffer = this.#pieces.join('');
    // A CR at the very end may be half of a CRLF: its line waits for the next piece.
    for (;;) {
      const end = buffer.search(/\r\n|\n|\r(?!$)/);
      if (end < 0) break;
      this.#line(buffer.slice(0, end), events);
      buffer = buffer.slice(end + (buffer.startsWith('\r\n', end) ? 2 : 1));
    }
    this.#pieces = [buffer];
    this.#endsInCr = buffer.endsWith('\r');
    return events;
  }

  /** The stream is over: what a missing last blank line held back. */
  end(): string[] {
    return this.push('\n\n');
  }

  #line(line: string, events: string[]): void {
    if (line === '') {
      const data = this.#data.join('\n');
      this.#data = [];
      if (data !== '') events.push(data);
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field !== 'data') return;
    const value = colon < 0 ? '' : line.slice(colon + 1);
    this.#data.push(value.startsWith(' ') ? value.slice(1) : value);
  }
}

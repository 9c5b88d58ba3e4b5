// Pure: cuts what a child process writes into lines, and keeps the last of what it says beside the protocol. A line has a limit, because
// a process can write without ever ending one.

export interface LineReader {
  /** Takes a chunk; false when a line has become longer than allowed, and from then on. */
  push(chunk: Buffer): boolean;
}

export function createLineReader(maxBytes: number, onLine: (line: string) => void): LineReader {
  let parts: Buffer[] = [];
  let held = 0;
  let isTooLong = false;
  const hold = (piece: Buffer): boolean => {
    held += piece.length;
    if (held > maxBytes) {
      isTooLong = true;
      parts = [];
      return false;
    }
    if (piece.length > 0) parts.push(piece);
    return true;
  };
  return {
    push(chunk) {
      if (isTooLong) return false;
      let from = 0;
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
        if (!hold(chunk.subarray(from, at))) return false;
        const line = parts.length === 1 ? (parts[0] as Buffer).toString('utf8') : Buffer.concat(parts).toString('utf8');
        parts = [];
        held = 0;
        from = at + 1;
        onLine(line);
      }
      return hold(chunk.subarray(from));
    },
  };
}

export interface Ring {
  push(chunk: Buffer): void;
  text(): string;
}

/** The last `maxBytes` of what was written. */
export function createRing(maxBytes: number): Ring {
  let chunks: Buffer[] = [];
  let size = 0;
  return {
    push(chunk) {
      // A copy: a slice would hold the stream's whole buffer.
      const tail = Buffer.from(chunk.subarray(Math.max(0, chunk.length - maxBytes)));
      chunks.push(tail);
      size += tail.length;
      while (size - (chunks[0]?.length ?? 0) >= maxBytes) size -= chunks.shift()?.length ?? 0;
      if (chunks.length > 1024) chunks = [Buffer.concat(chunks)];
    },
    text: () => Buffer.concat(chunks).subarray(-maxBytes).toString('utf8'),
  };
}

export type Message = { jsonrpc: '2.0' } & Record<string, unknown>;

/** The JSON-RPC messages on a line; none when it is something else. */
export function messagesOf(line: string): Message[] {
  const first = line.trimStart()[0];
  if (first !== '{' && first !== '[') return [];
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // A log line that happens to begin with a bracket.
    return [];
  }
  const all: unknown[] = Array.isArray(value) ? value : [value];
  return all.filter(
    (item): item is Message => typeof item === 'object' && item !== null && 'jsonrpc' in item && item.jsonrpc === '2.0',
  );
}

// A TCP client that sends exactly the bytes it is given, at the pace it is given, and says what came back and when the connection ended.
import { connect } from 'node:net';

/** Bytes to send, or milliseconds to wait before the next ones. */
export type Move = string | Buffer | number;

export interface Exchange {
  text: string;
  /** Status of the first answer; 0: there was none. */
  status: number;
  /** The other side ended the connection within the time given. */
  ended: boolean;
  ms: number;
}

export async function exchange(
  port: number,
  moves: readonly Move[],
  options: { patienceMs?: number; halfClose?: boolean /** Enough was read. */; until?: RegExp } = {},
): Promise<Exchange> {
  const { patienceMs = 3_000, halfClose = false, until } = options;
  const startedAt = performance.now();
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const chunks: Buffer[] = [];
  let ended = false;
  const over = new Promise<void>((resolve) => {
    const end = (): void => {
      ended = true;
      resolve();
    };
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      if (until?.test(Buffer.concat(chunks).toString('latin1')) === true) resolve();
    });
    socket.on('end', end);
    socket.on('close', end);
    // Being cut off is one of the results that are measured here.
    socket.on('error', end);
  });
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  const send = async (): Promise<void> => {
    for (const move of moves) {
      if (ended) return;
      if (typeof move === 'number') await Promise.race([new Promise((resolve) => setTimeout(resolve, move)), over]);
      else socket.write(move);
    }
    if (halfClose) socket.end();
  };
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, patienceMs);
  });
  await Promise.race([Promise.all([send(), over]), patience]);
  clearTimeout(timer);
  const ms = performance.now() - startedAt;
  socket.destroy();
  const text = Buffer.concat(chunks).toString('latin1');
  return { text, status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), ended, ms };
}

export const head = (method: string, path: string, headers: Readonly<Record<string, string | number>>): string =>
  `${method} ${path} HTTP/1.1\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;

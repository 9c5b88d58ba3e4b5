// A TCP proxy that breaks exchanges on purpose: it cuts, resets, stalls or truncates at a chosen byte of the request or the answer, answers by
// itself as a load balancer would, or delivers a request long after its client has gone. Knows of HTTP only where a message ends; asserts nothing.

import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

export type Break = 'cut' | 'reset' | 'stall' | 'truncate';

export type Fault =
  | { kind: 'none' }
  /** Ends the exchange once so many bytes have passed; `at` is given how many there are, as far as they are known. */
  | { kind: 'break'; side: 'request' | 'answer'; how: Break; at: (length: number) => number }
  /** Answers instead of the server. `forward`: the server has got the request and has answered. */
  | { kind: 'answer'; text: string; forward: boolean }
  /** The client is cut off at once; the server gets the request later. */
  | { kind: 'late'; delayMs: number };

export interface FaultProxy {
  readonly url: string;
  /** How often each fault was carried out. */
  readonly fired: ReadonlyMap<string, number>;
  /** Requests that were delivered late, and their answers, are through. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** `plan` is given each request as text and says what happens to it. */
export async function startFaultProxy(target: string, plan: (request: string) => Fault): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const fired = new Map<string, number>();
  const late = new Set<Promise<void>>();
  const track = (socket: Socket): Socket => {
    sockets.add(socket);
    // Broken on purpose: what the other side says about it is the point of the exercise, not an error of the proxy.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    return socket.setNoDelay(true);
  };
  const open = (): Socket => track(connect(Number(port), hostname));
  const note = (name: string): void => void fired.set(name, (fired.get(name) ?? 0) + 1);

  const deliverLate = (request: Buffer, delayMs: number): Promise<void> =>
    new Promise((resolve) => {
      setTimeout(() => {
        const server = open();
        server.on('close', () => resolve());
        // Whatever comes back, nobody waits for it; the server must have had the time to act.
        server.once('data', () => server.destroy());
        server.write(request);
      }, delayMs);
    });

  const server = createServer((socket) => {
    const client = track(socket);
    let upstream: Socket | undefined;
    let received: Buffer = Buffer.alloc(0);
    let fault: Fault = { kind: 'none' };
    let passed = 0;
    let isOver = false;

    const breakOff = (how: Break): void => {
      isOver = true;
      if (how === 'stall') return;
      for (const each of [client, upstream]) {
        if (how === 'reset') each?.resetAndDestroy();
        else if (how === 'truncate' && each === client) each.end();
        else each?.destroy();
      }
    };

    const onAnswer = (chunk: Buffer): void => {
      if (isOver) return;
      if (fault.kind === 'answer') {
        isOver = true;
        note('answered afterwards');
        client.end(fault.text);
        upstream?.destroy();
        return;
      }
      if (fault.kind !== 'break' || fault.side !== 'answer') return void client.write(chunk);
      const end = fault.at(chunk.length) - passed;
      if (end > chunk.length) {
        passed += chunk.length;
        return void client.write(chunk);
      }
      note(`${fault.how} in the answer`);
      const { how } = fault;
      if (end > 0) client.write(chunk.subarray(0, end), () => breakOff(how));
      else breakOff(how);
      isOver = true;
    };

    const forward = (bytes: Buffer, then?: () => void): void => {
      if (upstream === undefined || upstream.destroyed) {
        upstream = open();
        upstream.on('data', onAnswer);
        // The server ended a connection that it kept: so does the client's.
        upstream.on('close', () => !isOver && client.end());
      }
      upstream.write(bytes, then);
    };

    const onRequest = (request: Buffer): void => {
      fault = plan(request.toString('latin1'));
      passed = 0;
      if (fault.kind === 'late') {
        note('late');
        isOver = true;
        const delivery = deliverLate(request, fault.delayMs);
        late.add(delivery);
        void delivery.then(() => late.delete(delivery));
        client.resetAndDestroy();
      } else if (fault.kind === 'answer' && !fault.forward) {
        note('answered instead');
        isOver = true;
        client.end(fault.text);
      } else if (fault.kind === 'break' && fault.side === 'request') {
        note(`${fault.how} in the request`);
        const { how } = fault;
        const end = Math.min(fault.at(request.length), request.length);
        if (end > 0) forward(request.subarray(0, end), () => breakOff(how));
        else breakOff(how);
        isOver = true;
      } else {
        forward(request);
      }
    };

    client.on('data', (chunk) => {
      if (isOver) return;
      received = Buffer.concat([received, chunk]);
      const length = messageLength(received);
      if (length === undefined || received.length < length) return;
      const request = received.subarray(0, length);
      received = received.subarray(length);
      onRequest(request);
    });
    client.on('close', () => upstream?.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fired,
    async settled() {
      while (late.size > 0) await Promise.all(late);
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Bytes of the first request in `bytes`, once its head is there. Clients here send a Content-Length or no body. */
function messageLength(bytes: Buffer): number | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const declared = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString('latin1', 0, end))?.[1];
  return end + 4 + Number(declared ?? 0);
}

/** An answer of something between client and server. */
export function proxyAnswer(status: number, headers: Readonly<Record<string, string>> = {}): string {
  const body = '<html><body>the proxy speaking</body></html>';
  const lines = Object.entries({
    'content-type': 'text/html',
    'content-length': String(body.length),
    connection: 'close',
    ...headers,
  });
  return `HTTP/1.1 ${status} Whatever\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}

/** Numbers from 0 to 1 that depend on the text only: the same seed makes the same faults, in whatever order the requests come. */
export function randomOf(text: string): () => number {
  let state = 2166136261;
  for (const character of text) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

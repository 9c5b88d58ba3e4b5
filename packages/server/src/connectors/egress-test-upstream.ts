// Real loopback listeners for the tests of the outbound door: an HTTP upstream with a handler, and a canary that counts what
// reaches it. For tests only.
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';

export interface Upstream {
  port: number;
  /** TCP connections accepted so far. */
  connections(): number;
  /** Bytes received so far. */
  bytes(): number;
  close(): Promise<void>;
}

/** Serves HTTP on one loopback address. */
export async function startUpstream(handler: http.RequestListener, address = '127.0.0.1', port = 0): Promise<Upstream> {
  return listen(http.createServer({ keepAliveTimeout: 5_000 }, handler), address, port);
}

/** Accepts connections and hands each socket over; without a handler it is a canary that only counts. */
export async function startRaw(
  onSocket: (socket: net.Socket) => void = () => undefined,
  address = '127.0.0.1',
  port = 0,
): Promise<Upstream> {
  return listen(net.createServer(onSocket), address, port);
}

/** Starts any server and counts on it. */
export async function listen(server: net.Server, address: string, port: number): Promise<Upstream> {
  const sockets = new Set<net.Socket>();
  let connections = 0;
  let bytes = 0;
  server.on('connection', (socket: net.Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
    socket.on('close', () => sockets.delete(socket));
    // A client that hangs up is what these tests provoke.
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    bytes: () => bytes,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** The error a promise ends with; fails the test if it does not. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => Promise.reject(new Error('expected a failure')),
    (failure: unknown) => failure,
  );
}

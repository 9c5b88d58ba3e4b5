// A TCP proxy before PostgreSQL or Redis that can fall silent, as a frozen server or a dropped route does, refuse connections, as a stopped server
// does, or be slow. Understands nothing of what passes. Loopback only.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './ports.ts';

export type Fault =
  | { kind: 'none' }
  /** Connections open and nothing passes. */
  | { kind: 'silent' }
  /** Connections end, and nobody listens. */
  | { kind: 'refused' }
  /** Every packet is this late, in each direction. */
  | { kind: 'slow'; delayMs: number };

export class TcpProxy {
  #fault: Fault = { kind: 'none' };
  readonly #sockets = new Set<Socket>();
  readonly #target: URL;
  #server: Server | undefined;
  #port = 0;
  private constructor(target: URL) {
    this.#target = target;
  }

  static async before(target: URL): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#port = await freePort();
    await proxy.#listen();
    return proxy;
  }

  /** As the target's, with this proxy's port. */
  get url(): string {
    const url = new URL(this.#target);
    url.hostname = '127.0.0.1';
    url.port = String(this.#port);
    return url.href;
  }

  get fault(): Fault {
    return this.#fault;
  }

  set fault(fault: Fault) {
    this.#fault = fault;
  }

  /** Ends the fault; with it every connection that suffered it, as a server that is started again would. */
  heal(): void {
    this.#fault = { kind: 'none' };
    this.cut();
  }

  async refuse(): Promise<void> {
    this.#fault = { kind: 'refused' };
    await this.#stop();
  }

  /** After `refuse`: the same port again. */
  async listenAgain(): Promise<void> {
    this.#fault = { kind: 'none' };
    await this.#listen();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async close(): Promise<void> {
    await this.#stop();
  }

  async #stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.cut();
    if (server === undefined) return;
    server.close();
    await once(server, 'close');
  }

  async #listen(): Promise<void> {
    const server = createServer((client) => this.#pass(client));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
  }

  #pass(client: Socket): void {
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (data) => {
        const fault = this.#fault;
        if (fault.kind === 'silent') return;
        if (fault.kind === 'slow') setTimeout(() => to.writable && to.write(data), fault.delayMs);
        else to.write(data);
      });
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on('error', () => to.destroy());
    }
  }
}

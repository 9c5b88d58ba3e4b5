// The misbehaving server of the lab: a real HTTP server on loopback that does one wrong thing to every request and remembers what came.
// It judges nothing.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';

export interface Seen {
  atMs: number;
  method: string;
  /** As it stood in the request line. */
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export type Behaviour = (response: ServerResponse, seen: Seen, count: number) => void;

export interface LabServer {
  url: string;
  port: number;
  /** Requests, without questions about the server itself. */
  seen: Seen[];
  close(): Promise<void>;
}

/** What a server says that runs a request with a known key once. Only our client reads it. */
const promise = { 'valet-idempotency': 'ttl=86400, epoch="lab", durable' };

const ok = (response: ServerResponse, seen: Seen): void => {
  const { id } = seen.body.startsWith('{') ? (JSON.parse(seen.body) as { id?: unknown }) : {};
  const result = { content: [{ type: 'text', text: 'ok' }] };
  json(response, 200, id === undefined ? {} : { jsonrpc: '2.0', id, result });
};

export function json(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

export const answers: Behaviour = ok;
export const fails =
  (status: number, headers: Record<string, string> = {}): Behaviour =>
  (response) =>
    json(response, status, { error: { message: 'No.' } }, headers);
export const resets: Behaviour = (response) => void response.socket?.resetAndDestroy();
export const hangs: Behaviour = () => undefined;
export const bodyHangs: Behaviour = (response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' }).write('{"a":');
};

/** `promises`: it tells every caller that it honours idempotency keys. */
export async function startLabServer(behave: Behaviour, promises = false): Promise<LabServer> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url: path = '', headers } = request;
    const one = { atMs: performance.now(), method, path, headers, body: Buffer.concat(chunks).toString() };
    if (promises) for (const [name, value] of Object.entries(promise)) response.setHeader(name, value);
    if (one.body.includes('"method":"ping"')) return ok(response, one);
    seen.push(one);
    behave(response, one, seen.length);
  });
  const port = await listenOnLoopback(server);
  return { url: `http://127.0.0.1:${port}`, port, seen, close: () => closeServer(server) };
}

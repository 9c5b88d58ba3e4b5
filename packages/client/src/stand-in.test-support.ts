// A real HTTP server on loopback that misbehaves as told, for the tests beside it. Never part of the build.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { type ClientOptions, MCPClient } from './index.ts';

export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
  /** The parsed body; tests know what they sent. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into arbitrary JSON
  json: any;
}

export type Handler = (seen: Seen, response: ServerResponse, count: number) => void | Promise<void>;

export interface StandIn {
  url: string;
  seen: Seen[];
}

/** Starts one; it ends with the test. The handler is asked with the number of the request, from 1. */
export async function standIn(handler: Handler): Promise<StandIn> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const { method = '', url = '', headers } = request;
    seen.push({ method, path: url, headers, body, json: body === '' ? undefined : JSON.parse(body) });
    await handler(seen.at(-1) as Seen, response, seen.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

/** A stand-in and a client for it. Fast timeouts; retries as by default, unless a test says otherwise. */
export async function clientOf(
  handler: Handler,
  options: ClientOptions = {},
): Promise<StandIn & { client: MCPClient }> {
  const server = await standIn(handler);
  return { ...server, client: new MCPClient({ baseUrl: server.url, apiKey: 'k-canary', timeout: 2000, ...options }) };
}

/** An answer of a proxy that says nothing but its status, by default with leave to come back at once. */
export const failWith =
  (status: number, headers: Record<string, string> = { 'retry-after-ms': '1' }): Handler =>
  (_, response) =>
    void response.writeHead(status, headers).end('<html>proxy</html>');

export function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** A JSON-RPC success with the id of the request. */
export function rpcResult(
  seen: Seen,
  response: ServerResponse,
  result: unknown,
  headers: Record<string, string> = {},
): void {
  json(response, 200, { jsonrpc: '2.0', id: seen.json.id, result }, headers);
}

export const textResult = (text: string) => ({ content: [{ type: 'text', text }] });

/** Cuts the connection without an answer. */
export const reset = (response: ServerResponse): void => {
  response.socket?.resetAndDestroy();
};

/** Promises fewer bytes than it announces, then closes. */
export const cutBody = (response: ServerResponse, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': '1000' });
  response.write('{"jsonrpc":"2.0",');
  setTimeout(() => response.socket?.destroy(), 20);
};

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

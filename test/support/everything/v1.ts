// A small upstream on the v1 SDK (`@modelcontextprotocol/sdk`): interop peer for the gateway, handshake revisions only.
// Must not share classes with the v2 fixtures: errors and transports of the two SDKs do not mix.
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as z from 'zod';
import { closeServer, listenOnLoopback } from '../loopback.ts';
import { type RecordedRequest, recordedRequest } from '../recorded-request.ts';

export interface V1UpstreamOptions {
  /** Whether `initialize` mints a session; true when absent. */
  readonly sessions?: boolean;
  readonly record?: boolean;
  readonly port?: number;
}

export interface V1Upstream {
  readonly url: string;
  readonly recorded: readonly RecordedRequest[];
  sessionCount(): number;
  close(): Promise<void>;
}

export async function startV1Upstream(options: V1UpstreamOptions = {}): Promise<V1Upstream> {
  const recorded: RecordedRequest[] = [];
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  const withSessions = options.sessions ?? true;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (options.record === true) recorded.push(recordedRequest(request, body));
    const parsed: unknown = body.length === 0 ? undefined : JSON.parse(body.toString('utf8'));
    const id = request.headers['mcp-session-id'];
    const known = typeof id === 'string' ? sessions.get(id) : undefined;
    if (known !== undefined) return known.handleRequest(request, response, parsed);
    if (id !== undefined) return refuse(response, 404, -32001, 'Session not found');
    if (!withSessions && request.method !== 'POST') return refuse(response, 405, -32000, 'Method not allowed.');

    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      // Left out, not `undefined`: exactOptionalPropertyTypes again.
      ...(withSessions ? { sessionIdGenerator: () => randomUUID() } : {}),
      onsessioninitialized: (sessionId) => {
        sessions.set(sessionId, transport);
      },
      onsessionclosed: (sessionId) => {
        sessions.delete(sessionId);
      },
    });
    const server = createV1Server();
    await server.connect(transport);
    if (!withSessions) response.on('close', () => void server.close());
    await transport.handleRequest(request, response, parsed);
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      if (!response.headersSent) refuse(response, 400, -32700, error instanceof Error ? error.message : String(error));
      else response.destroy();
    });
  });
  const port = await listenOnLoopback(server, options.port);
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    recorded,
    sessionCount: () => sessions.size,
    async close() {
      await Promise.all([...sessions.values()].map((transport) => transport.close()));
      await closeServer(server);
    },
  };
}

function createV1Server(): McpServer {
  const server = new McpServer({ name: 'v1-upstream', version: '1.0.0' });
  server.registerTool('echo', { description: 'Repeats a text', inputSchema: { text: z.string() } }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
  server.registerTool(
    'add',
    { description: 'Adds two numbers', inputSchema: { a: z.number(), b: z.number() } },
    ({ a, b }) => ({ content: [{ type: 'text', text: String(a + b) }] }),
  );
  server.registerPrompt('greet', { description: 'Greets somebody', argsSchema: { name: z.string() } }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Hello, ${name}!` } }],
  }));
  server.registerResource('note', 'v1://note', { description: 'A note', mimeType: 'text/plain' }, () => ({
    contents: [{ uri: 'v1://note', mimeType: 'text/plain', text: 'A note of the v1 upstream' }],
  }));
  return server;
}

function refuse(response: ServerResponse, status: number, code: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }));
}

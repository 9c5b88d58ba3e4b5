// The handshake-era leg of the everything-upstream over HTTP: sessions, or none at all.
// Must not see 2026-07-28 traffic unless the upstream serves no other era.
import { randomUUID } from 'node:crypto';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server';
import { createEventLog } from './event-log.ts';
import type { EverythingServer } from './server.ts';

const maxRequestBodySize = 16 * 1024 * 1024;

export interface LegacyLeg {
  fetch(request: Request): Promise<Response>;
  /** Every open session, for announcements. */
  sessions(): readonly EverythingServer[];
  close(): Promise<void>;
}

interface Session extends EverythingServer {
  readonly transport: WebStandardStreamableHTTPServerTransport;
}

export function createSessionLeg(create: () => EverythingServer): LegacyLeg {
  const sessions = new Map<string, Session>();
  return {
    async fetch(request) {
      const id = request.headers.get('mcp-session-id');
      if (id !== null) {
        const session = sessions.get(id);
        return session === undefined ? sessionNotFound() : session.transport.handleRequest(request);
      }
      const { mcp, subscriptions } = create();
      const transport = new WebStandardStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (sessionId) => {
          sessions.set(sessionId, { mcp, subscriptions, transport });
        },
        onsessionclosed: (sessionId) => {
          sessions.delete(sessionId);
        },
        eventStore: createEventLog(),
        retryInterval: 100,
        maxRequestBodySize,
      });
      await mcp.connect(transport);
      const response = await transport.handleRequest(request);
      if (transport.sessionId === undefined) await mcp.close();
      return response;
    },
    sessions: () => [...sessions.values()],
    async close() {
      await Promise.all([...sessions.values()].map((session) => session.mcp.close()));
      sessions.clear();
    },
  };
}

/** One server and transport per request, no session id; answers JSON or SSE as told. */
export function createStatelessLeg(create: () => EverythingServer, enableJsonResponse: boolean): LegacyLeg {
  const open = new Set<EverythingServer>();
  return {
    async fetch(request) {
      if (request.method !== 'POST') {
        return Response.json(
          { jsonrpc: '2.0', id: null, error: { code: -32000, message: 'Method not allowed.' } },
          { status: 405, headers: { allow: 'POST' } },
        );
      }
      const server = create();
      const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse, maxRequestBodySize });
      await server.mcp.connect(transport);
      open.add(server);
      const done = () => {
        if (open.delete(server)) void server.mcp.close();
      };
      const response = await transport.handleRequest(request);
      if (response.body === null) {
        done();
        return response;
      }
      const body = response.body.pipeThrough(new TransformStream({ flush: done }));
      request.signal.addEventListener('abort', done);
      return new Response(body, response);
    },
    sessions: () => [],
    async close() {
      await Promise.all([...open].map((server) => server.mcp.close()));
      open.clear();
    },
  };
}

function sessionNotFound(): Response {
  return Response.json(
    { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } },
    { status: 404 },
  );
}

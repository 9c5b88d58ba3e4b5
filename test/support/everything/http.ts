// The everything-upstream over HTTP: an MCP server with every feature, both eras on one URL, on loopback.
// A fixture: it must not be used as an example of a server, and it checks no credential.
import { createServer, type IncomingMessage } from 'node:http';
import { type NodeIncomingMessageLike, toNodeHandler } from '@modelcontextprotocol/node';
import {
  createMcpHandler,
  hostHeaderValidationResponse,
  isLegacyRequest,
  localhostAllowedHostnames,
  type McpServer,
  originValidationResponse,
} from '@modelcontextprotocol/server';
import { closeServer, listenOnLoopback } from '../loopback.ts';
import { type RecordedRequest, recordedRequest } from '../recorded-request.ts';
import { createSessionLeg, createStatelessLeg } from './legacy-http.ts';
import { createEverythingServer, type Era } from './server.ts';

const maxRequestBodySize = 16 * 1024 * 1024;

export interface EverythingOptions {
  /** Eras served; both when absent. `['legacy']` answers like a server that has never heard of 2026-07-28. */
  readonly eras?: readonly Era[];
  /** Whether `initialize` mints a session; true when absent. */
  readonly sessions?: boolean;
  /** Without sessions: answer L requests with JSON instead of SSE. */
  readonly jsonResponses?: boolean;
  /** Keep every request in `recorded`. */
  readonly record?: boolean;
  /** `ttlMs` of cacheable 2026-07-28 results; 0 when absent. */
  readonly ttlMs?: number;
  /** Answers instead of the server when it returns a response, for example with a 401. Runs after recording. */
  readonly intercept?: (request: RecordedRequest) => Response | undefined;
  /** Adds tools of a test's own to every server instance. */
  readonly extend?: (server: McpServer, era: Era) => void;
  readonly port?: number;
}

export interface EverythingUpstream {
  /** `http://127.0.0.1:<port>/mcp`; `localhost` works as well. */
  readonly url: string;
  readonly recorded: readonly RecordedRequest[];
  /** Number of open L sessions. */
  sessionCount(): number;
  /** Number of open 2026-07-28 listen streams. */
  listenerCount(): number;
  toolsChanged(): void;
  promptsChanged(): void;
  resourcesChanged(): void;
  resourceUpdated(uri: string): void;
  /** Errors the SDK reported out of band. */
  readonly errors: readonly Error[];
  close(): Promise<void>;
}

export async function startEverything(options: EverythingOptions = {}): Promise<EverythingUpstream> {
  const eras = options.eras ?? ['legacy', 'modern'];
  const recorded: RecordedRequest[] = [];
  const errors: Error[] = [];
  const onerror = (error: Error) => {
    errors.push(error);
  };
  let listeners = 0;

  const create = (era: Era) =>
    createEverythingServer({ era, ttlMs: options.ttlMs, extend: options.extend, changes: announce });
  const modern = createMcpHandler(() => create('modern').mcp, { legacy: 'reject', onerror, maxRequestBodySize });
  const legacy =
    (options.sessions ?? true)
      ? createSessionLeg(() => create('legacy'))
      : createStatelessLeg(() => create('legacy'), options.jsonResponses ?? false);
  const subscribe = modern.bus.subscribe.bind(modern.bus);
  modern.bus.subscribe = (listener) => {
    const unsubscribe = subscribe(listener);
    listeners += 1;
    let counted = true;
    return () => {
      if (counted) listeners -= 1;
      counted = false;
      unsubscribe();
    };
  };

  const announce = {
    toolsChanged() {
      modern.notify.toolsChanged();
      for (const { mcp } of legacy.sessions()) mcp.sendToolListChanged();
    },
    promptsChanged() {
      modern.notify.promptsChanged();
      for (const { mcp } of legacy.sessions()) mcp.sendPromptListChanged();
    },
    resourcesChanged() {
      modern.notify.resourcesChanged();
      for (const { mcp } of legacy.sessions()) mcp.sendResourceListChanged();
    },
    resourceUpdated(uri: string) {
      modern.notify.resourceUpdated(uri);
      for (const { mcp, subscriptions } of legacy.sessions()) {
        if (subscriptions.has(uri)) mcp.server.sendResourceUpdated({ uri }).catch(onerror);
      }
    },
  };

  async function serve(incoming: IncomingMessage, request: Request): Promise<Response> {
    if (options.record === true || options.intercept !== undefined) {
      const entry = recordedRequest(incoming, Buffer.from(await request.clone().arrayBuffer()));
      if (options.record === true) recorded.push(entry);
      const answer = options.intercept?.(entry);
      if (answer !== undefined) return answer;
    }
    const hostnames = localhostAllowedHostnames();
    const refused = hostHeaderValidationResponse(request, hostnames) ?? originValidationResponse(request, hostnames);
    if (refused !== undefined) return refused;
    if (new URL(request.url).pathname !== '/mcp') return new Response(null, { status: 404 });
    if (!eras.includes('modern')) return legacy.fetch(request);
    if (!eras.includes('legacy')) return modern.fetch(request);
    return (await isLegacyRequest(request, undefined, { maxRequestBodySize }))
      ? legacy.fetch(request)
      : modern.fetch(request);
  }

  const server = createServer((incoming, outgoing) => {
    const handle = toNodeHandler({ fetch: (request) => serve(incoming, request) }, { onerror, maxRequestBodySize });
    // node's types spell absent fields as `string | undefined`, the adapter's as optional.
    handle(incoming as NodeIncomingMessageLike, outgoing).catch(onerror);
  });
  const port = await listenOnLoopback(server, options.port);
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    recorded,
    errors,
    sessionCount: () => legacy.sessions().length,
    listenerCount: () => listeners,
    ...announce,
    async close() {
      await modern.close();
      await legacy.close();
      await closeServer(server);
    },
  };
}

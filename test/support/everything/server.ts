// Builds one McpServer of the everything-upstream for one era; HTTP and stdio serve what comes out of here.
// Must not know a transport.
import { McpServer } from '@modelcontextprotocol/server';
import { registerPrompts, registerResources } from './content.ts';
import { registerLegacyTools } from './legacy-tools.ts';
import { type ListChanges, registerModernTools } from './modern-tools.ts';
import { mintRequestState, verifyRequestState } from './request-state.ts';
import { registerSharedTools } from './shared-tools.ts';

export type Era = 'legacy' | 'modern';

export interface EverythingServerOptions {
  readonly era: Era;
  /** Where trigger tools announce changed lists; without it the server's own connection is told. */
  readonly changes?: ListChanges | undefined;
  /** `ttlMs` of cacheable 2026-07-28 results; 0 when absent. */
  readonly ttlMs?: number | undefined;
  /** Adds tools of a test's own. */
  readonly extend?: ((server: McpServer, era: Era) => void) | undefined;
}

export interface EverythingServer {
  readonly mcp: McpServer;
  /** URIs that an L connection subscribed to; 2026-07-28 subscriptions live in the SDK's listen streams. */
  readonly subscriptions: ReadonlySet<string>;
}

export function createEverythingServer(options: EverythingServerOptions): EverythingServer {
  const hint = { ttlMs: options.ttlMs ?? 0, cacheScope: 'private' as const };
  const mcp = new McpServer(
    { name: 'everything-upstream', title: 'Everything', version: '1.0.0' },
    {
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        completions: {},
        logging: {},
      },
      instructions: 'A fixture upstream with every feature of the protocol.',
      requestState: { verify: verifyRequestState },
      cacheHints: {
        'server/discover': hint,
        'tools/list': hint,
        'prompts/list': hint,
        'resources/list': hint,
        'resources/templates/list': hint,
        'resources/read': hint,
      },
    },
  );
  const subscriptions = new Set<string>();
  registerSharedTools(mcp);
  registerPrompts(mcp);
  registerResources(mcp);
  if (options.era === 'modern') {
    const own: ListChanges = {
      toolsChanged: () => mcp.sendToolListChanged(),
      promptsChanged: () => mcp.sendPromptListChanged(),
    };
    registerModernTools(mcp, mintRequestState, options.changes ?? own);
  } else {
    registerLegacyTools(mcp);
    mcp.server.setRequestHandler('resources/subscribe', ({ params }) => {
      subscriptions.add(params.uri);
      return {};
    });
    mcp.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
      subscriptions.delete(params.uri);
      return {};
    });
  }
  options.extend?.(mcp, options.era);
  return { mcp, subscriptions };
}

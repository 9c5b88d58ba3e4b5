// POST /mcp/tool/call as a route: sign-in before the body is read, the call plane's body limits, the seed's envelope for every error.
// What a call means is in `mcp/tool-call`.
import { contract, limits } from '@mcp-valet/shared';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Parts } from '../context.ts';
import { identifyRequest } from '../identity/identify.ts';
import type { Principal } from '../identity/principal.ts';
import { callToolDirectly } from '../mcp/tool-call.ts';
import { Refusal } from '../refusal.ts';
import { installJsonParser, readInput } from './read-request.ts';
import { replyError } from './reply-error.ts';

const route = contract.tools.call;

export function toolCallEndpoint(parts: Parts) {
  return async (app: FastifyInstance): Promise<void> => {
    const principals = new WeakMap<FastifyRequest, Principal>();
    installJsonParser(app, limits.mcpJsonNodes);
    app.setErrorHandler((error, request, reply) => replyError(error, request, reply, parts.log));
    app.route({
      method: route.method,
      url: route.path,
      bodyLimit: parts.config.limits.bodyBytes,
      config: { dialect: route.dialect },
      onRequest: async (request, reply) => {
        reply.header('cache-control', 'no-store');
        try {
          const principal = await identifyRequest(
            { headers: request.headers, rawHeaders: request.raw.rawHeaders },
            parts,
          );
          if (!route.access.some((kind) => kind === principal.kind)) {
            throw new Refusal('FORBIDDEN', 'This needs an API key; a server token calls its own MCP endpoint only', {
              reason: 'kind_not_allowed',
            });
          }
          principals.set(request, principal);
        } catch (error) {
          if (error instanceof Refusal && error.code === 'UNAUTHORIZED') {
            await parts.trail.signInFailed({ address: request.ip, requestId: request.id, reason: error.reason });
          }
          throw error;
        }
      },
      handler: async (request, reply) => {
        const principal = principals.get(request);
        if (principal === undefined) throw new Error('the hook has identified the caller');
        return callToolDirectly(parts, principal, readInput(route, request), request, reply);
      },
    });
  };
}

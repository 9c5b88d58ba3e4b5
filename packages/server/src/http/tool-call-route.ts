// POST /mcp/tool/call as a route: sign-in before the body is read, the call plane's body limits, the seed's envelope for every error.
// What a call means is in `mcp/tool-call`.
import { contract, limits, usernamePattern } from '@mcp-valet/shared';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Parts } from '../context.ts';
import { attemptedText } from '../identity/effective-user.ts';
import { identifyRequest } from '../identity/identify.ts';
import { mayUse, type Principal } from '../identity/principal.ts';
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
          parts.epoch.promise(reply);
          if (!mayUse(route, principal.kind)) {
            throw new Refusal('FORBIDDEN', 'This needs an API key; a server token calls its own MCP endpoint only', {
              reason: 'kind_not_allowed',
            });
          }
          principals.set(request, principal);
        } catch (error) {
          if (error instanceof Refusal && error.status > 400 && error.status < 500) {
            await parts.trail.signInFailed({
              address: request.ip,
              requestId: request.id,
              reason: error.reason,
              by: error.by,
            });
          }
          throw error;
        }
      },
      handler: async (request, reply) => {
        const principal = principals.get(request);
        if (principal === undefined) throw new Error('the hook has identified the caller');
        return callToolDirectly(parts, principal, readOrNote(parts, principal, request), request, reply);
      },
    });
  };
}

/** The body; where its `username` can be nobody's, an attempt to act for somebody was made all the same. */
function readOrNote(parts: Parts, principal: Principal, request: FastifyRequest) {
  try {
    return readInput(route, request);
  } catch (error) {
    const named = (request.body as { username?: unknown } | null | undefined)?.username;
    if (typeof named === 'string' && !usernamePattern.test(named)) {
      void parts.trail.refused({
        accountId: principal.accountId,
        actor: { keyId: principal.keyId, kind: principal.kind, userId: principal.userId },
        action: 'user.override',
        outcome: 'refused',
        attemptedUser: attemptedText(named),
        reason: 'malformed_user',
        requestId: request.id,
        address: request.ip,
      });
    }
    throw error;
  }
}

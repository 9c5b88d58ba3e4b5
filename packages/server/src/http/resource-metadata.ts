// RFC 9728: where the users of an MCP endpoint sign in, as a public document. Without an identity provider the same 404 as for a server that is
// not there.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Parts } from '../context.ts';
import { metadataPath, resourceMetadata } from '../mcp/challenge.ts';
import { Refusal } from '../refusal.ts';

export function resourceMetadataRoutes(parts: Parts) {
  return async (app: FastifyInstance): Promise<void> => {
    const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const { serverId } = request.params as { serverId?: string };
      const document = await resourceMetadata(parts, serverId);
      if (document === undefined) throw new Refusal('NOT_FOUND', 'Not found');
      // Public, and read by browsers of any origin: there is nothing in it that depends on who asks.
      return reply
        .headers({ 'cache-control': 'public, max-age=60', 'access-control-allow-origin': '*' })
        .type('application/json; charset=utf-8')
        .send(JSON.stringify(document));
    };
    app.get(`${metadataPath}/mcp`, { exposeHeadRoute: false }, handler);
    app.get(`${metadataPath}/mcp/:serverId`, { exposeHeadRoute: false }, handler);
  };
}

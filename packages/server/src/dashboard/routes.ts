// The dashboard at /admin: one page, its assets and its session. The page is a client like any other and has no way in of its own; what it may do
// is decided where every management request is decided.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Parts } from '../context.ts';
import { type BuiltPage, type PageFile, readBuiltPage } from './files.ts';
import { oidcRoutes } from './oidc-routes.ts';
import { sessionRoutes } from './session-routes.ts';

/** Nothing inline, nothing from elsewhere, nobody frames it. uPlot sets sizes through the CSSOM, which no style rule hinders. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const notBuilt =
  'The dashboard is not built. Build it with: npm run build (or: pnpm --filter @mcp-valet/dashboard build), then start the gateway again.\n';

export function dashboardRoutes(parts: Parts, page: BuiltPage | undefined = readBuiltPage()) {
  return async (app: FastifyInstance): Promise<void> => {
    await app.register(sessionRoutes(parts));
    if (parts.config.adminOidc !== undefined) await app.register(oidcRoutes(parts, parts.config.adminOidc));
    await app.register(async (pages) => {
      const serve = (request: FastifyRequest, reply: FastifyReply): FastifyReply => answer(page, request, reply);
      pages.get('/admin', serve);
      // Addresses inside the page are its own business: whatever is no asset is the page.
      pages.get('/admin/*', serve);
    });
  };
}

function answer(page: BuiltPage | undefined, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (page === undefined) return guarded(reply).code(503).type('text/plain; charset=utf-8').send(notBuilt);
  const path = (request.params as { '*'?: string })['*'] ?? '';
  const file = page.files.get(path);
  // An asset of another version must not become the page: a browser would take it for a script.
  if (file === undefined && path.startsWith('assets/')) {
    return guarded(reply).code(404).type('text/plain; charset=utf-8').send('Not found\n');
  }
  return sendFile(file ?? page.index, request, reply);
}

function sendFile(file: PageFile, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  void guarded(reply)
    .header('etag', file.etag)
    .header('cache-control', file.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache');
  if (request.headers['if-none-match'] === file.etag) return reply.code(304).send();
  return reply.type(file.type).send(file.body);
}

const guarded = (reply: FastifyReply): FastifyReply =>
  reply
    .header('content-security-policy', contentSecurityPolicy)
    .header('x-frame-options', 'DENY')
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'no-referrer')
    .header('cross-origin-opener-policy', 'same-origin')
    .header('permissions-policy', 'camera=(), microphone=(), geolocation=()');

// What every request of every route passes before anything else: the Host and Origin allow-lists against DNS rebinding and web pages that
// call us, and the log line of its end. No CORS, no cookie.
import { headers as names } from '@mcp-valet/shared';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../config.ts';
import { Refusal } from '../refusal.ts';

/** The name in a Host header or Origin, without port and lower-cased. */
function hostName(authority: string): string | undefined {
  return URL.canParse(`http://${authority}`) ? new URL(`http://${authority}`).hostname : undefined;
}

function originName(origin: string): string | undefined {
  return URL.canParse(origin) && /^https?:/.test(origin) ? new URL(origin).hostname : undefined;
}

function refuseHost(): never {
  throw new Refusal('FORBIDDEN', 'This host name is not served here; add it to VALET_ALLOWED_HOSTS', {
    reason: 'host_not_allowed',
  });
}

export function installGuards(app: FastifyInstance, config: Config): void {
  const allowed = new Set(config.allowedHosts.map((host) => hostName(host) ?? host));
  const isAllowed = (name: string | undefined): boolean => name !== undefined && allowed.has(name);
  // The one that was let through last, as it was sent: most callers say the same, and then nothing is parsed.
  let lastHost: string | undefined;

  app.addHook('onRequest', async (request, reply) => {
    reply.header(names.requestId, request.id);
    const { host } = request.headers;
    // Scrapers come by address, one replica at a time; no page can send the token that opens this.
    const isByAddress = request.routeOptions.url === '/metrics';
    if (!isByAddress && (host === undefined || host !== lastHost)) {
      if (!isAllowed(hostName(host ?? ''))) refuseHost();
      lastHost = host;
    }
    const { origin } = request.headers;
    if (origin !== undefined && !isAllowed(originName(origin))) {
      throw new Refusal('FORBIDDEN', 'This origin may not call the gateway', { reason: 'origin_not_allowed' });
    }
  });

  app.addHook('onResponse', async (request, reply) => {
    request.log[levelOf(reply.statusCode)](
      {
        requestId: request.id,
        method: request.method,
        route: routeOf(request),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'request',
    );
  });
}

const levelOf = (status: number): 'info' | 'warn' | 'debug' =>
  status >= 500 ? 'warn' : status >= 400 ? 'info' : 'debug';
/** The pattern, never the URL: a URL may hold a token. */
const routeOf = (request: FastifyRequest): string => request.routeOptions.url ?? '(none)';

// One id per request, for reply, log and trail: the caller's when it is well-formed, else ours. Names a request, proves nothing.
import type { IncomingMessage } from 'node:http';
import { headers } from '@mcp-valet/shared';
import { newId } from '../ids.ts';

/** For Fastify's `genReqId`. A doubled header arrives joined by a comma and is not well-formed; a token that strayed here must not be logged. */
export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const sent = request.headers[headers.requestId];
  return typeof sent === 'string' && /^(?!mcpv_)[A-Za-z0-9._-]{1,64}$/.test(sent) ? sent : newId('req');
}

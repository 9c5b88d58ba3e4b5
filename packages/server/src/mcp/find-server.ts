// The server that a request is for. Asks the directory; the caller has been identified before.
import { isStorableText } from '@mcp-valet/shared';
import type { Parts } from '../context.ts';
import type { Principal } from '../identity/principal.ts';
import type { ServerRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';

/** The server that path and header name; null for the aggregate endpoint. The same 404 for a missing and a foreign one. */
export async function findServer(
  parts: Parts,
  principal: Principal,
  pathId: string | undefined,
  headerId: string | undefined,
): Promise<ServerRecord | null> {
  if (pathId !== undefined && headerId !== undefined && pathId !== headerId) {
    throw new Refusal('INVALID_REQUEST', 'x-mcp-server-id differs from the server in the path', {
      reason: 'two_servers',
    });
  }
  const id = pathId ?? headerId;
  if (id === undefined) return null;
  if (principal.serverId !== null && principal.serverId !== id)
    throw new Refusal('UNAUTHORIZED', 'Missing or invalid credential', { reason: 'other_server' });
  // What the database cannot hold is no id; asking it would be an error of ours.
  const server =
    id.length <= 128 && isStorableText(id) ? await parts.directory.server(principal.accountId, id) : undefined;
  if (server === undefined) throw new Refusal('NOT_FOUND', 'Server not found', { reason: 'server_not_found' });
  return server;
}

// Boots a real gateway in front of fixture upstreams, on loopback sockets, for the suites about the MCP endpoints.
// Must not mock anything, and must not know what a test asserts.
import { startTestGateway, type TestGateway, type TestGatewayOptions } from '@mcp-valet/server/testing';
import { openTestDatabase } from '../support/database.ts';

export interface Upstream {
  readonly id: string;
  readonly url: string;
  /** Further fields of the connector. */
  readonly fields?: Record<string, unknown>;
}

export interface DirectGateway {
  readonly gateway: TestGateway;
  /** Calls the management API with the admin key. */
  api<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>;
  /** Publishes a server; the path token is in `url`, which names `localhost`. */
  publish(fields: Record<string, unknown>): Promise<{ serverId: string; url: string; plainUrl: string }>;
  /** Mints a standard key for a user. */
  mintKey(username: string): Promise<{ key: string; keyId: string }>;
  close(): Promise<void>;
}

export async function startDirectGateway(
  upstreams: readonly Upstream[],
  options: TestGatewayOptions = {},
): Promise<DirectGateway> {
  // Migrated already: to do that anew for each gateway takes a busy machine most of a hook's time.
  const { url } = await openTestDatabase('pglite');
  const gateway = await startTestGateway({
    ...options,
    env: { DATABASE_URL: url, HOST: '127.0.0.1', VALET_RATE_LIMIT: '100000', ...options.env },
  });
  await gateway.listen();
  const api = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const response = await fetch(`${gateway.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${gateway.apiKey}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  };
  for (const { id, url, fields } of upstreams) {
    await api('POST', '/api/connectors', { connectorId: id, name: id, kind: 'mcp-http', url, ...fields });
  }
  let count = 0;
  return {
    gateway,
    api,
    async publish(fields) {
      const { serverId, accessUrl } = await api<{ serverId: string; accessUrl: string }>('POST', '/api/servers', {
        name: `Server ${++count}`,
        mode: 'direct',
        ...fields,
      });
      const base = gateway.url.replace('127.0.0.1', 'localhost');
      return { serverId, url: `${base}${new URL(accessUrl).pathname}`, plainUrl: `${base}/mcp/${serverId}` };
    },
    async mintKey(username) {
      const minted = await api<{ api_key: string; key_id: string }>('POST', `/users/${username}/keys`, {
        key_name: 'minted',
      });
      return { key: minted.api_key, keyId: minted.key_id };
    },
    close: () => gateway.close(),
  };
}

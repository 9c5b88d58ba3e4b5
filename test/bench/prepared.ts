// What measurements set up in a gateway before they begin: a configuration with limits out of the way, one connector, one restricted direct-mode
// server, users with secrets. By the routes that an operator has; nothing is put into the database.
import { randomBytes } from 'node:crypto';

export const connector = 'bench';

export interface Settings {
  env: Record<string, string>;
  key: string;
  masterKey: string;
}

export function settings(databaseUrl: string, more: Record<string, string> = {}): Settings {
  const key = randomBytes(24).toString('hex');
  const masterKey = randomBytes(32).toString('base64');
  const env = {
    DATABASE_URL: databaseUrl,
    PORT: '0',
    LOG_LEVEL: 'warn',
    VALET_API_KEY: key,
    VALET_MASTER_KEY: masterKey,
    VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8',
    VALET_RATE_LIMIT: '1000000',
    VALET_LIST_RATE_LIMIT: '1000000',
    VALET_MANAGEMENT_RATE_LIMIT: '1000000',
    VALET_CONCURRENT_CALLS: '1000',
    ...more,
  };
  return { env, key, masterKey };
}

export async function api(
  url: string,
  key: string,
  method: string,
  path: string,
  body: unknown,
): Promise<Record<string, unknown>> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

export const toolCall = (name: string, args: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } });

export async function addUser(
  url: string,
  key: string,
  username: string,
  secretNames: readonly string[],
): Promise<void> {
  await api(url, key, 'POST', '/users', { username });
  for (const secretName of secretNames)
    await api(url, key, 'POST', '/secrets/set', {
      username,
      serverName: connector,
      secretName,
      secretValue: randomBytes(24).toString('hex'),
    });
}

export interface Wanted {
  users: readonly string[];
  secretNames?: readonly string[];
  /** Whether the server gives every client of the 2025 era a session. */
  sessions?: 'auto' | 'always';
}

/** Everything that a real call passes. Answers the path of the server. */
export async function prepare(
  url: string,
  key: string,
  upstreamUrl: string,
  { users, secretNames = ['TOKEN'], sessions = 'auto' }: Wanted,
): Promise<string> {
  const inject = { headers: { authorization: 'Bearer {{TOKEN}}' } };
  await api(url, key, 'POST', '/api/connectors', {
    connectorId: connector,
    kind: 'mcp-http',
    url: upstreamUrl,
    secretNames,
    inject,
  });
  for (const username of users) await addUser(url, key, username, secretNames);
  const restrictions = { permissions: [{ connector, mode: 'allow', actions: ['echo', 'add', 'whoami'] }] };
  const server = await api(url, key, 'POST', '/api/servers', {
    name: 'bench',
    mode: 'direct',
    connectors: [connector],
    sessions,
    restrictions,
  });
  return `/mcp/${String(server['serverId'])}`;
}

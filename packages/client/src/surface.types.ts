// Checked by the compiler, never run: what must compile does, and every line under `@ts-expect-error` must not.
import {
  type CallOptions,
  type ClientOptions,
  type ExecuteOptions,
  MCPClient,
  NotFoundError,
  type Page,
  type RateLimitOptions,
  type RawOptions,
  type Server,
  type ToolResult,
  type User,
  type ValetError,
} from './index.ts';
import type { WithOutput } from './input.ts';
import type { ofCall, ofClient, ofRateLimit } from './option-names.ts';

declare module '@mcp-valet/client' {
  interface ToolRegistry {
    sample__post: { args: { channel: string; text: string }; output: { ts: string } };
  }
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => undefined;

/** Every option is known by its name, so that others can be refused. */
same<keyof typeof ofClient, keyof ClientOptions>(true);
same<keyof typeof ofRateLimit, keyof RateLimitOptions>(true);
same<keyof typeof ofCall, keyof (CallOptions & ExecuteOptions & WithOutput<unknown> & RawOptions)>(true);

export async function compiles(client: MCPClient): Promise<void> {
  const server = await client.servers.create({
    name: 'crm',
    restrictions: { permissions: [{ connector: 'slack', mode: 'allow', actions: ['*'] }] },
  });
  same<typeof server.accessToken, string | undefined>(true);
  same<typeof server.mode, 'connectivity' | 'direct'>(true);
  const fetched: Server = await client.servers.get(server.serverId);
  same<typeof fetched.accessUrl, string | null>(true);

  const user = await client.users.get('al');
  same<typeof user.createdAt, string>(true);
  same<
    typeof user.apiKeys,
    {
      keyId: string;
      keyName: string;
      prefix: string;
      createdAt: string;
      expiresAt: string | null;
      lastUsedAt: string | null;
      revoked: boolean;
    }[]
  >(true);
  const page: Page<User> = await client.users.list({ limit: 5 });
  for await (const one of client.users.list()) same<typeof one.mcpAllowed, string[]>(true);
  same<typeof page.items, readonly User[]>(true);

  await client.keys.create('al', { keyName: 'ci', ttlDays: 30 });
  await client.keys.revoke({ keyId: 'key_1' });
  await client.users.setEnabled('al');
  await client.servers.rotateToken('s', { overlapSeconds: 60 }, { timeout: 1000 });
  await client.connectors.get('x', undefined, { timeout: 1000 });
  await client.me({ timeout: 1000 });

  const result = await client.executeForUser('al', 'sample__post', { channel: 'c', text: 't' });
  same<typeof result, ToolResult<{ ts: string }>>(true);
  const other = await client.executeForUser('al', 'anything', { free: [1] });
  same<typeof other.structuredContent, unknown>(true);
  await client.executeForUser('al', 'execute_action_alloy', { connectorId: 'slack', actionId: 'chat_postMessage' });
  const method: string = 'list_connectors_alloy';
  await client.executeForUser('al', method, {});

  const end = await client.servers.get('x').safe();
  if (end.ok) same<typeof end.data, Server>(true);
  else same<typeof end.error, ValetError>(true);
  try {
    await client.me();
  } catch (error) {
    if (error instanceof NotFoundError) same<typeof error.status, number | undefined>(true);
  }
}

export async function refuses(client: MCPClient): Promise<void> {
  // @ts-expect-error a name is required
  await client.servers.create({});
  // @ts-expect-error unknown fields are refused by the gateway
  await client.servers.create({ name: 'x', nmae: 'y' });
  // @ts-expect-error a wrong enum value
  await client.servers.create({ name: 'x', mode: 'fast' });
  // @ts-expect-error the id is missing
  await client.servers.get();
  // @ts-expect-error user management is camelCase here
  await client.keys.create('al', { key_name: 'ci' });
  // @ts-expect-error by id or by text, not both missing
  await client.keys.revoke({});
  // @ts-expect-error named fields, so that name and value cannot swap
  await client.setSecret('al', 'github', 'T', 'v');
  // @ts-expect-error the user is missing
  await client.secrets.list({ connector: 'github' });
  // @ts-expect-error a bound view has its user
  await client.forUser('al').credentials.deposit({ userId: 'bob', connectorId: 'x', authenticationType: 'secrets' });
  // @ts-expect-error a known tool has typed arguments
  await client.executeForUser('al', 'sample__post', { channel: 'c' });
  // @ts-expect-error the connector is missing
  await client.executeForUser('al', 'execute_action_alloy', { actionId: 'a' });
  // @ts-expect-error no such option
  await client.me({ timeuot: 5 });
  // @ts-expect-error the token is missing
  new MCPClient('https://h/mcp/s');
  // @ts-expect-error the direct call is runAction
  await client.tools.call({ serverName: 'x', methodName: 'y' });
}

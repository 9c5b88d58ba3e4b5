// `@mcp-valet/client/mcp`: the official MCP client v2 (`@modelcontextprotocol/client`), connected as a user in whichever era the server speaks.
import { Client, type ClientOptions, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { McpConnector } from '../index.ts';
import { version } from '../version.ts';

/** A connector with options of the official client: capabilities, era. */
export function mcpClientWith(
  options: ClientOptions = {},
  info: { name: string; version: string } = { name: 'mcp-valet-client', version },
): McpConnector<Client> {
  return {
    name: 'mcp',
    connect: async ({ url, fetch, signal }) => {
      const client = new Client(info, { versionNegotiation: { mode: 'auto' }, ...options });
      await client.connect(new StreamableHTTPClientTransport(url, { fetch }), signal && { signal });
      return client;
    },
  };
}

/** The official client v2: `user.connect(mcpClient)`. Close it when you are done. */
export const mcpClient: McpConnector<Client> = mcpClientWith();

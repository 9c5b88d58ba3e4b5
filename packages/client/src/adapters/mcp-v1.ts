// `@mcp-valet/client/mcp-v1`: the official MCP client v1 (`@modelcontextprotocol/sdk`), connected as a user.
import { Client, type ClientOptions } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { McpConnector } from '../index.ts';
import { version } from '../version.ts';

/** A connector with options of the official client, such as its capabilities. */
export function mcpClientWith(
  options: ClientOptions = {},
  info: { name: string; version: string } = { name: 'mcp-valet-client', version },
): McpConnector<Client> {
  return {
    name: 'mcp-v1',
    connect: async ({ url, fetch, signal }) => {
      const client = new Client(info, options);
      // Its class and its interface disagree about an optional field under exactOptionalPropertyTypes.
      const transport = new StreamableHTTPClientTransport(url, { fetch }) as Transport;
      await client.connect(transport, signal && { signal });
      return client;
    },
  };
}

/** The official client v1: `user.connect(mcpClient)`. Close it when you are done. */
export const mcpClient: McpConnector<Client> = mcpClientWith();

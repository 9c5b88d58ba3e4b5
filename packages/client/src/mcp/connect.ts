// How an official MCP client is connected as a user. The client itself comes from an entry point of its own, so that nobody installs what
// they do not use.
import type { McpFetch } from './fetch.ts';

/** What a connector gets: where the endpoint is, and a `fetch` that speaks as the user. */
export interface McpConnectorInput {
  url: URL;
  fetch: McpFetch;
  signal?: AbortSignal;
}

/** Connects a client: a value from `@mcp-valet/client/mcp` or `@mcp-valet/client/mcp-v1`. */
export interface McpConnector<C> {
  readonly name: string;
  connect(input: McpConnectorInput): Promise<C>;
}

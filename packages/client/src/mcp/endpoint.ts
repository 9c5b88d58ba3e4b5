// `user.mcp`: this user's MCP endpoint for official clients and frameworks. What leaves the process is a token of this user that ends
// soon, never the API key, unless it is asked for by name.
import { printAs } from '../redact.ts';
import { type McpFetch, makeFetch } from './fetch.ts';
import { targetOf, type View } from './identity.ts';
import { tokenText } from './minted.ts';

/** One user's MCP endpoint. */
export interface McpEndpoint {
  /** Its address. With `accessUrl` it holds the token, so it is never printed. */
  readonly url: string;
  /**
   * Headers for a client elsewhere: a token of this user, 15 minutes, kept and renewed. `use: 'key'` gives the API key and the user's
   * name instead: for code that you trust with every user.
   */
  headers(options?: { use?: 'token' | 'key' }): Promise<Record<string, string>>;
  /** Carries requests of an MCP client in this process: as this user, with limits and safe retries, to `url` and nowhere else. */
  readonly fetch: McpFetch;
  /** For `authProvider` of the official client v2: a token of this user, renewed when it is about to end. */
  readonly authProvider: { token(): Promise<string> };
}

export function makeEndpoint(view: View): McpEndpoint {
  const { transport, defaults } = view;
  const { credentialId } = defaults;
  const endpoint: McpEndpoint = {
    get url() {
      return targetOf(view).url;
    },
    headers: async ({ use = 'token' } = {}) => {
      if (use === 'key') {
        const { headers, authorize } = targetOf(view);
        return { ...(authorize && { authorization: `Bearer ${await transport.token()}` }), ...headers };
      }
      // The token names the user; a header beside it could only contradict it.
      const text = await tokenText(view);
      return {
        authorization: `Bearer ${text}`,
        ...(credentialId !== undefined && { 'x-credential-id': credentialId }),
      };
    },
    fetch: makeFetch(view),
    authProvider: { token: () => tokenText(view) },
  };
  const url = transport.config.accessUrl === undefined ? () => endpoint.url : () => '[tokenized URL]';
  return Object.freeze(printAs(endpoint, () => ({ url: url() })));
}

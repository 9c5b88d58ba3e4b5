// `user.mcp`: this user's MCP endpoint for official clients and frameworks. What leaves the process is a token of this user that ends
// soon, never the API key, unless it is asked for by name.
import { part } from '../part.ts';
import { printAs } from '../redact.ts';
import type { McpFetch } from './fetch.ts';
import { targetOf, type View } from './identity.ts';
import { tokenText } from './token-text.ts';

/** One user's MCP endpoint. */
export interface McpEndpoint {
  /** Its address. With `accessUrl` it holds the token, so it is never printed. */
  readonly url: string;
  /**
   * Headers for a client elsewhere: a token of this user, 15 minutes, kept and renewed; of `forUser({ token })` that token.
   * `use: 'key'` gives the API key and the user's name instead: for code that you trust with every user.
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
  let made: McpFetch | undefined;
  const ownToken = () => tokenText(view);
  const endpoint: McpEndpoint = {
    get url() {
      return targetOf(view).url;
    },
    headers: async ({ use = 'token' } = {}) => {
      if (use === 'key') {
        const { headers, authorize } = targetOf(view);
        return { ...(await transport.identity(authorize)).headers, ...headers };
      }
      // The token names the user; a header beside it could only contradict it.
      const text = await ownToken();
      return {
        authorization: `Bearer ${text}`,
        ...(credentialId !== undefined && { 'x-credential-id': credentialId }),
      };
    },
    fetch: async (input, init) => {
      made ??= (await part(() => import('./fetch.ts'))).makeFetch(view);
      return made(input, init);
    },
    authProvider: { token: ownToken },
  };
  const url = transport.config.accessUrl === undefined ? () => endpoint.url : () => '[tokenized URL]';
  return Object.freeze(printAs(endpoint, () => ({ url: url() })));
}

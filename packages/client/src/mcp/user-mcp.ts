// What MCP and agent frameworks need of a user's view: the nouns of MCP, the endpoint, tokens, and the user's tools in a framework's form. What
// only agents need is loaded when it is asked for.
import type { Call } from '../call.ts';
import type { CallOptions } from '../options.ts';
import { part } from '../part.ts';
import type { Adapter, AgentUser, ToolsForOptions } from './adapter.ts';
import { type McpClientLike, makeMcpClient } from './client-like.ts';
import type { McpConnector } from './connect.ts';
import { type McpEndpoint, makeEndpoint } from './endpoint.ts';
import type { ConfigFor, HostedFor, HostedOptions } from './hosted.ts';
import type { View } from './identity.ts';
import { type MintedToken, mint, type TokenParams } from './minted.ts';
import {
  forgetTools,
  makePrompts,
  makeResources,
  makeTools,
  type UserPrompts,
  type UserResources,
  type UserTools,
} from './nouns.ts';

/** MCP as one user. */
export interface UserMcp {
  /** The tools this user can call. */
  readonly tools: UserTools;
  /** The resources this user can read. */
  readonly resources: UserResources;
  /** The prompts this user can get. */
  readonly prompts: UserPrompts;
  /** This user's MCP endpoint, for official clients and frameworks: `url`, `fetch`, `headers()`, `authProvider`. */
  readonly mcp: McpEndpoint;
  /** This user's tools as the two methods of an MCP client, for helpers such as `mcpTools` and `mcpToTool`. No connection, nothing to close. */
  asMcpClient(): McpClientLike;
  /**
   * This user's tools in a framework's own form: `toolsFor(aiSdk)`. Refusals reach the model as text; calls whose outcome nobody knows
   * throw OutcomeUnknownError. Throws ConfigError when two tools would share a name.
   */
  toolsFor<T>(adapter: Adapter<T>, options?: ToolsForOptions): Promise<T>;
  /**
   * Settings with which a model provider calls the gateway itself. They hold a token of this user in clear, never the API key.
   * Throws ConfigError for loopback and http addresses.
   */
  hosted<F extends keyof HostedFor>(provider: F, options?: HostedOptions): Promise<HostedFor[F]>;
  /** Settings for another program or framework, with a token of this user in clear, never the API key. */
  config<F extends keyof ConfigFor>(format: F, options?: { label?: string }): Promise<ConfigFor[F]>;
  /** An official MCP client, connected as this user: `connect(mcpClient)` from `@mcp-valet/client/mcp`. Close it when you are done. */
  connect<C>(connector: McpConnector<C>, options?: { signal?: AbortSignal }): Promise<C>;
}

/** A token that acts as this user. */
export interface UserMinting {
  /**
   * Mints a token that acts as this user and nobody else: for a browser, a sub-agent, another process. Default 15 minutes.
   * Its text is shown once. Throws PermissionError when the key is not an enterprise or admin key.
   */
  token(params?: TokenParams, options?: CallOptions): Call<MintedToken>;
}

/** Adds MCP to a view. */
export function withMcp<U extends Pick<AgentUser, 'userId' | 'execute'>>(
  user: U,
  view: View,
): U & UserMcp & UserMinting {
  const tools = makeTools(view);
  const mcp = makeEndpoint(view);
  const onGone = () => forgetTools(view);
  const parts: UserMcp & UserMinting = {
    tools,
    resources: makeResources(view),
    prompts: makePrompts(view),
    mcp,
    token: (params, options) => mint(view, params, options),
    asMcpClient: () => makeMcpClient(whole, onGone),
    toolsFor: async (adapter, options = {}) =>
      (await part(() => import('./adapter.ts'))).buildTools(whole, adapter, options, onGone),
    hosted: async (provider, options = {}) =>
      (await part(() => import('./hosted.ts'))).makeHosted(view, tools, provider, options),
    config: async (format, options = {}) =>
      (await part(() => import('./hosted.ts'))).makeConfig(view, () => mcp.headers(), mcp.fetch, format, options),
    connect: (connector, options = {}) =>
      connector.connect({
        url: new URL(mcp.url),
        fetch: mcp.fetch,
        ...(options.signal && { signal: options.signal }),
      }),
  };
  const whole = Object.assign(user, parts);
  return whole;
}

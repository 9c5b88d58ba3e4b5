// The public surface of the SDK. What is not exported here does not exist for callers.
import type { Contract } from '@mcp-valet/shared';
import type { Item, Reply } from './route-types.ts';

export type { Restrictions, SecretInfo } from '@mcp-valet/shared';
export type { AccountLink, ConnectParams } from './account-link.ts';
export type { Call, List, Page, SafeResult } from './call.ts';
export { MCPClient, type RawOptions } from './client.ts';
export * from './errors.ts';
export type { CallRecord } from './find-call.ts';
export type {
  RateLimitEvent,
  RateLimitMode,
  RateLimitOptions,
  RateLimitPolicy,
  RateLimitSnapshot,
  RateLimitStore,
} from './gate-options.ts';
export type { FailureEvent, Hooks, RequestEvent, ResponseEvent, RetryEvent, RetryReason } from './hooks.ts';
export type { InputRequests, InputResponses, OutputSchema, WithOutput } from './input.ts';
export type {
  Adapter,
  AdapterInput,
  AgentUser,
  ToolCallInfo,
  ToolInfo,
  ToolsForOptions,
} from './mcp/adapter.ts';
export type { McpClientLike, McpRequestOptions } from './mcp/client-like.ts';
export type { McpConnector, McpConnectorInput } from './mcp/connect.ts';
export type { McpEndpoint } from './mcp/endpoint.ts';
export type { McpFetch } from './mcp/fetch.ts';
export type { ToolFilter } from './mcp/filter.ts';
export type { AnthropicHosted, ConfigFor, HostedFor, HostedOptions, OpenAIHosted } from './mcp/hosted.ts';
export type { MintedToken, TokenParams } from './mcp/minted.ts';
export type { ConnectLinks } from './mcp/model-call.ts';
export type { UserPrompts, UserResources, UserTools } from './mcp/nouns.ts';
export type {
  McpContent,
  McpPrompt,
  McpPromptResult,
  McpResource,
  McpResourceContents,
  McpResourceTemplate,
  McpTool,
  McpToolResult,
  ToolAnnotations,
  ToolSchema,
} from './mcp/protocol.ts';
export type { McpOptions } from './mcp/requests.ts';
export type { UserMcp, UserMinting } from './mcp/user-mcp.ts';
export type { Middleware, MiddlewareRequest } from './middleware.ts';
export type { Meta } from './operation.ts';
export type { CallOptions, ClientOptions, Logger, LogLevel, ResponseValidation, TokenSource } from './options.ts';
export type { ExecuteOptions, Progress } from './rpc.ts';
export { Secret } from './secret.ts';
export type { ToolArgs, ToolName, ToolOutput, ToolRegistry } from './tool-registry.ts';
export type { ContentBlock, ToolResult } from './tool-result.ts';
export type { EndUserClient, SelfClient, UserClient } from './user.ts';
export type { AppInfo } from './user-agent.ts';

/** A published MCP endpoint. */
export type Server = Reply<Contract['servers']['get']>;
/** A server with its access token, which is shown once. */
export type CreatedServer = Reply<Contract['servers']['create']>;
/** What a call would come to, and why. */
export type Explanation = Reply<Contract['policy']['explain']>;
/** One of your users. */
export type User = Item<Contract['users']['list']>;
/** A key without its text. */
export type ApiKey = Item<Contract['keys']['list']>;
/** A key with its text, which is shown once. */
export type CreatedApiKey = Reply<Contract['keys']['create']>;
/** An upstream, with its state as last seen. */
export type Connector = Reply<Contract['connectors']['get']>;
/** What a connector can do: a tool of it. */
export type Action = Reply<Contract['connectors']['actions']>['actions'][number];
/** What signs one user in to one connector, without its values. */
export type Credential = Reply<Contract['credentials']['get']>;
/** Who did what to what, and whether it was refused. */
export type AuditEvent = Item<Contract['audit']['list']>;
/** A tenant of the gateway. */
export type Account = Item<Contract['accounts']['list']>;
/** Who a key is. */
export type Me = Reply<Contract['system']['me']>;
/** How the gateway is. */
export type GatewayStatus = Reply<Contract['system']['status']>;

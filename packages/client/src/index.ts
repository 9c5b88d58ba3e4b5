// The public surface of the SDK. What is not exported here does not exist for callers.
import type { Contract } from '@mcp-valet/shared';
import type { Item, Reply } from './namespaces.ts';

export type { Call, List, Page, SafeResult } from './call.ts';
export { MCPClient, type RawOptions } from './client.ts';
export * from './errors.ts';
export type {
  RateLimitEvent,
  RateLimitMode,
  RateLimitOptions,
  RateLimitPolicy,
  RateLimitSnapshot,
  RateLimitStore,
} from './gate-options.ts';
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
export type { UserMcp } from './mcp/user-mcp.ts';
export type { Meta } from './operation.ts';
export type { CallOptions, ClientOptions, Hooks, Logger, LogLevel, TokenSource } from './options.ts';
export type { ExecuteOptions, Progress } from './rpc.ts';
export { Secret } from './secret.ts';
export type { ToolArgs, ToolName, ToolOutput, ToolRegistry } from './tool-registry.ts';
export type { ContentBlock, ToolResult } from './tool-result.ts';
export type { SelfClient, UserClient } from './user.ts';

export type Server = Reply<Contract['servers']['get']>;
/** A server with its access token, which is shown once. */
export type CreatedServer = Reply<Contract['servers']['create']>;
export type User = Item<Contract['users']['list']>;
export type ApiKey = Item<Contract['keys']['list']>;
/** A key with its text, which is shown once. */
export type CreatedApiKey = Reply<Contract['keys']['create']>;
export type Connector = Reply<Contract['connectors']['get']>;
export type Action = Reply<Contract['connectors']['actions']>['actions'][number];
export type Credential = Reply<Contract['credentials']['get']>;
export type SecretInfo = Item<Contract['secrets']['list']>;
export type CallRecord = Item<Contract['calls']['list']>;
export type AuditEvent = Item<Contract['audit']['list']>;
export type Account = Item<Contract['accounts']['list']>;
export type Me = Reply<Contract['system']['me']>;
export type GatewayStatus = Reply<Contract['system']['status']>;

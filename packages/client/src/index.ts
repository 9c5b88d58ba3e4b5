// The public surface of the SDK. What is not exported here does not exist for callers.
import type { Contract } from '@mcp-valet/shared';
import type { Item, Reply } from './namespaces.ts';

export type { Call, List, Page, SafeResult } from './call.ts';
export { MCPClient, type RawOptions } from './client.ts';
export * from './errors.ts';
export type { Meta } from './operation.ts';
export type { CallOptions, ClientOptions, Logger, LogLevel, TokenSource } from './options.ts';
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

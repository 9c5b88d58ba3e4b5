// The two methods that frameworks want of an MCP client, without a connection: for helpers such as Anthropic's `mcpTools` or Google's
// `mcpToTool`. Refusals are results, as on the wire.
import type { CallOptions } from '../options.ts';
import type { Progress } from '../rpc.ts';
import type { ToolResult } from '../tool-result.ts';
import type { AgentUser } from './adapter.ts';
import { callForModel, type OnGone } from './model-call.ts';
import type { McpTool, McpToolResult } from './protocol.ts';

/** What the official clients take beside the parameters. */
export interface McpRequestOptions {
  signal?: AbortSignal | undefined;
  timeout?: number | undefined;
  onprogress?: ((progress: Progress) => void) | undefined;
}

/** A user's tools in the form of an MCP client. Holds nothing open. */
export interface McpClientLike {
  /** All tools at once: there is no further page. */
  listTools(
    params?: { cursor?: string },
    options?: McpRequestOptions,
  ): Promise<{ tools: McpTool[]; nextCursor?: string }>;
  /** Takes the options second, as the client v2, or third, as v1. */
  callTool(
    params: { name: string; arguments?: Record<string, unknown> | undefined },
    second?: unknown,
    third?: McpRequestOptions,
  ): Promise<McpToolResult>;
  close(): Promise<void>;
}

function optionsOf(
  second: unknown,
  third: McpRequestOptions | undefined,
): CallOptions & { onProgress?: (p: Progress) => void } {
  const given = third ?? (second as McpRequestOptions | undefined) ?? {};
  const { signal, timeout, onprogress } = given;
  return {
    ...(signal && { signal }),
    ...(typeof timeout === 'number' && { timeout }),
    ...(typeof onprogress === 'function' && { onProgress: onprogress }),
  };
}

function toMcpResult({ content, structuredContent, isError, _meta }: ToolResult): McpToolResult {
  const plain: McpToolResult = { content: content as unknown as McpToolResult['content'] };
  if (structuredContent !== undefined) plain.structuredContent = structuredContent as Record<string, unknown>;
  if (isError) plain.isError = true;
  if (_meta) plain._meta = _meta;
  return plain;
}

export function makeMcpClient(user: AgentUser, onGone: OnGone): McpClientLike {
  return {
    listTools: async (_params, options) => ({ tools: [...(await user.tools.all({}, optionsOf(options, undefined)))] }),
    callTool: async ({ name, arguments: args = {} }, second, third) => {
      const execute = (tool: string, input: object, options: CallOptions) => user.execute(tool, { ...input }, options);
      return toMcpResult(await callForModel(execute, name, args, optionsOf(second, third), {}, onGone));
    },
    close: async () => undefined,
  };
}

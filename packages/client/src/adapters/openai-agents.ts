// `@mcp-valet/client/openai-agents`: a user's tools as an MCP server of the OpenAI Agents SDK. Imports nothing, opens nothing.
import type { Adapter, ContentBlock, ToolInfo, ToolResult } from '../index.ts';
import { errorResult } from '../mcp/result-text.ts';

/** A tool as the Agents SDK lists it. */
export interface AgentsTool {
  name: string;
  description?: string;
  inputSchema: {
    type: 'object';
    properties: Record<string, object>;
    required: string[];
    additionalProperties: boolean;
    [keyword: string]: unknown;
  };
}

interface AgentsResult {
  content: { type: string; text: string; [field: string]: unknown }[];
  structuredContent?: Record<string, unknown>;
  isError?: boolean;
}

/** An entry of `mcpServers` of an agent. `callTool` gets no id of the call, so `runId` has no effect here. */
export interface AgentsMcpServer {
  /** One of its own per set of tools: the Agents SDK keeps lists of tools by this name. */
  readonly name: string;
  cacheToolsList: boolean;
  connect(): Promise<void>;
  close(): Promise<void>;
  listTools(): Promise<AgentsTool[]>;
  callTool(
    name: string,
    args: Record<string, unknown> | null,
    meta?: Record<string, unknown> | null,
    options?: { signal?: AbortSignal },
  ): Promise<AgentsResult['content']>;
  callToolResult(
    name: string,
    args: Record<string, unknown> | null,
    meta?: Record<string, unknown> | null,
    options?: { signal?: AbortSignal },
  ): Promise<AgentsResult>;
  invalidateToolsCache(): Promise<void>;
}

let made = 0;

function schemaOf({ inputSchema }: ToolInfo): AgentsTool['inputSchema'] {
  const { properties = {}, required = [], additionalProperties } = inputSchema;
  // The Agents SDK warns of each open schema that it cannot make strict, and opens closed ones itself where it does not have to be strict.
  const isOpen = additionalProperties !== undefined && additionalProperties !== false;
  return { ...inputSchema, properties, required, additionalProperties: isOpen };
}

const toAgentsTool = (tool: ToolInfo): AgentsTool => ({
  name: tool.modelName,
  ...(tool.description !== undefined && { description: tool.description }),
  inputSchema: schemaOf(tool),
});

const withText = (block: ContentBlock): AgentsResult['content'][number] => ({ ...block, text: block.text ?? '' });

function toAgentsResult({ content, structuredContent, isError }: ToolResult): AgentsResult {
  return {
    content: content.map((block) => (block.type === 'text' ? withText(block) : (block as never))),
    ...(structuredContent !== undefined && { structuredContent: structuredContent as Record<string, unknown> }),
    ...(isError && { isError }),
  };
}

/** A user's tools for the OpenAI Agents SDK: `mcpServers: [await user.toolsFor(openaiAgents)]`. */
export const openaiAgents: Adapter<AgentsMcpServer> = {
  name: 'openai-agents',
  build: ({ tools, call, refresh }) => {
    let current = tools;
    const callToolResult: AgentsMcpServer['callToolResult'] = async (name, args, _meta, options) => {
      const tool = current.find(({ modelName }) => modelName === name);
      if (!tool) return toAgentsResult(errorResult('There is no such tool.'));
      return toAgentsResult(await call(tool, args ?? {}, { signal: options?.signal }));
    };
    return {
      name: `mcp-valet-${++made}`,
      cacheToolsList: false,
      connect: async () => undefined,
      close: async () => undefined,
      listTools: async () => current.map(toAgentsTool),
      callTool: async (...args) => (await callToolResult(...args)).content,
      callToolResult,
      invalidateToolsCache: async () => {
        current = await refresh();
      },
    };
  },
};

// Checked by the compiler, never run: what the adapters make fits the frameworks' own types, and what must not compile does not.
import type Anthropic from '@anthropic-ai/sdk';
import { type MCPClientLike, type MCPToolLike, mcpTools } from '@anthropic-ai/sdk/helpers/beta/mcp';
import type { BetaRunnableTool } from '@anthropic-ai/sdk/lib/tools/BetaRunnableTool';
import type { StructuredToolInterface } from '@langchain/core/tools';
import type { Adapter, MCPClient } from '@mcp-valet/client';
import { aiSdk } from '@mcp-valet/client/ai-sdk';
import { anthropic } from '@mcp-valet/client/anthropic';
import { langchain } from '@mcp-valet/client/langchain';
import { mcpClient as clientV2 } from '@mcp-valet/client/mcp';
import { mcpClient as clientV1 } from '@mcp-valet/client/mcp-v1';
import { openai, openaiChat } from '@mcp-valet/client/openai';
import { openaiAgents } from '@mcp-valet/client/openai-agents';
import {
  type AuthProvider,
  Client as ClientV2,
  type FetchLike,
  StreamableHTTPClientTransport as TransportV2,
} from '@modelcontextprotocol/client';
import type { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { type MCPServer, MCPServerStreamableHttp } from '@openai/agents-core';
import type { ToolSet } from 'ai';
import type OpenAI from 'openai';

export async function compiles(client: MCPClient): Promise<unknown[]> {
  const user = client.forUser('al');
  const ai: ToolSet = await user.toolsFor(aiSdk, { include: ['slack__*'], readOnly: true });

  const responses = await user.toolsFor(openai, { runId: 'run-1' });
  const functions: OpenAI.Responses.Tool[] = responses.tools;
  const items: OpenAI.Responses.ResponseInputItem[] = await responses.handleAll(
    [] as OpenAI.Responses.ResponseOutputItem[],
  );
  const one = await responses.handle({} as OpenAI.Responses.ResponseFunctionToolCall);
  const item: OpenAI.Responses.ResponseInputItem.FunctionCallOutput = one;
  const chat = await user.toolsFor(openaiChat);
  const chatTools: OpenAI.ChatCompletionTool[] = chat.tools;
  const called = {} as OpenAI.ChatCompletionMessage;
  const messages: OpenAI.ChatCompletionMessageParam[] = await chat.handleAll(called.tool_calls);
  const hosted: OpenAI.Responses.Tool.Mcp = await user.hosted('openai', { approval: 'writes' });

  const server: MCPServer = await user.toolsFor(openaiAgents);
  const remote = new MCPServerStreamableHttp({ url: user.mcp.url, fetch: user.mcp.fetch });

  const runnable: BetaRunnableTool<Record<string, unknown>>[] = await user.toolsFor(anthropic);
  const custom: Anthropic.Beta.BetaTool[] = await user.toolsFor(anthropic);
  const like: MCPClientLike = user.asMcpClient();
  const listed: MCPToolLike[] = (await user.asMcpClient().listTools()).tools;
  const converted = mcpTools(listed, like);
  const connector = await user.hosted('anthropic', { include: ['a'], approval: 'never' });
  const request: Partial<Anthropic.Beta.MessageCreateParams> = connector;

  const tools: StructuredToolInterface[] = await user.toolsFor(langchain);

  const v2: ClientV2 = await user.connect(clientV2);
  const v1: ClientV1 = await user.connect(clientV1, { signal: AbortSignal.timeout(1000) });
  const carry: FetchLike = user.mcp.fetch;
  const provider: AuthProvider = user.mcp.authProvider;
  const url = new URL(user.mcp.url);
  const transports = [
    new TransportV2(url, { fetch: carry, authProvider: provider }),
    new TransportV1(url, { fetch: carry }),
  ];

  const own: Adapter<string[]> = { name: 'own', build: ({ tools: all }) => all.map(({ modelName }) => modelName) };
  const names: string[] = await user.toolsFor(own);
  const mastra: { id: string; servers: Record<string, { url: URL }> } = await user.config('mastra');
  return [
    ai,
    functions,
    items,
    item,
    chatTools,
    messages,
    hosted,
    server,
    remote,
    runnable,
    custom,
    converted,
    request,
    tools,
    v2,
    v1,
    transports,
    names,
    mastra,
  ];
}

export async function refuses(client: MCPClient): Promise<void> {
  const user = client.forUser('al');
  // @ts-expect-error an adapter is a value, not a name
  await user.toolsFor('ai-sdk');
  // @ts-expect-error no such provider
  await user.hosted('gemini');
  // @ts-expect-error no such approval
  await user.hosted('openai', { approval: 'sometimes' });
  // @ts-expect-error no such format
  await user.config('yaml');
  // @ts-expect-error names, not one name
  await user.toolsFor(openai, { include: 'slack__post' });
  // @ts-expect-error the token is bound to this user already
  await user.token({ userId: 'bob' });
  // @ts-expect-error a connector, not a client
  await user.connect(new ClientV2({ name: 'a', version: '1' }));
}

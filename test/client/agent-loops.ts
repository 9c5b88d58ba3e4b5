// The agent loop of each framework, run by the framework's own code with a scripted model. Each takes a user's tools through our adapter.
import Anthropic from '@anthropic-ai/sdk';
import { mcpTools } from '@anthropic-ai/sdk/helpers/beta/mcp';
import type { BetaRunnableTool } from '@anthropic-ai/sdk/lib/tools/BetaRunnableTool';
import { AIMessage, type BaseMessage, ToolMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import type { UserClient } from '@mcp-valet/client';
import { aiSdk } from '@mcp-valet/client/ai-sdk';
import { anthropic } from '@mcp-valet/client/anthropic';
import { langchain } from '@mcp-valet/client/langchain';
import { openai, openaiChat } from '@mcp-valet/client/openai';
import { openaiAgents } from '@mcp-valet/client/openai-agents';
import { Agent, type Model, type ModelRequest, type ModelResponse, Runner, Usage } from '@openai/agents-core';
import { generateText, stepCountIs } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';
import { createAgent } from 'langchain';
import OpenAI from 'openai';
import { type ScriptedModel, startAnthropic, startOpenAI, textOf } from './scripted-model.ts';

/** Runs until the model has nothing more to ask. `turns` is how many it takes at most. */
export type Loop = (user: UserClient, model: ScriptedModel, turns: number) => Promise<void>;

const aiSdkLoop: Loop = async (user, model, turns) => {
  const spent = { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0, text: 1, reasoning: 0 };
  await generateText({
    model: new MockLanguageModelV4({
      doGenerate: async ({ prompt }) => {
        const message = prompt.at(-1);
        const told =
          message?.role === 'tool'
            ? message.content.map((part) =>
                part.type === 'tool-result' && part.output.type === 'text' ? part.output.value : '',
              )
            : [];
        const asks = model.next(told);
        return {
          content:
            asks.length > 0
              ? asks.map(({ id, name, args }) => ({
                  type: 'tool-call' as const,
                  toolCallId: id,
                  toolName: name,
                  input: JSON.stringify(args),
                }))
              : [{ type: 'text' as const, text: 'Done.' }],
          finishReason: { unified: asks.length > 0 ? ('tool-calls' as const) : ('stop' as const), raw: undefined },
          usage: { inputTokens: spent, outputTokens: spent },
          warnings: [],
        };
      },
    }),
    tools: await user.toolsFor(aiSdk),
    prompt: 'Go.',
    stopWhen: stepCountIs(turns + 1),
  });
};

const openaiResponsesLoop: Loop = async (user, model) => {
  const api = await startOpenAI(model);
  const sdk = new OpenAI({ apiKey: 'none', baseURL: api.url, maxRetries: 0 });
  const { tools, handleAll } = await user.toolsFor(openai);
  const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'Go.' }];
  for (;;) {
    const { output } = await sdk.responses.create({ model: 'm', input, tools });
    const results = await handleAll(output);
    if (results.length === 0) break;
    input.push(...(output as OpenAI.Responses.ResponseInputItem[]), ...results);
  }
  await api.close();
};

const openaiChatLoop: Loop = async (user, model) => {
  const api = await startOpenAI(model);
  const sdk = new OpenAI({ apiKey: 'none', baseURL: api.url, maxRetries: 0 });
  const { tools, handleAll } = await user.toolsFor(openaiChat);
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Go.' }];
  for (;;) {
    const { choices } = await sdk.chat.completions.create({ model: 'm', messages, tools });
    const message = choices[0]?.message;
    const results = await handleAll(message?.tool_calls);
    if (!message || results.length === 0) break;
    messages.push(message, ...results);
  }
  await api.close();
};

const openaiAgentsLoop: Loop = async (user, model, turns) => {
  let turn = 0;
  const scripted: Model = {
    async getResponse({ input }: ModelRequest): Promise<ModelResponse> {
      const items = typeof input === 'string' ? [] : input;
      const end = items.findLastIndex(({ type }) => type !== 'function_call_result');
      const told = items.slice(end + 1).map((item) => textOf('output' in item ? item.output : ''));
      const asks = model.next(told);
      turn++;
      const calls = asks.map(({ id, name, args }) => ({
        type: 'function_call' as const,
        // This framework itself takes a call for done whose id it has seen in the same run, so ids are only shared between the users.
        callId: `${id}_${turn}`,
        name,
        status: 'completed' as const,
        arguments: JSON.stringify(args),
      }));
      const done = {
        type: 'message' as const,
        role: 'assistant' as const,
        status: 'completed' as const,
        content: [{ type: 'output_text' as const, text: 'Done.' }],
      };
      return { usage: new Usage(), output: calls.length > 0 ? calls : [done] };
    },
    getStreamedResponse: () => {
      throw new Error('Not streamed');
    },
  };
  const server = await user.toolsFor(openaiAgents);
  const agent = new Agent({ name: 'a', instructions: 'Go.', model: scripted, mcpServers: [server] });
  await new Runner({ tracingDisabled: true }).run(agent, 'Go.', { maxTurns: turns + 2 });
};

const anthropicLoop =
  (toolsOf: (user: UserClient) => Promise<BetaRunnableTool<Record<string, unknown>>[]>): Loop =>
  async (user, model, turns) => {
    const api = await startAnthropic(model);
    const sdk = new Anthropic({ apiKey: 'none', baseURL: api.url, maxRetries: 0 });
    await sdk.beta.messages.toolRunner({
      model: 'm',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'Go.' }],
      tools: await toolsOf(user),
      max_iterations: turns + 1,
    });
    await api.close();
  };

const langchainLoop: Loop = async (user, model, turns) => {
  const respond = (messages: BaseMessage[]): BaseMessage => {
    const end = messages.findLastIndex((message) => !ToolMessage.isInstance(message));
    const asks = model.next(messages.slice(end + 1).map(({ content }) => textOf(content)));
    return new AIMessage({ content: '', tool_calls: asks.map((ask) => ({ ...ask, type: 'tool_call' as const })) });
  };
  const scripted = fakeModel();
  for (let turn = 0; turn <= turns; turn++) scripted.respond(respond);
  const agent = createAgent({ model: scripted, tools: await user.toolsFor(langchain) });
  await agent.invoke({ messages: [{ role: 'user', content: 'Go.' }] }, { recursionLimit: turns * 3 + 10 });
};

export const loops: Record<string, Loop> = {
  'the AI SDK': aiSdkLoop,
  "OpenAI's Responses API": openaiResponsesLoop,
  "OpenAI's Chat Completions": openaiChatLoop,
  'the OpenAI Agents SDK': openaiAgentsLoop,
  "Anthropic's tool runner": anthropicLoop((user) => user.toolsFor(anthropic)),
  "Anthropic's tool runner over asMcpClient": anthropicLoop(async (user) => {
    const client = user.asMcpClient();
    return mcpTools((await client.listTools()).tools, client);
  }),
  LangChain: langchainLoop,
};

// `@mcp-valet/client/openai`: a user's tools as function tools of OpenAI's APIs, and what to send back for a call. Imports nothing.
import type { Adapter, AdapterInput, ToolInfo, ToolResult } from '../index.ts';
import { blockText, errorResult, imageOf, resultText } from '../mcp/result-text.ts';
import { described, parametersOf } from './schema.ts';

/** A function tool of the Responses API. */
export interface OpenAIFunctionTool {
  type: 'function';
  name: string;
  description?: string;
  parameters: Record<string, unknown>;
  /** False: schemas of tools are the upstream's, and strict mode accepts few of them. */
  strict: false;
}

/** A function tool of Chat Completions. */
export interface OpenAIChatTool {
  type: 'function';
  function: { name: string; description?: string; parameters: Record<string, unknown> };
}

/** A `function_call` item of a response. */
export interface OpenAIFunctionCall {
  type: 'function_call';
  call_id: string;
  name: string;
  arguments: string;
}

/** What goes back for it. */
export interface OpenAIFunctionCallOutput {
  type: 'function_call_output';
  call_id: string;
  output:
    | string
    | ({ type: 'input_text'; text: string } | { type: 'input_image'; image_url: string; detail: 'auto' })[];
}

/** An entry of `tool_calls` of a chat message. */
export interface OpenAIChatToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

/** The message that goes back for it. */
export interface OpenAIChatToolMessage {
  role: 'tool';
  tool_call_id: string;
  content: string;
}

interface HandleOptions {
  signal?: AbortSignal | undefined;
}

/** A user's tools for the Responses API. */
export interface OpenAITools {
  /** For `tools` of `responses.create`. */
  tools: OpenAIFunctionTool[];
  /** Runs one call. Refusals are outputs; throws OutcomeUnknownError when nobody knows whether it ran. */
  handle(item: OpenAIFunctionCall, options?: HandleOptions): Promise<OpenAIFunctionCallOutput>;
  /** Runs the calls among the items of `response.output` that are for these tools, at the same time. */
  handleAll(
    items: readonly { type: string; name?: string | null; call_id?: string | null; arguments?: unknown }[],
    options?: HandleOptions,
  ): Promise<OpenAIFunctionCallOutput[]>;
}

/** A user's tools for Chat Completions. */
export interface OpenAIChatTools {
  /** For `tools` of `chat.completions.create`. */
  tools: OpenAIChatTool[];
  /** Runs one call. Refusals are messages; throws OutcomeUnknownError when nobody knows whether it ran. */
  handle(call: OpenAIChatToolCall, options?: HandleOptions): Promise<OpenAIChatToolMessage>;
  /** Runs the calls among `message.tool_calls` that are for these tools, at the same time. */
  handleAll(
    calls: readonly { id?: string; type: string; function?: { name: string; arguments?: string } }[] | undefined | null,
    options?: HandleOptions,
  ): Promise<OpenAIChatToolMessage[]>;
}

const functionOf = (tool: ToolInfo) => ({ name: tool.modelName, ...described(tool), parameters: parametersOf(tool) });

/** The model writes the arguments: what it gets wrong, it is told. */
function parseArguments(text: string): object | undefined {
  try {
    const value: unknown = text.trim() === '' ? {} : JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function runnerOf({ tools, call }: AdapterInput) {
  const byName = new Map(tools.map((tool) => [tool.modelName, tool]));
  return {
    has: (name: unknown) => typeof name === 'string' && byName.has(name),
    run: async (name: string, args: string, toolCallId: string, { signal }: HandleOptions): Promise<ToolResult> => {
      const tool = byName.get(name);
      const given = parseArguments(args);
      if (!tool) return errorResult('There is no such tool.');
      if (!given) return errorResult('The arguments are not a JSON object.');
      return call(tool, given, { toolCallId, signal });
    },
  };
}

function outputOf(result: ToolResult): OpenAIFunctionCallOutput['output'] {
  if (!result.content.some(imageOf)) return resultText(result);
  return result.content.map((block) => {
    const image = imageOf(block);
    if (!image) return { type: 'input_text', text: blockText(block) };
    return { type: 'input_image', image_url: `data:${image.mimeType};base64,${image.data}`, detail: 'auto' };
  });
}

/** A user's tools for the Responses API: `user.toolsFor(openai)`. */
export const openai: Adapter<OpenAITools> = {
  name: 'openai',
  build: (input) => {
    const { has, run } = runnerOf(input);
    const handle: OpenAITools['handle'] = async (item, options = {}) => ({
      type: 'function_call_output',
      call_id: item.call_id,
      output: outputOf(await run(item.name, item.arguments, item.call_id, options)),
    });
    return {
      tools: input.tools.map((tool) => ({ type: 'function', ...functionOf(tool), strict: false })),
      handle,
      handleAll: (items, options) => {
        const calls = items.filter((item) => item.type === 'function_call' && has(item.name));
        return Promise.all(calls.map((item) => handle(item as OpenAIFunctionCall, options)));
      },
    };
  },
};

/** A user's tools for Chat Completions: `user.toolsFor(openaiChat)`. */
export const openaiChat: Adapter<OpenAIChatTools> = {
  name: 'openai-chat',
  build: (input) => {
    const { has, run } = runnerOf(input);
    const handle: OpenAIChatTools['handle'] = async ({ id, function: called }, options = {}) => ({
      role: 'tool',
      tool_call_id: id,
      content: resultText(await run(called.name, called.arguments, id, options)),
    });
    return {
      tools: input.tools.map((tool) => ({ type: 'function', function: functionOf(tool) })),
      handle,
      handleAll: (calls, options) => {
        const own = (calls ?? []).filter((each) => each.type === 'function' && has(each.function?.name));
        return Promise.all(own.map((each) => handle(each as OpenAIChatToolCall, options)));
      },
    };
  },
};

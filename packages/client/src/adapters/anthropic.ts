// `@mcp-valet/client/anthropic`: a user's tools for Anthropic's tool runner. Imports nothing. A refusal is thrown by `run`, because that is
// how the runner learns that a result is an error.
import { ValidationError } from '../errors.ts';
import type { Adapter, ToolInfo, ToolResult } from '../index.ts';
import { blockText, imageOf, resultText } from '../mcp/result-text.ts';
import { described, parametersOf } from './schema.ts';

type ImageType = 'image/jpeg' | 'image/png' | 'image/gif' | 'image/webp';

/** A block of a tool's answer as Anthropic's API takes it. */
export type AnthropicBlock =
  | { type: 'text'; text: string }
  | { type: 'image'; source: { type: 'base64'; data: string; media_type: ImageType } };

/** What the runner says of a call. */
export interface AnthropicRunContext {
  toolUse?: { id: string };
  toolUseBlock?: { id: string };
  signal?: AbortSignal | null | undefined;
}

/** A tool for `anthropic.beta.messages.toolRunner`; its first four fields are a tool for `messages.create`. */
export interface AnthropicTool {
  type: 'custom';
  name: string;
  description?: string;
  input_schema: { type: 'object'; properties: Record<string, object>; [keyword: string]: unknown };
  /** Runs the call. Throws an Error with the tool's words when it says no. */
  run(input: Record<string, unknown>, context?: AnthropicRunContext): Promise<string | AnthropicBlock[]>;
  /** Refuses what is no object. */
  parse(input: unknown): Record<string, unknown>;
}

const imageTypes: readonly string[] = ['image/jpeg', 'image/png', 'image/gif', 'image/webp'];

function contentOf(result: ToolResult): string | AnthropicBlock[] {
  const isShown = (block: ToolResult['content'][number]) => imageTypes.includes(imageOf(block)?.mimeType ?? '');
  if (!result.content.some(isShown)) return resultText(result);
  return result.content.map((block): AnthropicBlock => {
    const image = isShown(block) ? imageOf(block) : undefined;
    if (!image) return { type: 'text', text: blockText(block) };
    return { type: 'image', source: { type: 'base64', data: image.data, media_type: image.mimeType as ImageType } };
  });
}

function parse(input: unknown): Record<string, unknown> {
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return input as Record<string, unknown>;
  throw new ValidationError({ message: 'The input is not an object', path: 'input' });
}

/** A user's tools for Anthropic's SDK: `user.toolsFor(anthropic)`. */
export const anthropic: Adapter<AnthropicTool[]> = {
  name: 'anthropic',
  build: ({ tools, call }) =>
    tools.map((tool: ToolInfo) => ({
      type: 'custom',
      name: tool.modelName,
      ...described(tool),
      input_schema: parametersOf(tool),
      parse,
      run: async (input, context) => {
        const toolCallId = context?.toolUse?.id ?? context?.toolUseBlock?.id;
        const result = await call(tool, input, { toolCallId, signal: context?.signal ?? undefined });
        if (result.isError) throw new Error(resultText(result));
        return contentOf(result);
      },
    })),
};

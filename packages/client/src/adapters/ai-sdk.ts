// `@mcp-valet/client/ai-sdk`: a user's tools for the Vercel AI SDK. `const tools = await user.toolsFor(aiSdk)`. Nothing to close.
import { dynamicTool, jsonSchema } from 'ai';
import type { Adapter, ContentBlock, ToolResult } from '../index.ts';
import { blockText, imageOf, resultText } from '../mcp/result-text.ts';
import { described, parametersOf } from './schema.ts';

/** Tools by name, for `generateText`, `streamText` and agents. */
export type AiSdkTools = Record<string, ReturnType<typeof dynamicTool>>;

/** What a tool call of these tools puts out. */
export interface AiSdkOutput {
  content: ContentBlock[];
  structuredContent?: unknown;
  isError: boolean;
}

type ModelOutput = Awaited<ReturnType<NonNullable<ReturnType<typeof dynamicTool>['toModelOutput']>>>;

function toModelOutput({ output }: { output: unknown }): ModelOutput {
  const result = output as ToolResult;
  if (result.isError) return { type: 'error-text', value: resultText(result) };
  if (!result.content.some(imageOf)) return { type: 'text', value: resultText(result) };
  const value = result.content.map((block) => {
    const image = imageOf(block);
    return image
      ? { type: 'image-data' as const, data: image.data, mediaType: image.mimeType }
      : { type: 'text' as const, text: blockText(block) };
  });
  return { type: 'content', value };
}

/** A user's tools for the AI SDK: `user.toolsFor(aiSdk)`. */
export const aiSdk: Adapter<AiSdkTools> = {
  name: 'ai-sdk',
  build: ({ tools, call }) =>
    Object.fromEntries(
      tools.map((tool) => [
        tool.modelName,
        dynamicTool({
          ...described(tool),
          inputSchema: jsonSchema(parametersOf(tool)),
          execute: async (input, { toolCallId, abortSignal }): Promise<AiSdkOutput> => {
            const { content, structuredContent, isError } = await call(tool, input, {
              toolCallId,
              signal: abortSignal,
            });
            return { content, ...(structuredContent !== undefined && { structuredContent }), isError };
          },
          toModelOutput,
        }),
      ]),
    ),
};

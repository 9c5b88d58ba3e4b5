// `@mcp-valet/client/langchain`: a user's tools for LangChain and LangGraph.
import { ToolMessage } from '@langchain/core/messages';
import { DynamicStructuredTool, type ToolRunnableConfig } from '@langchain/core/tools';
import type { Adapter, ToolInfo, ToolResult } from '../index.ts';
import { blockText, imageOf, resultText } from '../mcp/result-text.ts';
import { parametersOf } from './schema.ts';

type Block = { type: 'text'; text: string } | { type: 'image_url'; image_url: { url: string } };

function contentOf(result: ToolResult): string | Block[] {
  if (!result.content.some(imageOf)) return resultText(result);
  return result.content.map((block): Block => {
    const image = imageOf(block);
    if (!image) return { type: 'text', text: blockText(block) };
    return { type: 'image_url', image_url: { url: `data:${image.mimeType};base64,${image.data}` } };
  });
}

function toolOf(
  tool: ToolInfo,
  call: (args: unknown, toolCallId: string | undefined, signal: AbortSignal | undefined) => Promise<ToolResult>,
): DynamicStructuredTool {
  return new DynamicStructuredTool({
    name: tool.modelName,
    description: tool.description ?? tool.title ?? '',
    schema: parametersOf(tool),
    func: async (input: unknown, _, config?: ToolRunnableConfig) => {
      const toolCallId = config?.toolCall?.id;
      const result = await call(input, toolCallId, config?.signal);
      const content = contentOf(result);
      // Only a message can say that it is an error; without an id there is none.
      if (!result.isError || toolCallId === undefined) return content;
      return new ToolMessage({ content, tool_call_id: toolCallId, name: tool.modelName, status: 'error' });
    },
  });
}

/** A user's tools for LangChain: `user.toolsFor(langchain)`. */
export const langchain: Adapter<DynamicStructuredTool[]> = {
  name: 'langchain',
  build: ({ tools, call }) =>
    tools.map((tool) => toolOf(tool, (args, toolCallId, signal) => call(tool, args, { toolCallId, signal }))),
};

// Results in the words of frameworks and models: as text, as an image, as a refusal. All that the adapters' entries share with the core.
import { ValetError } from '../errors.ts';
import { type ContentBlock, type ToolResult, toToolResult } from '../tool-result.ts';

/** A result as text, for frameworks whose tools answer text: embedded texts too, other blocks by their kind, data when there is no block. */
export function resultText(result: ToolResult): string {
  if (result.content.length === 0 && result.structuredContent !== undefined) {
    return JSON.stringify(result.structuredContent);
  }
  return result.content.map(blockText).join('\n');
}

export function blockText(block: ContentBlock): string {
  if (block.type === 'text') return block.text ?? '';
  const resource = block['resource'] as { uri?: unknown; text?: unknown } | undefined;
  if (block.type === 'resource' && typeof resource?.text === 'string') return resource.text;
  const uri = block['uri'] ?? resource?.uri;
  return `[${block.type}${typeof uri === 'string' ? ` ${uri}` : ''}]`;
}

/** An image that can be shown to a model. */
export function imageOf(block: ContentBlock): { data: string; mimeType: string } | undefined {
  const { type, data, mimeType } = block as { type: string; data?: unknown; mimeType?: unknown };
  return type === 'image' && typeof data === 'string' && typeof mimeType === 'string' ? { data, mimeType } : undefined;
}

/** What a model is told instead of an answer. */
export function errorResult(text: string): ToolResult {
  const result = toToolResult({ content: [{ type: 'text', text }], isError: true });
  if (!result) throw new ValetError({ message: 'A text is no result' });
  return result;
}

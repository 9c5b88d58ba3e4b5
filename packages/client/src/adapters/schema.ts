// A tool's schema as models' APIs accept it: an object that says which properties it has.
import type { ToolInfo } from '../mcp/adapter.ts';

export function parametersOf({ inputSchema }: ToolInfo): {
  type: 'object';
  properties: Record<string, object>;
  [keyword: string]: unknown;
} {
  return { ...inputSchema, type: 'object', properties: inputSchema.properties ?? {} };
}

/** `description`, when there is one: an explicit `undefined` is not the same to every API. */
export const described = ({ description, title }: ToolInfo): { description?: string } =>
  (description ?? title) === undefined ? {} : { description: description ?? title ?? '' };

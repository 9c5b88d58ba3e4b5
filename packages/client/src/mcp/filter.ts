// Which tools a model is shown. A choice of the caller, not a boundary: what may run is decided by the gateway.
import { ValidationError } from '../errors.ts';
import type { McpTool } from './protocol.ts';

/** Which tools to hand over. Without any of these: all that the user may call. */
export interface ToolFilter {
  /** Only these. A name may end in `*`: `github__*`. */
  include?: readonly string[] | undefined;
  /** Not these. */
  exclude?: readonly string[] | undefined;
  /** Only tools that claim to change nothing. The claim is the upstream's. */
  readOnly?: boolean | undefined;
  /** Any other choice. */
  where?: ((tool: McpTool) => boolean) | undefined;
}

function matcher(patterns: unknown, path: string): ((name: string) => boolean) | undefined {
  if (patterns === undefined) return undefined;
  if (!Array.isArray(patterns) || !patterns.every((pattern) => typeof pattern === 'string' && pattern !== '')) {
    throw new ValidationError({ message: `${path} must be a list of tool names`, path });
  }
  const all = patterns as string[];
  return (name) =>
    all.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
}

export const isUnfiltered = ({ include, exclude, readOnly, where }: ToolFilter): boolean =>
  include === undefined && exclude === undefined && !readOnly && where === undefined;

export function toPredicate(filter: ToolFilter): (tool: McpTool) => boolean {
  const included = matcher(filter.include, 'include');
  const excluded = matcher(filter.exclude, 'exclude');
  return (tool) =>
    (included?.(tool.name) ?? true) &&
    !excluded?.(tool.name) &&
    (!filter.readOnly || tool.annotations?.readOnlyHint === true) &&
    (filter.where?.(tool) ?? true);
}

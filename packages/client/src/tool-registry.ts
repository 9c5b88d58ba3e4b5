// Types of tools by name. The eight tools of connectivity mode are known; callers add their own by declaration merging.
import type { MetaToolInput, MetaToolName } from '@mcp-valet/shared';

type MetaTools = { [N in MetaToolName]: { args: MetaToolInput<N>; output: unknown } };

/**
 * Known tools. Add yours:
 * `declare module '@mcp-valet/client' { interface ToolRegistry { slack__post: { args: { text: string }; output: { ts: string } } } }`
 */
export interface ToolRegistry extends MetaTools {}

/** A known tool, or any other name. */
export type ToolName = keyof ToolRegistry | (string & {});

/** Arguments of a tool: typed when it is known. */
export type ToolArgs<N> = N extends keyof ToolRegistry
  ? ToolRegistry[N] extends { args: infer A }
    ? A
    : never
  : Readonly<Record<string, unknown>>;

/** `structuredContent` of a tool: typed when it is known. */
export type ToolOutput<N> = N extends keyof ToolRegistry
  ? ToolRegistry[N] extends { output: infer O }
    ? O
    : never
  : unknown;

// Types of a user's tools as TypeScript source: what makes `execute('slack__post', …)` check its arguments. Prints text and nothing else; the
// tools' names, descriptions and schemas are an upstream's and are treated as hostile.
import type { McpTool, ToolFilter, UserTools } from '../index.ts';
import { SchemaTypes } from './schema-type.ts';
import { docComment, propertyName } from './source-text.ts';

/** Which tools to print, and how. */
export interface ToolTypesOptions extends ToolFilter {
  /** Descriptions as doc comments, which editors show. Default true. */
  comments?: boolean;
}

/** Tools of connectivity mode: the SDK knows them, and declaring them again would not compile. */
const known = new Set([
  'list_connectors_alloy',
  'get_connector_resources_alloy',
  'get_action_details_alloy',
  'execute_action_alloy',
  'get_credentials_alloy',
  'create_credential_alloy',
  'get_credential_metadata_alloy',
  'discover_action_path_alloy',
]);

/**
 * The tools that this user can call, as the text of a `.d.ts` file that types `execute`: their arguments and, where declared, what
 * `structuredContent` holds. Write it into your project and run it again when tools change. Asks the gateway for the list as it is now.
 */
export async function toolTypes(
  user: { readonly tools: Pick<UserTools, 'all'> },
  options: ToolTypesOptions = {},
): Promise<string> {
  const { comments, ...filter } = options;
  return toolTypesOf(await user.tools.all({ ...filter, refresh: true }), comments === undefined ? {} : { comments });
}

/** The same for a list of tools that you have already. */
export function toolTypesOf(tools: readonly McpTool[], options: { comments?: boolean } = {}): string {
  const comments = options.comments ?? true;
  const aliases: string[] = [];
  const byName = new Map<string, McpTool>();
  for (const tool of tools) {
    if (!known.has(tool.name) && !byName.has(tool.name)) byName.set(tool.name, tool);
  }
  const entries = [...byName.values()]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, description, inputSchema, outputSchema }) => {
      const typeOf = (schema: unknown) => new SchemaTypes(schema, aliases, { comments }).write('      ');
      const lines = [`      args: ${typeOf(inputSchema)};\n`, `      output: ${typeOf(outputSchema)};\n`];
      return `${comments ? docComment(description, '    ') : ''}    ${propertyName(name)}: {\n${lines.join('')}    };\n`;
    });
  return [
    '// Tools as a user of the gateway sees them, printed by `toolTypes` of @mcp-valet/client/codegen. Print it again instead of editing it.\n',
    'export {};\n\n',
    aliases.length > 0 ? `${aliases.join('')}\n` : '',
    `declare module '@mcp-valet/client' {\n  interface ToolRegistry {\n${entries.join('')}  }\n}\n`,
  ].join('');
}

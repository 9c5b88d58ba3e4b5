// What to paste into a client so that it speaks to a server: nothing is sent anywhere from here.
import { Code } from '../parts/copy.tsx';
import { Tabs } from '../parts/tabs.tsx';

const pretty = (value: unknown): string => JSON.stringify(value, null, 2);
const slug = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '') || 'mcp-valet';

export function ClientConfigs({ name, url, token }: { name: string; url: string; token?: string | undefined }) {
  const bearer = `Bearer ${token ?? '<access token>'}`;
  const id = slug(name);
  const headers = { Authorization: bearer };
  const remote = ['-y', 'mcp-remote', url, '--header', `Authorization:\${MCP_VALET_AUTH}`];
  return (
    <Tabs
      label="Client"
      tabs={[
        {
          name: 'Claude',
          show: () => (
            <>
              <Code
                label="Claude Code, in a terminal"
                text={`claude mcp add --transport http ${id} ${url} --header "Authorization: ${bearer}"`}
              />
              <Code
                label="Claude Desktop, claude_desktop_config.json"
                text={pretty({
                  mcpServers: { [id]: { command: 'npx', args: remote, env: { MCP_VALET_AUTH: bearer } } },
                })}
              />
            </>
          ),
        },
        {
          name: 'Cursor',
          show: () => <Code label="~/.cursor/mcp.json" text={pretty({ mcpServers: { [id]: { url, headers } } })} />,
        },
        {
          name: 'VS Code',
          show: () => (
            <Code label=".vscode/mcp.json" text={pretty({ servers: { [id]: { type: 'http', url, headers } } })} />
          ),
        },
        {
          name: 'SDK',
          show: () => (
            <Code
              label="TypeScript, with an API key of your backend"
              text={[
                "import { MCPClient } from '@mcp-valet/client';",
                '',
                `const client = new MCPClient({ baseUrl: '${new URL(url).origin}', apiKey: process.env.MCP_VALET_API_KEY, server: '${url.split('/').pop() ?? ''}' });`,
                "const tools = await client.forUser('alice').tools.list();",
              ].join('\n')}
            />
          ),
        },
      ]}
    />
  );
}

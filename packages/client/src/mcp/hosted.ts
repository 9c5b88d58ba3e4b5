// Settings for agents that reach the gateway themselves: hosted MCP connectors of model providers, and other processes. They hold a token
// of one user in clear, because they exist to be sent; never the API key.
import { ConfigError } from '../errors.ts';
import { checkToken } from '../options.ts';
import { isLoopback } from '../paths.ts';
import { serverOf } from '../rpc.ts';
import type { Secret } from '../secret.ts';
import type { McpFetch } from './fetch.ts';
import { isUnfiltered, type ToolFilter } from './filter.ts';
import { credentialNumber, targetOf, type View } from './identity.ts';
import type { UserTools } from './nouns.ts';
import { tokenText } from './token-text.ts';

/** Options of `hosted`. */
export interface HostedOptions extends ToolFilter {
  /** Life of the token. Default 900, at most 86400. A token that the user brought lives as long as it lives. */
  ttlSeconds?: number | undefined;
  /**
   * A token to hand over instead of one that is minted here, for servers that mint none. It must name the user by itself: a provider sends no
   * user header.
   */
  token?: string | Secret | undefined;
  /** Name of this server for the model: letters, digits, `-` and `_`. Default `mcp_valet`. */
  label?: string | undefined;
  /** OpenAI only: which calls wait for an approval. `writes`: all but those that claim to change nothing. Default `always`. */
  approval?: 'always' | 'never' | 'writes' | undefined;
}

/** A tool of OpenAI's Responses API that calls the gateway from there. */
export interface OpenAIHosted {
  type: 'mcp';
  server_label: string;
  server_url: string;
  authorization: string;
  allowed_tools?: string[];
  require_approval: 'always' | 'never' | { never: { read_only: boolean } };
}

/** Parameters of Anthropic's Messages API with its MCP connector: spread them into the request. */
export interface AnthropicHosted {
  mcp_servers: { type: 'url'; name: string; url: string; authorization_token: string }[];
  tools: {
    type: 'mcp_toolset';
    mcp_server_name: string;
    default_config?: { enabled: boolean };
    configs?: Record<string, { enabled: boolean }>;
  }[];
  betas: 'mcp-client-2025-11-20'[];
}

/** What `hosted` makes, by provider. */
export interface HostedFor {
  openai: OpenAIHosted;
  anthropic: AnthropicHosted;
}

interface HttpEntry {
  type: 'http';
  url: string;
  headers: Record<string, string>;
}

/** What `config` makes, by framework. */
export interface ConfigFor {
  /** `mcpServers` of the Claude Agent SDK. */
  'claude-agent': Record<string, HttpEntry>;
  /** Options of Mastra's `MCPClient`. The id names the user, because Mastra keeps one client per id. */
  mastra: { id: string; servers: Record<string, { url: URL; fetch: McpFetch }> };
  /** The file that editors and desktop clients read. */
  'mcp-json': { mcpServers: Record<string, HttpEntry> };
}

const defaultLabel = 'mcp_valet';

function checkLabel(label: string): string {
  if (/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(label)) return label;
  throw new ConfigError({ message: 'label must be 1-64 letters, digits, - or _ and start with a letter' });
}

/** A provider's servers cannot reach this machine, and must not be handed a token over plain http. */
function checkReachable(url: string): string {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:' && !isLoopback(hostname)) return url;
  throw new ConfigError({
    message: 'A hosted connector needs an https URL that is reachable from outside',
    hint: 'Use toolsFor(adapter), which calls from this process',
  });
}

function checkGiven({ transport }: View, token: string | Secret): string {
  if (transport.config.accessUrl === undefined) return checkToken(token, 'token');
  throw new ConfigError({ message: 'A tokenized URL names no user to a provider', hint: 'Use baseUrl and apiKey' });
}

export async function makeHosted<F extends keyof HostedFor>(
  view: View,
  tools: UserTools,
  provider: F,
  options: HostedOptions,
): Promise<HostedFor[F]> {
  const { ttlSeconds, token: given, approval, label = defaultLabel, ...filter } = options;
  const url = checkReachable(targetOf(view).url);
  const name = checkLabel(label);
  if (provider !== 'openai' && provider !== 'anthropic') {
    throw new ConfigError({ message: 'hosted knows openai and anthropic' });
  }
  if (provider === 'anthropic' && approval !== undefined && approval !== 'never') {
    throw new ConfigError({ message: "Anthropic's connector asks nobody for approval: filter the tools instead" });
  }
  if (view.defaults.credentialId !== undefined) {
    throw new ConfigError({ message: 'A hosted connector sends no credential id: leave out credentialId' });
  }
  const allowed = isUnfiltered(filter) ? undefined : (await tools.all(filter)).map((tool) => tool.name);
  const token = given === undefined ? await tokenText(view, ttlSeconds) : checkGiven(view, given);
  const made: HostedFor = {
    openai: {
      type: 'mcp',
      server_label: name,
      server_url: url,
      authorization: token,
      ...(allowed && { allowed_tools: allowed }),
      require_approval: approval === 'writes' ? { never: { read_only: true } } : (approval ?? 'always'),
    },
    anthropic: {
      mcp_servers: [{ type: 'url', name, url, authorization_token: token }],
      tools: [
        {
          type: 'mcp_toolset',
          mcp_server_name: name,
          ...(allowed && {
            default_config: { enabled: false },
            configs: Object.fromEntries(allowed.map((tool) => [tool, { enabled: true }])),
          }),
        },
      ],
      betas: ['mcp-client-2025-11-20'],
    },
  };
  return made[provider];
}

export async function makeConfig<F extends keyof ConfigFor>(
  view: View,
  headers: () => Promise<Record<string, string>>,
  fetch: McpFetch,
  format: F,
  options: { label?: string },
): Promise<ConfigFor[F]> {
  const label = checkLabel(options.label ?? defaultLabel);
  const { url } = targetOf(view);
  const makers: { [K in keyof ConfigFor]: () => Promise<ConfigFor[K]> } = {
    'claude-agent': async () => ({ [label]: { type: 'http', url, headers: await headers() } }),
    'mcp-json': async () => ({ mcpServers: { [label]: { type: 'http', url, headers: await headers() } } }),
    mastra: async () => {
      const server = serverOf(view.transport, view.defaults) ?? '';
      const number = await credentialNumber(view.transport);
      const id = `${label}:${new URL(url).host}:${number}:${server}:${view.userId ?? ''}`;
      return { id, servers: { [label]: { url: new URL(url), fetch } } };
    },
  };
  if (!Object.hasOwn(makers, format)) {
    throw new ConfigError({ message: 'config knows claude-agent, mastra and mcp-json' });
  }
  return makers[format]();
}

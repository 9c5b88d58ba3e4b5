// `user.tools`, `user.resources` and `user.prompts`: what a user's MCP endpoint offers. The list of tools is kept for as long as the
// server says, per gateway, credential, user, server and credential id, so that one user never sees another's.
import type { Call, List } from '../call.ts';
import { ValidationError } from '../errors.ts';
import { isRecord } from '../respond.ts';
import { type ToolFilter, toPredicate } from './filter.ts';
import { Cache, credentialNumber, targetOf, type View } from './identity.ts';
import type {
  McpPrompt,
  McpPromptResult,
  McpResource,
  McpResourceContents,
  McpResourceTemplate,
  McpTool,
} from './protocol.ts';
import { type McpOptions, mcpCall, mcpList } from './requests.ts';

/** The tools of one user. Call them with `user.execute`. */
export interface UserTools {
  /** The tools this user can call, page by page, as the server tells them now. */
  list(options?: McpOptions): List<McpTool>;
  /** All of them, kept for as long as the server says, else 60 seconds. `refresh: true` asks again. */
  all(filter?: ToolFilter & { refresh?: boolean }, options?: McpOptions): Promise<readonly McpTool[]>;
}

/** The resources of one user. */
export interface UserResources {
  /** The resources this user can read. */
  list(options?: McpOptions): List<McpResource>;
  /** Templates of further ones. */
  templates(options?: McpOptions): List<McpResourceTemplate>;
  /** What a resource holds. Throws NotFoundError or RpcError when there is none. */
  read(uri: string, options?: McpOptions): Call<{ contents: McpResourceContents[] }>;
}

/** The prompts of one user. */
export interface UserPrompts {
  /** The prompts this user can get. */
  list(options?: McpOptions): List<McpPrompt>;
  /** A prompt with its arguments filled in. */
  get(name: string, args?: Readonly<Record<string, string>>, options?: McpOptions): Call<McpPromptResult>;
}

const defaultLifeMs = 60_000;
/** A server that says "for ever" is believed for an hour. */
const longestLifeMs = 3_600_000;

interface Kept {
  tools: Promise<readonly McpTool[]>;
  until: number;
}
const lists = new Cache<Kept>(1000);

const hasName = (item: Record<string, unknown>): boolean => typeof item['name'] === 'string' && item['name'] !== '';
const isTool = (item: Record<string, unknown>): boolean => hasName(item) && isRecord(item['inputSchema']);

function checkText(value: unknown, path: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new ValidationError({ message: `${path} must be a non-empty string`, path });
}

async function keyOf(view: View, options: McpOptions | undefined): Promise<string> {
  const target = targetOf(view, options);
  const { transport, defaults } = view;
  const free = { ...transport.config.headers, ...defaults.headers, ...options?.headers };
  return JSON.stringify([target.url, await credentialNumber(transport), target.headers, free]);
}

/** Forgets the kept list, because the server has said that a tool of it does not exist. */
export async function forgetTools(view: View, options?: McpOptions): Promise<void> {
  lists.delete(view.transport, await keyOf(view, options));
}

async function fetchAll(view: View, options: McpOptions | undefined, kept: Kept): Promise<readonly McpTool[]> {
  let lifeMs = defaultLifeMs;
  const onPage = ({ ttlMs }: Record<string, unknown>) => {
    if (typeof ttlMs === 'number' && ttlMs >= 0) lifeMs = Math.min(ttlMs, longestLifeMs);
  };
  const tools: McpTool[] = [];
  for await (const tool of mcpList<McpTool>(view, 'tools/list', 'tools', options, isTool, onPage)) tools.push(tool);
  kept.until = performance.now() + lifeMs;
  return Object.freeze(tools);
}

export function makeTools(view: View): UserTools {
  return {
    list: (options) => mcpList<McpTool>(view, 'tools/list', 'tools', options, isTool),
    all: async (filter = {}, options) => {
      const matches = toPredicate(filter);
      const { transport } = view;
      transport.assertOpen();
      const key = await keyOf(view, options);
      const found = lists.get(transport, key);
      if (found && !filter.refresh && performance.now() < found.until) return (await found.tools).filter(matches);
      // Kept while it is asked for, so that many at once ask once; a failure is not kept. One caller's signal must not end it for others.
      const isShared = (options?.signal ?? view.defaults.signal) === undefined;
      const kept: Kept = { tools: Promise.resolve([]), until: Number.POSITIVE_INFINITY };
      kept.tools = fetchAll(view, options, kept);
      if (isShared) lists.set(transport, key, kept);
      try {
        const tools = await kept.tools;
        if (!isShared) lists.set(transport, key, kept);
        return tools.filter(matches);
      } catch (error) {
        if (lists.get(transport, key) === kept) lists.delete(transport, key);
        throw error;
      }
    },
  };
}

export function makeResources(view: View): UserResources {
  const hasUri = (item: Record<string, unknown>) => typeof item['uri'] === 'string';
  const hasTemplate = (item: Record<string, unknown>) => typeof item['uriTemplate'] === 'string';
  return {
    list: (options) => mcpList<McpResource>(view, 'resources/list', 'resources', options, hasUri),
    templates: (options) =>
      mcpList<McpResourceTemplate>(view, 'resources/templates/list', 'resourceTemplates', options, hasTemplate),
    read: (uri, options) =>
      mcpCall(view, 'resources/read', { uri: checkText(uri, 'uri') }, options, (result, fail) => {
        const { contents } = result;
        if (!Array.isArray(contents)) throw fail('The answer has no contents');
        return { contents: contents.filter(isRecord) as unknown as McpResourceContents[] };
      }),
  };
}

export function makePrompts(view: View): UserPrompts {
  return {
    list: (options) => mcpList<McpPrompt>(view, 'prompts/list', 'prompts', options, hasName),
    get: (name, args, options) => {
      const params = { name: checkText(name, 'name'), ...(args && { arguments: { ...args } }) };
      return mcpCall(view, 'prompts/get', params, options, (result, fail) => {
        const { messages, description } = result;
        if (!Array.isArray(messages)) throw fail('The answer has no messages');
        return {
          messages: messages.filter(isRecord),
          ...(description !== undefined && { description }),
        } as McpPromptResult;
      });
    },
  };
}

// The bridge to agent frameworks: an adapter is a value that turns a user's tools into a framework's own form. It gets a way to call
// them and never a credential.
import type { Call } from '../call.ts';
import type { ExecuteOptions } from '../rpc.ts';
import type { ToolResult } from '../tool-result.ts';
import { CallKeys } from './call-keys.ts';
import type { McpEndpoint } from './endpoint.ts';
import type { ToolFilter } from './filter.ts';
import { type ConnectLinks, callForModel, type OnGone } from './model-call.ts';
import { withModelNames } from './model-names.ts';
import type { UserTools } from './nouns.ts';
import type { McpTool } from './protocol.ts';

/** A tool with the name that models see. */
export interface ToolInfo extends McpTool {
  /** 1-64 of `A-Z a-z 0-9 _ -`. */
  modelName: string;
}

/** What is known of one tool call. */
export interface ToolCallInfo {
  /** The framework's id of the call. */
  toolCallId?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** The part of a user's view that adapters work with. */
export interface AgentUser {
  /** Unknown of a user with a token of their own. */
  readonly userId: string | undefined;
  readonly tools: UserTools;
  readonly mcp: McpEndpoint;
  execute(tool: string, args?: Readonly<Record<string, unknown>>, options?: ExecuteOptions): Call<ToolResult>;
}

/** What an adapter builds from. */
export interface AdapterInput {
  user: AgentUser;
  tools: readonly ToolInfo[];
  /** Calls a tool as the user. Refusals are results with `isError`; what leaves doubt throws. */
  call(tool: ToolInfo, args: unknown, info?: ToolCallInfo): Promise<ToolResult>;
  /** The tools as the gateway lists them now. */
  refresh(): Promise<readonly ToolInfo[]>;
}

/** Turns a user's tools into what a framework takes. Yours is an object with these two. */
export interface Adapter<T> {
  readonly name: string;
  build(input: AdapterInput): T | Promise<T>;
}

/** Options of `toolsFor`. */
export interface ToolsForOptions extends ToolFilter, ConnectLinks {
  /** Id of a durable run: a call that the run repeats after a restart is not executed again. */
  runId?: string | undefined;
}

export async function buildTools<T>(
  user: AgentUser,
  adapter: Adapter<T>,
  options: ToolsForOptions,
  onGone: OnGone,
): Promise<T> {
  const { runId, connectLinks, onCredentialRequired, ...filter } = options;
  const links = { ...(connectLinks && { connectLinks }), ...(onCredentialRequired && { onCredentialRequired }) };
  const keys = new CallKeys(user.userId ?? '', runId);
  const list = async (refresh: boolean) => withModelNames(await user.tools.all({ ...filter, refresh }));
  return adapter.build({
    user,
    tools: await list(false),
    refresh: () => list(true),
    call: (tool, args, { toolCallId, signal } = {}) => {
      const given = typeof args === 'object' && args !== null ? args : {};
      return keys.run(toolCallId, tool.name, given, (idempotencyKey) =>
        callForModel(
          (name, input, more) => user.execute(name, { ...input }, more),
          tool.name,
          given,
          { ...(signal && { signal }), ...(idempotencyKey !== undefined && { idempotencyKey }) },
          links,
          onGone,
        ),
      );
    },
  });
}

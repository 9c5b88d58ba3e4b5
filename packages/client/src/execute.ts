// A tool call from options to outcome. A call that may be asked or cancelled takes its other form.
import { outputCheck } from './check-output.ts';
import { converse } from './converse.ts';
import { ConfigError } from './errors.ts';
import type { WithOutput } from './input.ts';
import type { Operation, Settled } from './operation.ts';
import { type ExecuteOptions, toolCall } from './rpc.ts';
import { send } from './send.ts';
import type { ToolResult } from './tool-result.ts';
import type { Transport } from './transport.ts';

/** Runs a tool over MCP. */
export async function execute<T>(
  transport: Transport,
  userId: string | undefined,
  tool: string,
  args: unknown,
  options: ExecuteOptions & WithOutput<T>,
): Promise<Settled<ToolResult<T>>> {
  const cancels = options.cancelOnAbort ?? transport.config.cancelOnAbort;
  if (options.onInputRequired || cancels) return converse<T>(transport, userId, tool, args, options);
  return send(toolCall<T>(transport, userId, tool, args, options), transport, outputCheck(options.output));
}

/** Runs what cannot be asked or cancelled. */
export function executeDirect<T>(
  operation: () => Operation<ToolResult<T>>,
  transport: Transport,
  options: ExecuteOptions & WithOutput<T>,
): Promise<Settled<ToolResult<T>>> {
  if (options.onInputRequired || options.cancelOnAbort) {
    const message = 'onInputRequired and cancelOnAbort need a server: set the option server';
    throw new ConfigError({ message });
  }
  return send(operation(), transport, outputCheck(options.output));
}

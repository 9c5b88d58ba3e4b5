// A tool call in the form of MCP 2026-07-28, where the tool may ask its caller something, and where closing the connection cancels it. Each
// answer is a request of its own, with the same arguments. Nothing here is sent twice: a lost connection has ended the call.
import { aborted } from './attempt.ts';
import { outputCheck } from './check-output.ts';
import { InputRequiredError, ValidationError } from './errors.ts';
import type { WithOutput } from './input.ts';
import type { Settled } from './operation.ts';
import { isRecord } from './respond.ts';
import { type ExecuteOptions, toolCall } from './rpc.ts';
import { send } from './send.ts';
import type { ToolResult } from './tool-result.ts';
import type { Transport } from './transport.ts';
import { version } from './version.ts';

const protocolVersion = '2026-07-28';
const prefix = 'io.modelcontextprotocol/';
/** A tool that asks for ever is not answered for ever. */
const maxRounds = 20;

/** As a header: names that are not plain ASCII go in base64. */
function nameHeader(tool: string): string {
  if (/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(tool) && !tool.startsWith('=?base64?')) return tool;
  const bytes = Array.from(new TextEncoder().encode(tool), (byte) => String.fromCharCode(byte));
  return `=?base64?${btoa(bytes.join(''))}?=`;
}

export async function converse<T>(
  transport: Transport,
  userId: string | undefined,
  tool: string,
  args: unknown,
  options: ExecuteOptions & WithOutput<T>,
): Promise<Settled<ToolResult<T>>> {
  const { onInputRequired, signal } = options;
  const capabilities = onInputRequired ? { elicitation: { form: {} } } : {};
  const meta = {
    [`${prefix}protocolVersion`]: protocolVersion,
    [`${prefix}clientInfo`]: { name: 'mcp-valet-client', version },
    [`${prefix}clientCapabilities`]: capabilities,
  };
  let params: Record<string, unknown> = {};
  for (let round = 1; ; round++) {
    const headers = {
      'mcp-protocol-version': protocolVersion,
      'mcp-method': 'tools/call',
      'mcp-name': typeof tool === 'string' ? nameHeader(tool) : '',
    };
    const operation = toolCall<T>(transport, userId, tool, args, options, { headers, params, meta });
    const end = await send(operation, transport, outputCheck(options.output));
    if (end.ok || !onInputRequired || round === maxRounds || !(end.error instanceof InputRequiredError)) return end;
    const { requests, requestState, attempts } = end.error;
    const asking = (async () => onInputRequired(requests))();
    // Whoever waits for a person must be able to give up; what the person says later is nobody's.
    asking.catch(() => undefined);
    const inputResponses = await transport.unlessAborted(asking, signal);
    if (signal?.aborted) {
      const context = { operation: 'execute', userId, attempts, changes: true, secrets: [] };
      return { ok: false, error: aborted({ signal, context, idempotencyKey: undefined }, false), answer: end.answer };
    }
    transport.assertOpen();
    if (!isRecord(inputResponses)) {
      throw new ValidationError({ message: 'onInputRequired must return an object', path: 'onInputRequired' });
    }
    params = { inputResponses, ...(requestState !== undefined && { requestState }) };
  }
}

// A tool call on behalf of a model: what the tool or the gateway says goes to the model as a result, what leaves doubt throws.
// Nothing here may run a tool twice, and no connect link reaches a model unless the caller says so.

import * as errors from '../errors.ts';
import type { CallOptions } from '../options.ts';
import type { ToolResult } from '../tool-result.ts';
import { errorResult } from './result-text.ts';

/** How a model gets to know that a user has to connect an account. */
export interface ConnectLinks {
  /** `to-model`: the text for the model holds the link, for chats whose only reader is that user. Default `hidden`. */
  connectLinks?: 'hidden' | 'to-model' | undefined;
  /** Hears of every missing credential, with the link, to show it outside of the conversation. */
  onCredentialRequired?: ((error: errors.CredentialRequiredError) => void) | undefined;
}

/** Runs when the server says that there is no such tool, or not with these arguments: the kept list may be old. */
export type OnGone = () => Promise<void>;

export type Execute = (tool: string, args: object, options: CallOptions) => Promise<ToolResult>;

/** Refusals that a model can do something about; whatever else fails is for the program. */
function refusalText(error: unknown, links: ConnectLinks): string | undefined {
  if (error instanceof errors.CredentialRequiredError) {
    const first = `The user has to connect an account${error.connector ? ` for ${error.connector}` : ''} first.`;
    const link = links.connectLinks === 'to-model' ? error.connectUrl : undefined;
    return link === undefined ? first : `${first} Ask them to open ${link}`;
  }
  if (error instanceof errors.AuthenticationError || error instanceof errors.IdempotencyMismatchError) return undefined;
  if (!(error instanceof errors.APIError) && !(error instanceof errors.RpcError)) return undefined;
  const { message, code, retryAfterMs, executed } = error;
  const wait = retryAfterMs === undefined ? '' : ` Try again in ${Math.ceil(retryAfterMs / 1000)} s.`;
  const doubt = executed === 'unknown' && !(error instanceof errors.RpcError) ? ` ${doNotRepeat}` : '';
  return `${message} (${code}).${wait}${doubt}`;
}

/** MCP's code for an unknown tool, and for wrong arguments. */
const invalidParams = -32602;
const doNotRepeat = 'It may have run: do not repeat this call.';

/** Runs the call. A result, also for a refusal; throws what the program has to know, in words that keep a model from repeating it. */
export async function callForModel(
  execute: Execute,
  tool: string,
  args: object,
  options: CallOptions,
  links: ConnectLinks,
  onGone: OnGone,
): Promise<ToolResult> {
  try {
    return await execute(tool, args, options);
  } catch (error) {
    if (error instanceof errors.CredentialRequiredError) links.onCredentialRequired?.(error);
    if (
      error instanceof errors.NotFoundError ||
      (error instanceof errors.RpcError && error.rpcCode === invalidParams)
    ) {
      await onGone();
    }
    const text = refusalText(error, links);
    if (text !== undefined) return errorResult(text);
    throw error instanceof errors.OutcomeUnknownError ? withAdvice(error) : error;
  }
}

/** Frameworks show a model the message and nothing else of an error. */
function withAdvice(error: errors.OutcomeUnknownError): errors.OutcomeUnknownError {
  const { code, operation, status, requestId, attempts, retryable, retryAfterMs, details, userId, state } = error;
  return new errors.OutcomeUnknownError({
    code,
    operation,
    status,
    requestId,
    attempts,
    retryable,
    retryAfterMs,
    details,
    userId,
    state,
    idempotencyKey: error.idempotencyKey,
    message: `${error.message}. ${doNotRepeat}`,
    cause: error,
  });
}

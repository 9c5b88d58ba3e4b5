// What an answer to an execution means: a result, a refusal of the gateway, an error of the server, or a call that ran as
// somebody else. No class is picked by the text of a message.
import { metaKeys } from '@mcp-valet/shared';
import { CredentialRequiredError, InputRequiredError, RpcError, ToolError, UserFallbackError } from './errors.ts';
import type { InputRequests } from './input.ts';
import { scrub } from './redact.ts';
import {
  type Answer,
  about,
  type CallContext,
  errorOfCode,
  executedOf,
  isKnownWord,
  isRecord,
  parseJson,
  readEnvelope,
  requestIdOf,
  unreadable,
} from './respond.ts';
import { type ToolResult, toolSaidNo, toToolResult } from './tool-result.ts';
import type { Transport } from './transport.ts';

/** JSON-RPC code of MCP for "the user has to open a URL first". */
const urlElicitation = -32042;

export function tryParse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    // An event that is no JSON is not for us.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function parse(answer: Answer, context: CallContext): unknown {
  try {
    return parseJson(answer.bytes);
  } catch (error) {
    if (error instanceof SyntaxError) throw unreadable('The answer is not JSON', context, answer);
    throw error;
  }
}

/** A JSON-RPC error, or an error body that came with status 200. */
export function refusalOf(message: Record<string, unknown>, answer: Answer, context: CallContext): Error {
  const spoken = readEnvelope(message);
  if (spoken === undefined) return unreadable('The answer has neither a result nor an error', context, answer);
  const error = isRecord(message['error']) ? message['error'] : {};
  // A JSON-RPC error of an upstream may carry any `data.code`; only ours is a code of the contract.
  if (typeof error['code'] !== 'number' || isKnownWord(spoken.word)) return errorOfCode(spoken, context, answer);
  const said =
    typeof spoken.message === 'string' ? scrub(spoken.message, context.secrets) : 'The server answered an error';
  const rpcCode = error['code'];
  const requestId = requestIdOf(spoken.requestId, answer.headers);
  const ran = executedOf(spoken.gateway?.executed);
  const fields = { message: said, status: answer.status, requestId, ...about(context), ...(ran && { executed: ran }) };
  const elicitation = rpcCode === urlElicitation ? firstUrl(error['data']) : undefined;
  if (elicitation !== undefined) {
    return new CredentialRequiredError({ ...fields, reason: 'missing', connectUrl: elicitation, retryable: false });
  }
  return new RpcError({ ...fields, rpcCode, data: error['data'] });
}

function firstUrl(data: unknown): string | undefined {
  const list = isRecord(data) && Array.isArray(data['elicitations']) ? data['elicitations'] : [];
  const url: unknown = list.find((entry) => isRecord(entry) && typeof entry['url'] === 'string')?.url;
  return typeof url === 'string' ? url : undefined;
}

/** From a result to what the caller gets: a refusal of the gateway and a foreign user throw, the tool's own words do not. */
export function finish<T>(
  data: unknown,
  whole: Record<string, unknown>,
  transport: Transport,
  throwOnToolError: boolean | undefined,
  answer: Answer,
  context: CallContext,
): ToolResult<T> {
  const result = isRecord(data) ? toToolResult<T>(data) : undefined;
  if (isRecord(data)) throwFallback(whole, { data, result }, transport, context, answer);
  if (isRecord(data) && data['resultType'] === 'input_required') {
    const { inputRequests, requestState } = data;
    throw new InputRequiredError({
      ...about(context),
      message: 'The tool asks for input before it goes on',
      status: answer.status,
      requestId: requestIdOf(undefined, answer.headers),
      requests: (isRecord(inputRequests) ? inputRequests : {}) as InputRequests,
      requestState: typeof requestState === 'string' ? requestState : undefined,
    });
  }
  if (!result) throw unreadable('The result has no content', context, answer);
  const gateway = result._meta?.[metaKeys.error];
  if (isRecord(gateway)) {
    const told = tryParse(result.text());
    const message = isRecord(told) ? told['error'] : undefined;
    const connectUrl = isRecord(told) ? told['connectUrl'] : undefined;
    throw errorOfCode(
      { word: gateway['code'], message, requestId: gateway['requestId'], connectUrl, gateway },
      context,
      answer,
    );
  }
  if (!throwOnToolError || !result.isError) return result;
  const requestId = requestIdOf(undefined, answer.headers);
  throw new ToolError({ ...about(context), message: toolSaidNo, status: answer.status, requestId, result });
}

function isFallback(value: unknown): value is { attempted: string; fallback: string } {
  return isRecord(value) && typeof value['attempted'] === 'string' && typeof value['fallback'] === 'string';
}

/** Our own key is enough; elsewhere a tool could answer these two fields by chance, so the warning must be the known one. */
const isOldFallback = (value: unknown) =>
  isFallback(value) && (value as { warning?: unknown }).warning === 'Invalid x-alloy-userid header';

/** The server ran the call as somebody else and says so in one of four places. */
export function throwFallback(
  whole: Record<string, unknown>,
  result: { data: Record<string, unknown>; result: ToolResult | undefined } | undefined,
  transport: Transport,
  context: CallContext,
  answer: Answer,
): void {
  const meta = result?.result?._meta?.[metaKeys.userFallback];
  const blocks = result?.result?.content ?? [];
  const onlyText = blocks.length === 1 && blocks[0]?.type === 'text' ? tryParse(blocks[0].text ?? '') : undefined;
  const found = isFallback(meta) ? meta : [whole, result?.data, onlyText].find(isOldFallback);
  if (!isFallback(found)) return;
  if (transport.config.onUserFallback === 'return') {
    transport.log('warn', () => `${context.operation}: the server ran the call as another user`);
    return;
  }
  throw new UserFallbackError({
    ...about(context),
    message: 'The server does not know the user and ran the call as another one',
    hint: 'Create the user first, or set onUserFallback to "return"',
    status: answer.status,
    requestId: requestIdOf(undefined, answer.headers),
    attempted: found.attempted,
    fallback: found.fallback,
    result: result?.result ?? result?.data ?? whole,
  });
}

// The wire form of an execution: one bare `tools/call`, no handshake, so that every server of this API accepts it and a lost
// connection does not cancel the call. And the direct call of a connector's tool. What the answers mean is in `rpc-answer`.
import { headers } from '@mcp-valet/shared';
import { ConfigError, ValidationError } from './errors.ts';
import { randomKey } from './idempotency.ts';
import type { InputRequests, InputResponses } from './input.ts';
import type { Operation, Reader } from './operation.ts';
import { baseUrlOf, graceMs, plan } from './operation.ts';
import type { CallOptions } from './options.ts';
import { checkHeaderValue, encodeSegment } from './paths.ts';
import { type Answer, isRecord, unreadable } from './respond.ts';
import { finish, parse, refusalOf, throwFallback, tryParse } from './rpc-answer.ts';
import type { ToolResult } from './tool-result.ts';
import type { Transport } from './transport.ts';

/** How far a call has come, as its server tells. */
export interface Progress {
  /** How much is done; grows. */
  progress: number;
  /** How much there is, when the server knows. */
  total?: number;
  /** What is being done, for people. */
  message?: string;
}

/** Options of calls of tools. */
export interface ExecuteOptions extends CallOptions {
  /** Id of the server to call. Default: the client's. */
  server?: string | undefined;
  /** Use this credential of the user instead of the default one. */
  credentialId?: string | undefined;
  /** Where the user comes back to after connecting an account. */
  redirectUri?: string | undefined;
  /** Hears of progress. What it throws is logged and otherwise ignored. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Throw ToolError when the tool itself says no. Default false. */
  throwOnToolError?: boolean | undefined;
  /**
   * Answers what the tool asks before it goes on. Without it such a call throws InputRequiredError. `deadline` counts anew after each answer;
   * the call is sent in the form of MCP 2026-07-28, so a lost connection ends it, as with `cancelOnAbort`.
   */
  onInputRequired?: ((requests: InputRequests) => InputResponses | Promise<InputResponses>) | undefined;
  /**
   * Let `signal` stop the tool too, instead of only the waiting. The price: a lost connection cancels it as well, and ends as
   * OutcomeUnknownError instead of being repeated. Default: the client's. For servers that speak MCP 2026-07-28.
   */
  cancelOnAbort?: boolean | undefined;
}

/** The 2026-07-28 form of a call: what it has beside the bare one. */
export interface CallForm {
  headers: Readonly<Record<string, string>>;
  params: Readonly<Record<string, unknown>>;
  meta: Readonly<Record<string, unknown>>;
}

export const accept = 'application/json, text/event-stream';
const maxCredentialIdLength = 256;
const maxUriLength = 2048;

/** Headers that say for whom. Without a user nothing is said: only the key's own view may do that. */
export function identityHeaders(
  transport: Transport,
  userId: string | undefined,
  options: ExecuteOptions,
): Record<string, string> {
  const { credentialId, redirectUri } = options;
  return {
    ...(userId !== undefined && { [headers.user]: userId }),
    ...(userId !== undefined && transport.config.onUserFallback === 'throw' && { [headers.strictUser]: 'true' }),
    ...(credentialId !== undefined && {
      [headers.credential]: checkHeaderValue(credentialId, 'credentialId', maxCredentialIdLength),
    }),
    ...(redirectUri !== undefined && {
      [headers.redirectUri]: checkHeaderValue(redirectUri, 'redirectUri', maxUriLength),
    }),
  };
}

/** Id of the server a call goes to, if it goes to one. */
export function serverOf(transport: Transport, options: ExecuteOptions): string | undefined {
  if (transport.config.accessUrl === undefined) return options.server ?? transport.config.server;
  if (options.server === undefined) return undefined;
  throw new ConfigError({ message: 'A tokenized URL already names its server' });
}

export function endpointOf(
  transport: Transport,
  options: ExecuteOptions,
): { url: string; template: string; sensitive: string[] } {
  const { accessUrl } = transport.config;
  const server = serverOf(transport, options);
  if (accessUrl !== undefined) {
    const token = accessUrl.slice(accessUrl.lastIndexOf('/') + 1);
    return { url: accessUrl, template: '/mcp/{serverId}/[token]', sensitive: [token, decodeURIComponent(token)] };
  }
  const base = baseUrlOf(transport);
  if (server === undefined) return { url: `${base}/mcp`, template: '/mcp', sensitive: [] };
  return { url: `${base}/mcp/${encodeSegment(server, 'server')}`, template: '/mcp/{serverId}', sensitive: [] };
}

function checkArgs(args: unknown, path: string): Record<string, unknown> {
  if (args === undefined) return {};
  if (isRecord(args)) return args;
  throw new ValidationError({ message: `${path} must be an object`, path });
}

function checkName(name: unknown, path: string): string {
  if (typeof name === 'string' && name !== '') return name;
  throw new ValidationError({ message: `${path} must be a non-empty string`, path });
}

/** A tool call over MCP. */
export function toolCall<T>(
  transport: Transport,
  userId: string | undefined,
  tool: string,
  args: unknown,
  options: ExecuteOptions,
  form?: CallForm,
): Operation<ToolResult<T>> {
  const id = randomKey();
  const given = checkArgs(args, 'args');
  const { onProgress } = options;
  const params = {
    name: checkName(tool, 'tool'),
    arguments: given,
    ...form?.params,
    ...((onProgress || form) && { _meta: { ...(onProgress && { progressToken: id }), ...form?.meta } }),
  };
  const asked =
    tool === 'execute_action_alloy' && typeof given['timeout'] === 'number' ? given['timeout'] + graceMs : undefined;
  return plan(
    transport,
    {
      kind: 'execution',
      name: 'execute',
      method: 'POST',
      ...endpointOf(transport, options),
      headers: { ...identityHeaders(transport, userId, options), ...form?.headers },
      accept,
      body: { jsonrpc: '2.0', id, method: 'tools/call', params },
      authorize: transport.config.accessUrl === undefined,
      repeatable: false,
      userId,
      tool,
      cancels: form !== undefined,
      leastTimeoutMs: asked,
      reader: () => rpcReader<T>(transport, id, options),
    },
    options,
  );
}

/** A connector's tool without a server: the direct call. */
export function directCall<T>(
  transport: Transport,
  userId: string | undefined,
  call: { connector: string; action: string; parameters: unknown },
  options: ExecuteOptions,
): Operation<ToolResult<T>> {
  const body = {
    ...(userId !== undefined && { username: userId }),
    serverName: checkName(call.connector, 'connector'),
    methodName: checkName(call.action, 'action'),
    args: checkArgs(call.parameters, 'parameters'),
  };
  return plan(
    transport,
    {
      kind: 'execution',
      name: 'runAction',
      method: 'POST',
      url: `${baseUrlOf(transport)}/mcp/tool/call`,
      template: '/mcp/tool/call',
      headers: identityHeaders(transport, userId, options),
      accept: 'application/json',
      body,
      authorize: true,
      repeatable: false,
      userId,
      reader: () => ({
        read: (answer, context) => {
          const reply = parse(answer, context);
          if (!isRecord(reply)) throw unreadable('The answer is not an object', context, answer);
          if (reply['success'] !== true) throw refusalOf(reply, answer, context);
          return finish<T>(reply['data'], reply, transport, options.throwOnToolError, answer, context);
        },
      }),
    },
    options,
  );
}

function rpcReader<T>(transport: Transport, id: string, options: ExecuteOptions): Reader<ToolResult<T>> {
  let found: unknown;
  let delivered = false;
  const isAnswer = (message: unknown): message is Record<string, unknown> =>
    isRecord(message) && ('result' in message || 'error' in message) && mayBeFor(message['id'], id);
  return {
    delivered: () => delivered,
    onEvent: (data) => {
      const message = tryParse(data);
      if (isAnswer(message)) found = message;
      else if (options.onProgress && isProgressOf(message, id)) {
        delivered = true;
        tell(transport, options.onProgress, message.params);
      }
      return found !== undefined;
    },
    read: (answer, context) => {
      const message = found ?? (isStream(answer) ? undefined : parse(answer, context));
      if (message === undefined) throw unreadable('The answer ended before the result', context, answer);
      if (!isRecord(message)) throw unreadable('The answer is not a JSON-RPC message', context, answer);
      if (isAnswer(message) && isRecord(message['result'])) {
        return finish<T>(message['result'], message, transport, options.throwOnToolError, answer, context);
      }
      throwFallback(message, undefined, transport, context, answer);
      throw refusalOf(message, answer, context);
    },
  };
}

const isStream = (answer: Answer) => /^text\/event-stream\b/i.test(answer.headers.get('content-type') ?? '');

/** Some servers echo the id as a number, and answer what they could not read with null. */
export const mayBeFor = (id: unknown, ours: string) =>
  id == null || ((typeof id === 'string' || typeof id === 'number') && String(id) === ours);

function isProgressOf(message: unknown, id: string): message is { params: Progress } {
  if (!isRecord(message) || message['method'] !== 'notifications/progress' || !isRecord(message['params']))
    return false;
  return message['params']['progressToken'] === id && typeof message['params']['progress'] === 'number';
}

function tell(
  transport: Transport,
  onProgress: (progress: Progress) => void,
  { progress, total, message }: Progress,
): void {
  try {
    onProgress({
      progress,
      ...(typeof total === 'number' && { total }),
      ...(typeof message === 'string' && { message }),
    });
  } catch (error) {
    transport.log('warn', () => `onProgress threw ${error instanceof Error ? error.name : typeof error}`);
  }
}

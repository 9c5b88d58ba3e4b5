// The MCP requests beside tools/call, in the same bare form: lists by pages, reading a resource, getting a prompt. All of them may be sent
// again. What an answer holds is data: checked for its shape, never trusted further.
import { type Call, type List, type Page, startCall, startList } from '../call.ts';
import { ValidationError } from '../errors.ts';
import { scopeOfMethod } from '../gate-ask.ts';
import { randomKey } from '../idempotency.ts';
import { type Operation, plan, type Reader } from '../operation.ts';
import type { CallOptions } from '../options.ts';
import { makePage, nextPosition } from '../page.ts';
import { isRecord, unreadable } from '../respond.ts';
import { accept, type ExecuteOptions, mayBeFor } from '../rpc.ts';
import { parse, refusalOf, throwFallback, tryParse } from '../rpc-answer.ts';
import { send } from '../send.ts';
import { targetOf, type View } from './identity.ts';

/** Options of a request to a user's MCP endpoint. */
export type McpOptions = CallOptions & Pick<ExecuteOptions, 'server' | 'credentialId'>;

type Read<T> = (result: Record<string, unknown>, fail: (message: string) => Error) => T;

function reader<T>(view: View, id: string, read: Read<T>): Reader<T> {
  let found: Record<string, unknown> | undefined;
  const isAnswer = (message: unknown): message is Record<string, unknown> =>
    isRecord(message) && ('result' in message || 'error' in message) && mayBeFor(message['id'], id);
  return {
    onEvent: (data) => {
      const message = tryParse(data);
      if (isAnswer(message)) found = message;
      return found !== undefined;
    },
    read: (answer, context) => {
      const isStream = /^text\/event-stream\b/i.test(answer.headers.get('content-type') ?? '');
      const message = found ?? (isStream ? undefined : parse(answer, context));
      const fail = (text: string) => unreadable(text, context, answer);
      if (!isRecord(message)) throw fail('The answer ended before the result');
      const { result } = message;
      throwFallback(
        message,
        isRecord(result) ? { data: result, result: undefined } : undefined,
        view.transport,
        context,
        answer,
      );
      if (!isAnswer(message) || !isRecord(result)) throw refusalOf(message, answer, context);
      return read(result, fail);
    },
  };
}

function operation<T>(
  view: View,
  method: string,
  params: Record<string, unknown>,
  options: McpOptions,
  read: Read<T>,
): Operation<T> {
  const id = randomKey();
  const target = targetOf(view, options);
  return plan(
    view.transport,
    {
      kind: 'management',
      name: method,
      method: 'POST',
      ...target,
      accept,
      body: { jsonrpc: '2.0', id, method, params },
      repeatable: true,
      userId: view.userId,
      scope: scopeOfMethod(method),
      reader: () => reader(view, id, read),
    },
    merged(view, options),
  );
}

function merged({ defaults }: View, options: McpOptions): McpOptions {
  const headers = { ...defaults.headers, ...options.headers };
  const { idempotencyKey: _, ...kept } = { ...defaults, ...options };
  return { ...kept, ...(Object.keys(headers).length > 0 && { headers }) };
}

export function mcpCall<T>(
  view: View,
  method: string,
  params: Record<string, unknown>,
  options: McpOptions | undefined,
  read: Read<T>,
): Call<T> {
  return startCall(async () => send(operation(view, method, params, options ?? {}, read), view.transport));
}

/** A list of the endpoint. `isItem` says what an entry must have; others are left out, as an unknown entry is no reason to have none. */
export function mcpList<T>(
  view: View,
  method: string,
  field: string,
  options: McpOptions | undefined,
  isItem: (item: Record<string, unknown>) => boolean,
  onPage: (result: Record<string, unknown>) => void = () => undefined,
): List<T> {
  const page = (cursor: string | undefined): List<T> =>
    startList<T>(async () => {
      const params = cursor === undefined ? {} : { cursor };
      const read: Read<Page<T>> = (result, fail) => {
        const items = result[field];
        if (!Array.isArray(items)) throw fail(`The answer has no list of ${field}`);
        onPage(result);
        const position = nextPosition({ nextCursor: result['nextCursor'] }, params, items.length);
        const next = position && 'cursor' in position ? position.cursor : undefined;
        return makePage(
          items.filter((item) => isRecord(item) && isItem(item)) as T[],
          undefined,
          next !== undefined,
          () => (next === undefined ? lastPage() : page(next)),
        );
      };
      return send(operation(view, method, params, options ?? {}, read), view.transport);
    });
  return page(undefined);
}

const lastPage = <T>(): Call<Page<T>> =>
  startCall(async () => {
    throw new ValidationError({ message: 'This is the last page', path: 'next' });
  });

// Reads a list that comes as lines (NDJSON): one entry at a time, however long the list. An end that is not
// the end of the list throws: half a list never passes for a whole one. Nothing is asked for twice.
import type { RouteDefinition } from '@mcp-valet/shared';
import { aborted } from './attempt.ts';
import { connectionError } from './connection.ts';
import { ResponseError, TimeoutError, ValetError } from './errors.ts';
import type { Operation } from './operation.ts';
import { about, type CallContext, requestIdOf } from './respond.ts';
import { type RouteArguments, routeOperation } from './route-call.ts';
import { tryParse } from './rpc-answer.ts';
import { send } from './send.ts';
import type { Transport } from './transport.ts';
import { whenAborted } from './when-aborted.ts';

const linesType = 'application/x-ndjson';
/** No entry of a list comes near it; a server that never ends a line must not fill the memory. */
const maxLineLength = 4 * 1024 * 1024;

interface Taken {
  response: Response;
  stop: () => void;
}

export async function* readLines<T>(
  transport: Transport,
  name: string,
  route: RouteDefinition,
  given: RouteArguments,
): AsyncGenerator<T, void, undefined> {
  const planned = routeOperation(transport, name, route, given, () => undefined);
  let taken: Taken | undefined;
  const operation: Operation<undefined> = {
    ...planned,
    headers: { ...planned.headers, accept: linesType },
    reader: () => ({
      onResponse: (response, stop) => {
        taken = { response, stop };
      },
      read: () => undefined,
    }),
  };
  const end = await send(operation, transport);
  if (!end.ok) throw end.error;
  const context: CallContext = {
    operation: name,
    userId: given.userId,
    attempts: end.meta.attempts,
    changes: false,
    secrets: [],
  };
  const { status, headers } = end.answer;
  const wrong = (message: string, code?: string) =>
    new ResponseError({ ...about(context), message, code, status, requestId: requestIdOf(undefined, headers) });
  if (!taken?.response.body || !headers.get('content-type')?.toLowerCase().startsWith(linesType)) {
    taken?.stop();
    throw wrong('The server did not answer with lines');
  }
  for await (const line of split(chunks(taken, taken.response.body, planned, context), wrong)) {
    const item = tryParse(line);
    if (typeof item !== 'object' || item === null) throw wrong('A line of the answer is not JSON');
    yield item as T;
  }
}

/** The body as it comes, with a limit on the silence between two pieces. Whoever stops reading ends the connection. */
async function* chunks(
  { stop }: Taken,
  body: ReadableStream<Uint8Array>,
  { timeoutMs, signal }: Operation<unknown>,
  context: CallContext,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let giveUp: (error: ValetError) => void = () => undefined;
  const ended = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  // Nobody may be waiting for it when it comes.
  ended.catch(() => undefined);
  const onAbort = () => giveUp(aborted({ signal, context, idempotencyKey: undefined }, false));
  const onSilence = () => {
    const message = 'No further line within the timeout';
    giveUp(new TimeoutError({ ...about(context), message, kind: 'attempt' }));
  };
  const stopListening = whenAborted(signal, onAbort);
  if (signal?.aborted) onAbort();
  try {
    for (;;) {
      timer = setTimeout(onSilence, timeoutMs);
      const { done, value } = await Promise.race([reader.read(), ended]);
      clearTimeout(timer);
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error instanceof ValetError) throw error;
    throw connectionError(error, about(context));
  } finally {
    clearTimeout(timer);
    stopListening();
    stop();
    // The stream has been given up; how it takes that is of no use to anybody.
    reader.cancel().catch(() => undefined);
  }
}

async function* split(
  pieces: AsyncIterable<Uint8Array>,
  wrong: (message: string, code?: string) => Error,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  /** The line that is not complete, in pieces: a long one must not be copied with each of them. */
  let rest: string[] = [];
  let length = 0;
  for await (const piece of pieces) {
    const lines = decoder.decode(piece, { stream: true }).split('\n');
    const last = lines.pop() ?? '';
    for (const line of lines) {
      const whole = rest.join('') + line;
      rest = [];
      length = 0;
      if (whole.trim() !== '') yield whole;
    }
    rest.push(last);
    length += last.length;
    if (length > maxLineLength) throw wrong(`A line is longer than ${maxLineLength} characters`, 'ANSWER_TOO_LARGE');
  }
  if (rest.join('').trim() !== '') throw wrong('The answer ended within a line');
}

// `user.mcp.fetch`: carries an official MCP client's requests as the user, to the user's own endpoint and nowhere else. Each tools/call
// gets an idempotency key and follows the same limits and the same table of retries as `execute`; answers stream through unread.
import { ConfigError, OutcomeUnknownError, ResponseError, ValidationError } from '../errors.ts';
import { type GateScope, scopeOfMethod } from '../gate-ask.ts';
import { Turn } from '../gate-turn.ts';
import { type Operation, plan } from '../operation.ts';
import { type Answer, isRecord } from '../respond.ts';
import { tryParse } from '../rpc-answer.ts';
import { send } from '../send.ts';
import { whenAborted } from '../when-aborted.ts';
import { targetOf, type View } from './identity.ts';

/** A `fetch` for one MCP endpoint, as official MCP clients and frameworks take it. */
export type McpFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** A tool may take as long as the gateway allows; the client that uses this `fetch` has its own clock. */
const headersTimeoutMs = 315_000;

/** Said by us alone, or by the transport. */
const dropped = new Set([
  'authorization',
  'connection',
  'content-length',
  'cookie',
  'host',
  'idempotency-key',
  'transfer-encoding',
  'valet-idempotency-epoch',
  'x-alloy-user-token',
  'x-alloy-userid',
  'x-credential-id',
  'x-mcp-server-id',
  'x-redirect-uri',
  'x-valet-strict-user',
]);

/** Asking again changes nothing. */
const reads =
  /^(?:initialize|ping|server\/discover|completion\/complete|prompts\/get|resources\/read|(?:tools|prompts|resources|resources\/templates)\/list|notifications\/.*)$/;

interface Carried {
  method: string;
  headers: Headers;
  body: string | undefined;
  signal: AbortSignal | undefined;
}

async function read(input: string | URL | Request, init: RequestInit): Promise<Carried> {
  const request = input instanceof Request ? input : undefined;
  const headers = new Headers(request?.headers);
  for (const [name, value] of new Headers(init.headers)) headers.set(name, value);
  const given = init.body ?? (request?.body ? await request.text() : undefined);
  const body = given === undefined || typeof given === 'string' ? given : await new Response(given).text();
  return {
    method: (init.method ?? request?.method ?? 'GET').toUpperCase(),
    headers,
    body,
    signal: init.signal ?? request?.signal ?? undefined,
  };
}

/** The JSON-RPC method and the tool of a body, and what its messages count against; a batch has no method of its own. */
function spoken(body: string | undefined): { method?: string; tool?: string; scopes: GateScope[] } {
  const message = body === undefined ? undefined : tryParse(body);
  const methods = (Array.isArray(message) ? (message as unknown[]) : [message]).flatMap((each) =>
    isRecord(each) && typeof each['method'] === 'string' ? [each['method']] : [],
  );
  const scopes = methods.flatMap((method) => scopeOfMethod(method) ?? []);
  if (!isRecord(message) || typeof message['method'] !== 'string') return { scopes };
  const params = isRecord(message['params']) ? message['params'] : {};
  const isCall = message['method'] === 'tools/call' && typeof params['name'] === 'string';
  return { method: message['method'], ...(isCall && { tool: params['name'] as string }), scopes };
}

/** Each message of a batch counts at the server, though they go as one request: all but the last take their turn here. */
async function takeTurns(operation: Operation<Response>, scopes: readonly GateScope[], view: View): Promise<void> {
  const { name, userId, limit } = operation;
  for (const scope of scopes) {
    const turn = new Turn({ ...operation, limit: limit && { ...limit, scope } }, view.transport);
    const stopped = await turn.take({ operation: name, userId, attempts: 1, changes: true, secrets: [] });
    if (stopped?.how === 'denied') throw stopped.error;
    if (stopped) return;
    turn.done(undefined, undefined);
  }
}

function operationOf(view: View, carried: Carried, said: ReturnType<typeof spoken>): Operation<Response> {
  const { method, headers, body, signal } = carried;
  if (method !== 'POST' && method !== 'GET' && method !== 'DELETE') {
    throw new ValidationError({ message: 'method must be GET, POST or DELETE', path: 'method' });
  }
  const isRead = said.method !== undefined && reads.test(said.method);
  const free = Object.fromEntries([...headers].filter(([name]) => !dropped.has(name)));
  const target = targetOf(view);
  const operation = plan<Response>(
    view.transport,
    {
      kind: 'execution',
      name: 'mcp.fetch',
      method,
      ...target,
      accept: headers.get('accept') ?? '*/*',
      body: undefined,
      repeatable: method !== 'POST' || isRead,
      userId: view.userId,
      tool: said.tool,
      scope: said.scopes.at(-1) ?? 'nothing',
      reader: () => takeResponse(signal),
    },
    {
      ...(signal && { signal }),
      timeout: headersTimeoutMs,
      deadline: false,
      ...(headers.has('idempotency-key') && { idempotencyKey: headers.get('idempotency-key') ?? '' }),
      // Streams and sessions are the client's to open again.
      ...(method !== 'POST' && { maxRetries: 0 }),
      headers: view.defaults.headers ?? {},
    },
  );
  return { ...operation, headers: { ...operation.headers, ...free, ...target.headers }, body };
}

/** Passes a good answer on. The caller's signal goes on ending it until its body has been read. */
function takeResponse(signal: AbortSignal | undefined) {
  let taken: Response | undefined;
  return {
    onResponse: (response: Response, stop: () => void) => {
      taken = signal && response.body ? untilRead(response, response.body, signal, stop) : response;
    },
    read: () => {
      if (!taken) throw new ResponseError({ message: 'There is no answer to pass on' });
      return taken;
    },
  };
}

function untilRead(response: Response, body: ReadableStream<Uint8Array>, signal: AbortSignal, stop: () => void) {
  const release = whenAborted(signal, stop);
  const reader = body.getReader();
  const passed = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        release();
        controller.close();
      } catch (error) {
        release();
        controller.error(signal.aborted ? signal.reason : error);
      }
    },
    async cancel(reason) {
      release();
      await reader.cancel(reason);
    },
  });
  const { status, statusText } = response;
  return new Response(passed, { status, statusText, headers: decodedHeaders(response.headers) });
}

/** The body is decoded already, so the headers about its transfer no longer hold. */
function decodedHeaders(headers: Headers): Headers {
  const kept = new Headers(headers);
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) kept.delete(name);
  return kept;
}

function rebuild({ status, headers, bytes }: Answer): Response {
  return new Response([204, 205, 304].includes(status) ? null : bytes, { status, headers: decodedHeaders(headers) });
}

export function makeFetch(view: View): McpFetch {
  return async (input, init = {}) => {
    const asked = new URL(input instanceof Request ? input.url : input);
    const own = new URL(targetOf(view).url);
    if (asked.origin !== own.origin || asked.pathname !== own.pathname || asked.search !== '') {
      throw new ConfigError({
        message: "mcp.fetch goes to this user's MCP endpoint only",
        hint: 'Credentials are sent nowhere else; use another fetch for other URLs',
      });
    }
    const carried = await read(input, init);
    const said = spoken(carried.body);
    const operation = operationOf(view, carried, said);
    await takeTurns(operation, said.scopes.slice(0, -1), view);
    const end = await send(operation, view.transport);
    if (end.ok) return end.data;
    // An MCP client knows what a refusal with a status means; what nobody can know it must not guess.
    const isAnswered = end.answer !== undefined && (end.answer.status < 200 || end.answer.status > 299);
    if (isAnswered && end.answer && !(end.error instanceof OutcomeUnknownError)) return rebuild(end.answer);
    throw end.error;
  };
}

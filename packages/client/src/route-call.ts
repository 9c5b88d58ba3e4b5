// One route of the contract as a call: positional arguments in, wire form out, reply back in the caller's casing.
// The reply is data: read, renamed, masked, never trusted further.
import { headers as names, type RouteDefinition, toCamel, toSnake } from '@mcp-valet/shared';
import { type Call, type List, type Page, startCall, startList } from './call.ts';
import { AnswerLostError, ResponseError, ValidationError } from './errors.ts';
import { baseUrlOf, type Operation, plan, type Settled } from './operation.ts';
import type { CallOptions } from './options.ts';
import { makePage, nextPosition } from './page.ts';
import { checkUserId, fillPath, queryString } from './paths.ts';
import { maskOneTime } from './redact.ts';
import { type Answer, about, type CallContext, isRecord, parseJson, requestIdOf, unreadable } from './respond.ts';
import { revealed } from './secret.ts';
import { send } from './send.ts';
import type { Transport } from './transport.ts';

export interface RouteArguments {
  ids?: Readonly<Record<string, unknown>>;
  input?: unknown;
  options?: CallOptions | undefined;
  userId?: string | undefined;
}

const pathNames = (route: RouteDefinition): string[] =>
  [...route.path.matchAll(/\{([^}]+)\}/g)].map((found) => found[1] ?? '');

/** Path ids first, then the input if the route takes one, then options. */
export function positional(route: RouteDefinition, args: readonly unknown[]): RouteArguments {
  const names = pathNames(route);
  const ids = Object.fromEntries(names.map((name, at) => [name, args[at]]));
  const rest = args.slice(names.length);
  const hasInput = route.body !== undefined || route.query !== undefined;
  return {
    ids,
    input: hasInput ? rest[0] : undefined,
    options: (hasInput ? rest[1] : rest[0]) as CallOptions | undefined,
  };
}

type Given = () => RouteArguments | Promise<RouteArguments>;

/** A method of a namespace. */
export function callRoute(
  transport: Transport,
  name: string,
  route: RouteDefinition,
  args: readonly unknown[],
): Call<unknown> {
  const given = () => positional(route, args);
  return route.items === undefined
    ? routeCall(transport, name, route, given, (reply) => reply)
    : routeList(transport, name, route, given);
}

export function routeCall<T>(
  transport: Transport,
  name: string,
  route: RouteDefinition,
  given: Given,
  map: (reply: unknown) => T,
): Call<T> {
  return startCall(() => routeSend(transport, name, route, given, map));
}

/** What `routeCall` starts, for calls that are made of several. */
export async function routeSend<T>(
  transport: Transport,
  name: string,
  route: RouteDefinition,
  given: Given,
  map: (reply: unknown) => T,
): Promise<Settled<T>> {
  return send(routeOperation(transport, name, route, await given(), map), transport);
}

/** `given` is asked inside the call, so that a wrong argument rejects instead of throwing. */
export function routeList<T>(transport: Transport, name: string, route: RouteDefinition, given: Given): List<T> {
  return startList<T>(async () => {
    const all = await given();
    const query = isRecord(all.input) ? all.input : {};
    const toPage = (reply: unknown, answer: Answer, context: CallContext): Page<T> => {
      const items = isRecord(reply) ? reply[route.items ?? ''] : undefined;
      if (!isRecord(reply) || !Array.isArray(items))
        throw unreadable(`The answer has no list of ${route.items}`, context, answer);
      const position = nextPosition(reply, query, items.length);
      const total = reply['total'];
      const fetchNext = (): Call<Page<T>> => {
        if (!position) {
          return startCall(async () => {
            throw new ValidationError({ message: 'This is the last page', path: 'next', operation: name });
          });
        }
        const { cursor: _, offset: __, ...filters } = query;
        return routeList<T>(transport, name, route, () => ({ ...all, input: { ...filters, ...position } }));
      };
      return makePage(items as T[], typeof total === 'number' ? total : undefined, position !== undefined, fetchNext);
    };
    return send(routeOperation(transport, name, route, all, toPage), transport);
  });
}

/** A user named by `undefined` would silently become everybody, or the key's own user. */
function checkNamedUser(input: unknown): void {
  if (!isRecord(input)) return;
  for (const field of ['userId', 'username']) if (field in input) checkUserId(input[field], field);
}

/** Values of a body that an error must not repeat. */
function sensitiveOf(body: unknown): string[] {
  if (!isRecord(body)) return [];
  const fields = isRecord(body['fields']) ? Object.values(body['fields']) : [];
  return [body['secretValue'], body['api_key'], ...fields].map(revealed).filter((value) => value !== undefined);
}

export function routeOperation<T>(
  transport: Transport,
  name: string,
  route: RouteDefinition,
  given: RouteArguments,
  map: (reply: unknown, answer: Answer, context: CallContext) => T,
): Operation<T> {
  const { ids = {}, options } = given;
  checkNamedUser(given.input);
  checkNamedUser(ids);
  const isUsers = route.dialect === 'users';
  const input = isUsers ? toSnake(given.input) : given.input;
  if (input !== undefined && !isRecord(input))
    throw new ValidationError({ message: 'The input must be an object', path: 'input' });
  const query = route.query ? queryString(input) : '';
  const body = route.body ? input : undefined;
  const oneTime = isUsers
    ? route.oneTime?.map((key) => Object.keys(toCamel({ [key]: 0 }) as object)[0] ?? key)
    : route.oneTime;
  return plan<T>(
    transport,
    {
      kind: 'management',
      name,
      method: route.method,
      url: baseUrlOf(transport) + fillPath(route.path, ids) + query,
      template: route.path,
      accept: 'application/json',
      body,
      authorize: true,
      repeatable: route.idempotent === true || ['GET', 'PUT', 'DELETE'].includes(route.method),
      userId: given.userId,
      sensitive: sensitiveOf(body),
      reader: () => ({
        read: (answer, context) => {
          const reply = readObject(answer, context, route.method === 'GET' || route.method === 'POST');
          checkReply(transport, route, reply, answer, context);
          const shown = maskOneTime(isUsers ? toCamel(reply) : reply, oneTime);
          if (answer.headers.has(names.leftOut)) throw answerLost(shown, answer, context);
          return map(shown, answer, context);
        },
      }),
      ...(route.method === 'DELETE' && { done: () => doneReply(route, ids) as T }),
    },
    options,
  );
}

/** The repetition of a request whose first answer showed a secret: it was made, and what was shown is gone. */
function answerLost(resource: unknown, answer: Answer, context: CallContext): AnswerLostError {
  return new AnswerLostError({
    ...about(context),
    message: 'The first request was carried out; what its answer showed only once is lost',
    status: answer.status,
    requestId: requestIdOf(undefined, answer.headers),
    resource,
  });
}

/** Where the caller asked for it. A mismatch in what has already happened is no reason to lose it, unless the caller wants to know. */
function checkReply(
  transport: Transport,
  route: RouteDefinition,
  reply: unknown,
  answer: Answer,
  context: CallContext,
): void {
  const { responseValidation } = transport.config;
  const issues = reply === undefined ? [] : (responseValidation?.check(route.method, route.path, reply) ?? []);
  if (issues.length === 0) return;
  const requestId = requestIdOf(undefined, answer.headers);
  const message = 'The answer is not what the contract says';
  transport.log(
    'warn',
    () => `${context.operation}: ${message}: ${issues.join('; ')}${requestId ? `, ${requestId}` : ''}`,
  );
  if (responseValidation?.mode !== 'strict') return;
  throw new ResponseError({
    ...about(context),
    code: 'MISMATCHED_ANSWER',
    message,
    status: answer.status,
    requestId,
    details: { issues },
    ...(context.changes && { executed: 'yes' }),
  });
}

/** The body of a 2xx: an object. Nothing at all is an answer to what only changes or deletes, and with status 204. */
function readObject(answer: Answer, context: CallContext, mustAnswer: boolean): unknown {
  let reply: unknown;
  try {
    reply = parseJson(answer.bytes);
  } catch (error) {
    if (error instanceof SyntaxError) throw unreadable('The answer is not JSON', context, answer);
    throw error;
  }
  if (reply === undefined ? mustAnswer && answer.status !== 204 : !isRecord(reply))
    throw unreadable('The answer is not an object', context, answer);
  return reply;
}

/**
 * The reply of a DELETE whose first attempt got lost and whose second found nothing left: the contract's own literals and the
 * ids of the path.
 */
function doneReply(route: RouteDefinition, ids: Readonly<Record<string, unknown>>): unknown {
  const { shape } = route.reply as unknown as {
    shape: Record<string, { _zod: { def: { type: string; values?: unknown[] } } }>;
  };
  const reply = Object.entries(shape).map(([key, schema]) => [key, ids[key] ?? schema._zod.def.values?.[0]]);
  return Object.fromEntries(reply);
}

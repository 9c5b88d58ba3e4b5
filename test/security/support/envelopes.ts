// What every refusal must look like: a code and the request's id in the envelope of its kind of route, and never a word of the framework's.
import { isErrorCode } from '@mcp-valet/shared';
import { json, type Received } from './wire.ts';

const upstreamFaults = new Set(['UPSTREAM_ERROR', 'UPSTREAM_UNREACHABLE', 'UPSTREAM_TIMEOUT']);

// biome-ignore lint/suspicious/noExplicitAny: what came back is what is being examined
type Body = Record<string, any>;

/** What is wrong with an answer to a request that may have been anything; undefined: nothing. */
export function restFault(answer: Received): string | undefined {
  if (answer.status < 400)
    return answer.status < 300 && typeof json(answer.text) === 'object' ? undefined : `an answer without a JSON object`;
  const body = json(answer.text) as Body | undefined;
  if (typeof body !== 'object' || body === null) return 'an error that is no JSON object';
  const code: unknown = body['error']?.code ?? body['code'] ?? body['error'];
  const requestId: unknown = body['requestId'] ?? body['request_id'];
  if (typeof code !== 'string' || code === '') return 'an error without a code';
  if (typeof requestId !== 'string' || requestId === '' || requestId !== answer.headers['x-request-id'])
    return `an error whose request id is ${JSON.stringify(requestId)}`;
  if (answer.headers['x-should-retry'] === undefined) return 'an error without x-should-retry';
  if (answer.status >= 500 && !upstreamFaults.has(code.toUpperCase())) return `a ${answer.status}`;
  return leakedInternals(answer.text);
}

/** The same for an MCP endpoint: JSON-RPC, whatever happened. */
export function rpcFault(answer: Received): string | undefined {
  if (answer.status >= 500) return `a ${answer.status}`;
  // Too large for the HTTP parser: no route was found yet whose form the answer could have.
  if (answer.status === 431) return restFault(answer);
  if (answer.status === 202) return answer.text === '' ? undefined : 'a 202 with a body';
  if (String(answer.headers['content-type']).startsWith('text/event-stream')) return undefined;
  const body = json(answer.text) as Body | undefined;
  if (typeof body !== 'object' || body === null) return 'an answer that is no JSON';
  for (const each of Array.isArray(body) ? body : [body]) {
    const problem = messageFault(each as Body, answer);
    if (problem !== undefined) return problem;
  }
  return leakedInternals(answer.text);
}

function messageFault(body: Body, answer: Received): string | undefined {
  if (body['jsonrpc'] !== '2.0' || !Object.hasOwn(body, 'id')) return 'an answer that is no JSON-RPC';
  if (Object.hasOwn(body, 'result') === Object.hasOwn(body, 'error')) return 'neither or both of result and error';
  if (Object.hasOwn(body, 'result')) return answer.status === 200 ? undefined : `a result with status ${answer.status}`;
  const { code, message, data } = body['error'] as Body;
  if (!Number.isInteger(code) || typeof message !== 'string') return 'an error without code and message';
  if (typeof data?.requestId !== 'string' || data.requestId !== answer.headers['x-request-id'])
    return 'an error without the request id';
  if (data.code !== undefined && !isErrorCode(data.code) && data.code !== 'METHOD_NOT_ALLOWED')
    return `the unknown word ${data.code}`;
  return code === -32603 ? 'an internal error' : undefined;
}

/** Texts that only a library, a stack or the database would write. */
function leakedInternals(text: string): string | undefined {
  return /FST_ERR|node_modules|\bat .+:\d+:\d+|ECONN|PostgresError|PGlite|syntax error at|SyntaxError|Unexpected token|is not valid JSON at|drizzle/.exec(
    text,
  )?.[0];
}

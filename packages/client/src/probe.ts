// Two questions after a failure that may have run: does the server promise idempotency, and does the tool say that running twice is harmless?
// Each is one small request to the same URL as the same user. No answer is no promise. Decides nothing about the call itself.
import { attempt } from './attempt.ts';
import { ValetError } from './errors.ts';
import { Turn } from './gate-turn.ts';
import { randomKey } from './idempotency.ts';
import { aroundOf } from './middleware.ts';
import type { Operation } from './operation.ts';
import { type Answer, type CallContext, isRecord } from './respond.ts';
import { tryParse } from './rpc-answer.ts';
import type { Transport } from './transport.ts';

const patienceMs = 2000;
const maxPages = 5;
const maxPingBytes = 64 * 1024;

/** Asks once, whoever else is asking at the same time; the verdict of the transport then knows more, or not. */
export async function learnPromise(operation: Operation<unknown>, transport: Transport): Promise<void> {
  const { learned } = transport;
  learned.asking ??= ask(operation, transport).finally(() => {
    learned.asking = undefined;
  });
  await transport.unlessAborted(learned.asking, operation.signal);
}

async function ask(operation: Operation<unknown>, transport: Transport): Promise<void> {
  const { probe } = operation;
  if (probe === undefined) return;
  const body = probe.rpc ? { jsonrpc: '2.0', id: randomKey(), method: 'ping' } : undefined;
  const answer = await request(operation, transport, probe.url, body, maxPingBytes);
  if (answer) transport.learned.verdict.learn(answer.headers, answer.status < 300, performance.now());
  transport.log('debug', () => `probe for a promise of idempotency: ${answer?.status ?? 'no answer'}`);
}

/** True when the server's list says that the tool only reads, or that a second call changes nothing more. */
export async function isHarmless(operation: Operation<unknown>, transport: Transport): Promise<boolean> {
  const { tool, probe } = operation;
  if (tool === undefined || probe?.rpc !== true) return false;
  let cursor: unknown;
  for (let page = 0; page < maxPages; page++) {
    const params = cursor === undefined ? {} : { cursor };
    const asked = { jsonrpc: '2.0', id: randomKey(), method: 'tools/list', params };
    const asking = request(operation, transport, probe.url, asked, transport.config.maxResponseBytes);
    const result = resultOf(await transport.unlessAborted(asking, operation.signal));
    const tools = Array.isArray(result?.['tools']) ? (result['tools'] as unknown[]) : [];
    const found = tools.find((each) => isRecord(each) && each['name'] === tool);
    if (isRecord(found)) return saysHarmless(found['annotations']);
    cursor = result?.['nextCursor'];
    if (typeof cursor !== 'string') return false;
  }
  return false;
}

const saysHarmless = (hints: unknown): boolean =>
  isRecord(hints) && (hints['readOnlyHint'] === true || hints['idempotentHint'] === true);

function resultOf(answer: Answer | undefined): Record<string, unknown> | undefined {
  if (answer === undefined || answer.status !== 200) return undefined;
  const isStream = /^text\/event-stream\b/i.test(answer.headers.get('content-type') ?? '');
  const text = new TextDecoder().decode(answer.bytes);
  // One event with the answer is all that a list sends; `data:` lines of it are one JSON text.
  const json = isStream ? /^data: ?(.*)$/m.exec(text)?.[1] : text;
  const message = tryParse(json ?? '');
  return isRecord(message) && isRecord(message['result']) ? message['result'] : undefined;
}

/** One attempt without a key. Whatever goes wrong is no answer: the failure that led here is the one to report. */
async function request(
  operation: Operation<unknown>,
  transport: Transport,
  url: string,
  body: unknown,
  maxBytes: number,
): Promise<Answer | undefined> {
  const context: CallContext = { operation: 'probe', userId: undefined, attempts: 1, changes: false, secrets: [] };
  const method = body === undefined ? 'GET' : 'POST';
  const path = body === undefined ? '/status' : operation.template;
  const event = () => ({ operation: 'probe', method, path, attempt: 1, idempotencyKey: undefined });
  // It counts at the server, so it waits like every other request; with no room there is no answer.
  const { limit } = operation;
  const scoped = body === undefined ? ({ scope: 'management', user: '' } as const) : ({ scope: 'lists' } as const);
  const counted = limit && { ...limit, ...scoped, mode: 'auto' as const };
  const turn = new Turn({ ...operation, name: 'probe', limit: counted }, transport);
  if (await turn.take(context)) return undefined;
  let answer: Answer | undefined;
  let failure: ValetError | undefined;
  try {
    answer = await attempt({
      http: transport.direct,
      method,
      url,
      headers: async (): Promise<Record<string, string>> => {
        const { headers } = await transport.identity(operation.authorize);
        return { ...operation.headers, ...headers };
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      timeoutMs: patienceMs,
      remainingMs: undefined,
      signal: undefined,
      maxBytes,
      context,
      idempotencyKey: undefined,
      onEvent: () => true,
      fetchOptions: transport.config.fetchOptions,
      around: aroundOf(transport.config.middleware, event, context),
    });
  } catch (error) {
    if (!(error instanceof ValetError)) throw error;
    failure = error;
  } finally {
    turn.done(answer, failure);
  }
  return answer;
}

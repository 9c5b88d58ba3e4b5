// One logical call: attempt -> read -> classify -> decide -> again or done. The only file that knows this order.
// Failures of the call are values, so that `safe()` cannot reject. What may have run and cannot be known ends as
// OutcomeUnknownError, whichever failure came last.
import { aborted, attempt } from './attempt.ts';
import * as errors from './errors.ts';
import { checkKey, type IdempotencyPromise, randomKey } from './idempotency.ts';
import type { Meta, Operation, Settled } from './operation.ts';
import { classify, finalError, isReplay } from './outcome.ts';
import { type Answer, type CallContext, errorOfAnswer, parseJson, requestIdOf } from './respond.ts';
import { decide } from './retry.ts';
import { RetryBudget } from './retry-budget.ts';
import type { Transport } from './transport.ts';

export async function send<T>(operation: Operation<T>, transport: Transport): Promise<Settled<T>> {
  const { config, learned } = transport;
  const { signal } = operation;
  const startedAt = performance.now();
  const remainingMs = () =>
    operation.deadlineMs === undefined ? undefined : operation.deadlineMs - (performance.now() - startedAt);
  const believed = learned.verdict.current(startedAt);
  let epoch = believed?.epoch;
  let key =
    operation.method === 'POST'
      ? operation.idempotencyKey === undefined
        ? randomKey()
        : checkKey(operation.idempotencyKey)
      : undefined;
  let retries = 0;
  let polls = 0;
  let waitedMs = 0;
  let spent = 0;
  let refreshed = false;
  let mayHaveRun = false;
  let token: string | undefined;

  transport.assertOpen();
  for (let attempts = 1; ; attempts++) {
    const secrets = [token, ...operation.sensitive].filter((secret) => secret !== undefined);
    const changes = operation.method !== 'GET';
    const context: CallContext = { operation: operation.name, userId: operation.userId, attempts, changes, secrets };
    const reader = operation.reader();
    const sentAt = performance.now();
    const headers = async (): Promise<Record<string, string>> => {
      if (operation.authorize) {
        token = await transport.token();
        context.secrets = [token, ...operation.sensitive];
      }
      return {
        ...operation.headers,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(key !== undefined && { 'idempotency-key': key }),
        ...(attempts > 1 && { 'x-retry-count': String(attempts - 1) }),
        ...(attempts > 1 && epoch !== undefined && { 'valet-idempotency-epoch': epoch }),
      };
    };

    let answer: Answer | undefined;
    let error: errors.ValetError;
    try {
      answer = await attempt({
        http: transport.http,
        method: operation.method,
        url: operation.url,
        headers,
        body: operation.body,
        timeoutMs: operation.timeoutMs,
        remainingMs: remainingMs(),
        signal,
        maxBytes: config.maxResponseBytes,
        context,
        idempotencyKey: key,
        onEvent: reader.onEvent,
        fetchOptions: config.fetchOptions,
      });
      const ok = isOk(answer);
      learned.verdict.learn(answer.headers, ok, performance.now());
      if (!ok) throw errorOfAnswer(answer, parseOrNothing(answer), context);
      const data = reader.read(answer, context);
      if (config.retryBudget) learned.budget.earn(spent);
      log(transport, operation, `${answer.status}`, sentAt, attempts, answer);
      return { ok: true, data, meta: metaOf(answer, attempts, waitedMs, key), answer };
    } catch (thrown) {
      if (!(thrown instanceof errors.ValetError)) throw thrown;
      error = thrown;
    }
    log(transport, operation, error.code, sentAt, attempts, answer);

    if (operation.done && mayHaveRun && error instanceof errors.NotFoundError && answer) {
      return { ok: true, data: operation.done(), meta: metaOf(answer, attempts, waitedMs, key), answer };
    }
    const earlier = mayHaveRun;
    mayHaveRun ||= error.executed === 'unknown' && !(error instanceof errors.OutcomeUnknownError);
    const kind = classify(error, isOk(answer), reader.delivered?.() ?? false);
    const cost = kind === 'limited' ? 'limited' : 'other';
    const promise = config.idempotency === 'never' ? undefined : learned.verdict.current(performance.now());
    epoch ??= promise?.epoch;
    const decision = decide(kind, {
      repeatable: operation.repeatable,
      promised: key !== undefined && isPromised(promise, believed, performance.now() - startedAt),
      ownKey: operation.idempotencyKey === undefined,
      shouldRetry: shouldRetry(answer),
      retries,
      maxRetries: operation.maxRetries,
      polls,
      affordable: !config.retryBudget || learned.budget.affords(cost),
      refreshable: operation.authorize && typeof config.token === 'function' && !refreshed,
      retryAfterMs: error.retryAfterMs,
      remainingMs: remainingMs(),
      random: Math.random(),
    });

    const last = () => ({
      ok: false as const,
      error: finalError(error, operation, { key, earlier, running: kind === 'running' || polls > 0, answer, context }),
      answer,
    });
    if (decision.action === 'stop') {
      if (kind !== 'final') transport.log('info', () => `${operation.name}: not retried, ${decision.reason}`);
      return last();
    }
    if (decision.costs === 'retry') {
      retries++;
      if (config.retryBudget) learned.budget.spend(cost);
      spent += RetryBudget.cost(cost);
    }
    if (kind === 'running') polls++;
    if (decision.refresh) refreshed = true;
    if (decision.newKey && key !== undefined) key = randomKey();
    const ending = await transport.sleep(decision.delayMs, signal);
    waitedMs += decision.delayMs;
    if (ending === 'closed') return last();
    if (ending === 'aborted') {
      return { ok: false, error: aborted({ signal, context, idempotencyKey: key }, mayHaveRun), answer };
    }
  }
}

const isOk = (answer: Answer | undefined): boolean =>
  answer !== undefined && answer.status >= 200 && answer.status < 300;

/** A promise first heard during this call counts only if it survives a restart in between. */
function isPromised(
  promise: IdempotencyPromise | undefined,
  before: IdempotencyPromise | undefined,
  ageMs: number,
): boolean {
  if (!promise || ageMs > promise.ttlMs) return false;
  return promise.durable || before?.epoch === promise.epoch;
}

function shouldRetry(answer: Answer | undefined): boolean | undefined {
  const header = answer?.headers.get('x-should-retry');
  return header === 'true' ? true : header === 'false' ? false : undefined;
}

/** A body that is not JSON says nothing; the status does. */
function parseOrNothing(answer: Answer): unknown {
  try {
    return parseJson(answer.bytes);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function metaOf(answer: Answer, attempts: number, waitedMs: number, idempotencyKey: string | undefined): Meta {
  const { status, headers } = answer;
  const requestId = requestIdOf(undefined, headers);
  return { requestId, status, headers, attempts, waitedMs, idempotencyKey, replayed: isReplay(answer) };
}

function log(
  transport: Transport,
  of: Operation<unknown>,
  outcome: string,
  sentAt: number,
  attempts: number,
  answer: Answer | undefined,
) {
  transport.log('debug', () => {
    const request = answer ? requestIdOf(undefined, answer.headers) : undefined;
    const size = answer ? `, ${answer.bytes.length} bytes` : '';
    const took = Math.round(performance.now() - sentAt);
    return `${of.method} ${of.template}: ${outcome}, ${took} ms${size}, attempt ${attempts}${request ? `, ${request}` : ''}`;
  });
}

// One logical call: attempt -> read -> classify -> decide -> again or done. The only file that knows this order.
// Failures of the call are values, so that `safe()` cannot reject. What may have run and cannot be known ends as
// OutcomeUnknownError, whichever failure came last.
import { headers as names } from '@mcp-valet/shared';
import { aborted, attempt } from './attempt.ts';
import * as errors from './errors.ts';
import { Turn } from './gate-turn.ts';
import type { RequestEvent, RetryReason } from './hooks.ts';
import { checkKey, isPromised, KeyAge, randomKey } from './idempotency.ts';
import { aroundOf } from './middleware.ts';
import { tell, watched } from './observe.ts';
import type { Meta, Operation, Settled } from './operation.ts';
import { classify, finalError, isReplay } from './outcome.ts';
import { isHarmless, learnPromise } from './probe.ts';
import { nameOf } from './redact.ts';
import { type Answer, type CallContext, errorOfAnswer, parseJson, requestIdOf, unreadable } from './respond.ts';
import { decide, type FailureKind } from './retry.ts';
import { RetryBudget } from './retry-budget.ts';
import type { Transport } from './transport.ts';

/** `verify` looks at the end once more, before anybody is told of it. */
export function send<T>(
  operation: Operation<T>,
  transport: Transport,
  verify?: (end: Settled<T>) => Promise<Settled<T>>,
): Promise<Settled<T>> {
  const work = verify ? run(operation, transport).then(verify) : run(operation, transport);
  return transport.config.hooks?.error ? watched(operation, transport, work) : work;
}

async function run<T>(operation: Operation<T>, transport: Transport): Promise<Settled<T>> {
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
  let age = new KeyAge();
  let sentUnderKey = 0;
  let tokens: readonly string[] = [];
  let refused: Settled<T> | undefined;
  const turn = new Turn(operation, transport);
  const metaNow = (of: Answer, attempts: number) =>
    metaOf(of, attempts, waitedMs + turn.waitedMs, key, operation.limit && turn.snapshot());

  transport.assertOpen();
  for (let attempts = 1; ; attempts++) {
    const secrets = [...tokens, ...operation.sensitive];
    const changes = operation.method !== 'GET';
    const context: CallContext = { operation: operation.name, userId: operation.userId, attempts, changes, secrets };
    const stopped = await turn.take(context);
    if (stopped) {
      // One that was refused by the server ends as what the server said.
      if (refused && stopped.how !== 'aborted') return refused;
      const why =
        stopped.how === 'denied'
          ? stopped.error
          : stopped.how === 'closed'
            ? transport.closedError()
            : aborted({ signal, context: { ...context, attempts: attempts - 1 }, idempotencyKey: key }, mayHaveRun);
      const doubt = { key, earlier: mayHaveRun, running: polls > 0, answer: undefined, context };
      return { ok: false, error: finalError(why, operation, doubt), answer: undefined };
    }
    const reader = operation.reader();
    const event = eventOf(operation, attempts, key);
    tell(transport, 'request', event);
    const sentAt = performance.now();
    const headers = async (): Promise<Record<string, string>> => {
      const identity = await transport.identity(operation.authorize);
      tokens = identity.secrets;
      context.secrets = [...tokens, ...operation.sensitive];
      return {
        ...operation.headers,
        ...identity.headers,
        ...(key !== undefined && { 'idempotency-key': key }),
        ...(attempts > 1 && { 'x-retry-count': String(attempts - 1) }),
        ...(sentUnderKey++ > 0 && epoch !== undefined && { [names.idempotencyEpoch]: epoch }),
      };
    };

    let answer: Answer | undefined;
    let error: errors.ValetError;
    try {
      answer = await attempt({
        http: operation.tool === undefined ? transport.http : transport.direct,
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
        onResponse: reader.onResponse,
        fetchOptions: config.fetchOptions,
        around: aroundOf(config.middleware, event, context),
        // At once: the promise of an answer whose body is then lost counts for its repetition.
        onHead: (head) => learned.verdict.learn(head, false, performance.now()),
      });
      if (!isOk(answer)) throw errorOfAnswer(answer, parseOrNothing(answer), context);
      const data = reader.read(answer, context);
      // Only now: what cannot be read as an answer comes from something in between, which takes no promise back.
      learned.verdict.learn(answer.headers, true, performance.now());
      if (config.retryBudget) learned.budget.earn(spent);
      turn.done(answer, undefined);
      ended(transport, event, undefined, sentAt, answer);
      return { ok: true, data, meta: metaNow(answer, attempts), answer };
    } catch (thrown) {
      const failure = failureOf(thrown, answer, context);
      turn.done(answer, failure);
      if (failure === undefined) throw thrown;
      error = failure;
    }
    ended(transport, event, error.code, sentAt, answer);

    if (operation.done && mayHaveRun && error instanceof errors.NotFoundError && answer) {
      return { ok: true, data: operation.done(), meta: metaNow(answer, attempts), answer };
    }
    const earlier = mayHaveRun;
    mayHaveRun ||= error.executed === 'unknown' && !(error instanceof errors.OutcomeUnknownError);
    const kind = classify(error, isOk(answer), reader.delivered?.() ?? false);
    const cost = kind === 'limited' ? 'limited' : 'other';
    const believes = config.idempotency === 'auto' && !operation.cancels;
    const isOpen =
      key !== undefined && !operation.repeatable && error.executed !== 'no' && needsPermission(kind, answer);
    const worthAsking = isOpen && retries < operation.maxRetries;
    if (worthAsking && believes && !learned.verdict.isKnown(performance.now()))
      await learnPromise(operation, transport);
    const promise = believes ? learned.verdict.current(performance.now()) : undefined;
    epoch ??= promise?.epoch;
    const promised = key !== undefined && isPromised(promise, believed, age.ms());
    const harmless = worthAsking && !promised && config.trustToolHints && (await isHarmless(operation, transport));
    const affordable = !config.retryBudget || learned.budget.affords(cost);
    const isQueued = kind === 'limited' && operation.limit !== undefined;
    const decision = isQueued
      ? turn.decide({ shouldRetry: shouldRetry(answer), maxRetries: operation.maxRetries, affordable })
      : decide(kind, {
          repeatable: operation.repeatable || harmless,
          promised,
          believes,
          ownKey: operation.idempotencyKey === undefined,
          settled: !earlier || isReplay(answer),
          shouldRetry: shouldRetry(answer),
          retries,
          maxRetries: operation.maxRetries,
          polls,
          affordable,
          refreshable: transport.isRefreshable(operation.authorize) && !refreshed,
          retryAfterMs: error.retryAfterMs,
          remainingMs: remainingMs(),
          random: Math.random(),
        });

    const last = () => ({
      ok: false as const,
      error: finalError(error, operation, { key, earlier, running: kind === 'running' || polls > 0, answer, context }),
      answer,
    });
    if (signal?.aborted && kind !== 'final') {
      return { ok: false, error: aborted({ signal, context, idempotencyKey: key }, mayHaveRun), answer };
    }
    if (decision.action === 'stop') {
      if (kind !== 'final') transport.log('info', () => `${operation.name}: not retried, ${decision.reason}`);
      return last();
    }
    refused = isQueued ? last() : undefined;
    if (decision.costs === 'retry') {
      if (!isQueued) retries++;
      if (config.retryBudget) learned.budget.spend(cost);
      spent += RetryBudget.cost(cost);
    }
    if (kind === 'running') polls++;
    if (decision.refresh) refreshed = true;
    if (decision.newKey && key !== undefined) {
      // Nothing ran under the old key, nor will it: what was stored under it says so.
      key = randomKey();
      age = new KeyAge();
      sentUnderKey = 0;
      epoch = promise?.epoch;
      mayHaveRun = false;
    }
    tell(transport, 'retry', () => ({
      ...event(),
      reason: kind as RetryReason,
      delayMs: decision.delayMs || (isQueued ? turn.snapshot().retryAfterMs : 0),
      code: error.code,
      status: error.status,
      requestId: error.requestId,
    }));
    if (isQueued && decision.delayMs === 0) continue;
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

/** What cannot be read for a reason that nobody foresaw, such as a body nested too deeply, is no answer. Before an answer it is our own fault. */
function failureOf(thrown: unknown, answer: Answer | undefined, context: CallContext): errors.ValetError | undefined {
  if (thrown instanceof errors.ValetError) return thrown;
  return answer && unreadable(`The answer cannot be read: ${nameOf(thrown)}`, context, answer);
}

/** Failures after which only a promise, or a harmless tool, permits another attempt. */
function needsPermission(kind: FailureKind, answer: Answer | undefined): boolean {
  const told = shouldRetry(answer);
  return (kind === 'lost' || (kind === 'unavailable' && told !== true)) && told !== false;
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

function metaOf(
  answer: Answer,
  attempts: number,
  waitedMs: number,
  idempotencyKey: string | undefined,
  rateLimit: Meta['rateLimit'],
): Meta {
  const { status, headers } = answer;
  const requestId = requestIdOf(undefined, headers);
  return { requestId, status, headers, attempts, waitedMs, rateLimit, idempotencyKey, replayed: isReplay(answer) };
}

/** One request as observers and middleware may see it. Made when somebody looks. */
const eventOf =
  ({ name, method, template }: Operation<unknown>, attempt: number, idempotencyKey: string | undefined) =>
  (): RequestEvent => ({ operation: name, method, path: template, attempt, idempotencyKey });

/** Tells that an attempt is over: the log, and whoever observes. `code`: of the error that it ended with. */
function ended(
  transport: Transport,
  event: () => RequestEvent,
  code: string | undefined,
  sentAt: number,
  answer: Answer | undefined,
) {
  const durationMs = performance.now() - sentAt;
  const facts = () => ({
    ...event(),
    status: answer?.status,
    code,
    requestId: answer && requestIdOf(undefined, answer.headers),
    durationMs,
    bytes: answer?.bytes.length,
  });
  tell(transport, 'response', facts);
  transport.log('debug', () => {
    const { method, path, status, requestId, bytes, attempt } = facts();
    const size = bytes === undefined ? '' : `, ${bytes} bytes`;
    const id = requestId === undefined ? '' : `, ${requestId}`;
    return `${method} ${path}: ${code ?? status}, ${Math.round(durationMs)} ms${size}, attempt ${attempt}${id}`;
  });
}

// Tells observers. Their events are frozen, and nothing that an observer does, or fails to do, reaches the call.
import type { ValetError } from './errors.ts';
import type { Hooks } from './hooks.ts';
import type { Operation, Settled } from './operation.ts';
import { nameOf } from './redact.ts';
import type { Transport } from './transport.ts';

type EventOf<K extends keyof Hooks> = Parameters<NonNullable<Hooks[K]>>[0];

/** Tells an observer. `event` is made only if there is one. */
export function tell<K extends keyof Hooks>(transport: Transport, name: K, event: () => EventOf<K>): void {
  const hooks = transport.config.hooks;
  if (!hooks?.[name]) return;
  const failed = (error: unknown) => transport.log('warn', () => `hooks.${name} threw ${nameOf(error)}`);
  try {
    // One that is an async function fails later, and must not end the process then.
    const told: unknown = (hooks[name] as (event: object) => unknown)(Object.freeze(event()));
    if (told instanceof Promise) told.catch(failed);
  } catch (error) {
    failed(error);
  }
}

type Watched = Pick<Operation<unknown>, 'name' | 'method' | 'template'>;

/** Tells of the failure of `work`, whichever way it fails. */
export async function watched<T>(of: Watched, transport: Transport, work: Promise<Settled<T>>): Promise<Settled<T>> {
  const startedAt = performance.now();
  const failed = (thrown: unknown) =>
    tell(transport, 'error', () => {
      const error = thrown as Partial<ValetError>;
      return {
        operation: of.name,
        method: of.method,
        path: of.template,
        name: nameOf(thrown),
        code: error.code ?? 'UNEXPECTED',
        status: error.status,
        requestId: error.requestId,
        attempts: error.attempts ?? 0,
        durationMs: performance.now() - startedAt,
        retryable: error.retryable ?? false,
        executed: error.executed ?? 'unknown',
        retryAfterMs: error.retryAfterMs,
      };
    });
  try {
    const end = await work;
    if (!end.ok) failed(end.error);
    return end;
  } catch (error) {
    failed(error);
    throw error;
  }
}

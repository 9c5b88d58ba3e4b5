// The clock of one call: a deadline and the caller's own cancellation in one signal. By hand, because AbortSignal.any with a long-lived
// signal keeps memory on Node 20. Waiting for a person stops it, and progress gives it more time, up to the longest call there is.
import { performance } from 'node:perf_hooks';
import { limits } from '@mcp-valet/shared';

export interface CallClock {
  signal: AbortSignal;
  timeoutMs: number;
  elapsedMs(): number;
  /** Of that, what was spent waiting for upstreams; `waited` adds to it. */
  readonly upstreamMs: number;
  waited(ms: number): void;
  /** Stops the deadline until the returned function is called. */
  hold(): () => void;
  /** Starts the time anew, as long as the call stays below the longest allowed. */
  extend(): void;
  stop(): void;
}

const running = new WeakMap<AbortSignal, CallClock>();

/** The clock that a call's signal belongs to. */
export const clockOf = (signal: AbortSignal): CallClock | undefined => running.get(signal);

export function startClock(timeoutMs: number, caller: AbortSignal | null, now = () => performance.now()): CallClock {
  const controller = new AbortController();
  const startedAt = now();
  let deadline = startedAt + timeoutMs;
  let heldMs = 0;
  let heldSince = startedAt;
  let isStopped = false;
  let holds = 0;
  let upstreamMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const arm = (): void => {
    clearTimeout(timer);
    if (holds > 0) return;
    const expire = (): void => controller.abort(new DOMException('The call took too long', 'TimeoutError'));
    timer = setTimeout(expire, Math.max(0, deadline - now()));
    timer.unref();
  };
  arm();
  const onCancel = (): void => controller.abort(new DOMException('The caller is gone', 'AbortError'));
  if (caller?.aborted) onCancel();
  else caller?.addEventListener('abort', onCancel, { once: true });
  const clock: CallClock = {
    signal: controller.signal,
    timeoutMs,
    elapsedMs: () => Math.round(now() - startedAt),
    get upstreamMs() {
      return upstreamMs;
    },
    waited(ms) {
      upstreamMs += ms;
    },
    hold() {
      if (holds++ === 0) heldSince = now();
      arm();
      return () => {
        if (--holds > 0 || isStopped) return;
        const waited = now() - heldSince;
        heldMs += waited;
        deadline += waited;
        arm();
      };
    },
    extend() {
      const latest = startedAt + heldMs + Math.max(timeoutMs, limits.maxCallTimeoutMs);
      deadline = Math.max(deadline, Math.min(now() + timeoutMs, latest));
      arm();
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
      caller?.removeEventListener('abort', onCancel);
    },
  };
  running.set(controller.signal, clock);
  return clock;
}

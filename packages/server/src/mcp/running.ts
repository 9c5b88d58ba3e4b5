// A call while it runs, as something that ends when its caller's access does: one signal for that and for the caller's own leaving.
import type { LiveUse } from '../live-use.ts';
import { Refusal } from '../refusal.ts';
import { ownerOf } from './owner.ts';
import type { UserCall } from './request.ts';

export interface RunningCall {
  signal: AbortSignal;
  /** Set when the access ended while it ran: what became of it is not known. */
  ended(): Refusal | undefined;
  leave(): void;
}

export function enterCall(live: LiveUse, call: UserCall): RunningCall {
  const controller = new AbortController();
  const { signal: caller } = call;
  const onGone = (): void => controller.abort();
  if (caller?.aborted) onGone();
  else caller?.addEventListener('abort', onGone, { once: true });
  let hasEnded = false;
  const remove = live.add({
    owner: ownerOf(call),
    end: async () => {
      hasEnded = true;
      controller.abort();
    },
    changed: () => undefined,
  });
  return {
    signal: controller.signal,
    ended: () =>
      hasEnded
        ? new Refusal('FORBIDDEN', 'The access ended while the call ran; whether it took effect is not known', {
            reason: 'access_ended',
            executed: 'unknown',
          })
        : undefined,
    leave() {
      remove();
      caller?.removeEventListener('abort', onGone);
    },
  };
}

// Hears of an AbortSignal: one listener of ours on each signal, however many calls wait for it. Node warns of an eleventh.

interface Listener {
  readonly callbacks: Set<() => void>;
  readonly tell: () => void;
}

const listeners = new WeakMap<AbortSignal, Listener>();

function listen(signal: AbortSignal): Listener {
  const callbacks = new Set<() => void>();
  const tell = () => {
    for (const run of callbacks) run();
  };
  signal.addEventListener('abort', tell, { once: true });
  const listener = { callbacks, tell };
  listeners.set(signal, listener);
  return listener;
}

/** Calls `run` when the signal fires; not if it already has. Returns what ends that; the last to leave takes the listener along. */
export function whenAborted(signal: AbortSignal | undefined, run: () => void): () => void {
  if (signal === undefined) return () => undefined;
  const listener = listeners.get(signal) ?? listen(signal);
  listener.callbacks.add(run);
  return () => {
    if (!listener.callbacks.delete(run) || listener.callbacks.size > 0) return;
    signal.removeEventListener('abort', listener.tell);
    listeners.delete(signal);
  };
}

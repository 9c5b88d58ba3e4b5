// Waiting with an end, and remembering within bounds. Pure but for timers.

const maxRemembered = 10_000;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The work, or the signal's reason when that comes first. The work goes on. */
export function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** The work outlives whoever waits for it. Undefined when `ms` are over first. */
export async function patiently<T>(work: Promise<T>, signal: AbortSignal | null): Promise<T>;
export async function patiently<T>(
  work: Promise<T>,
  signal: AbortSignal | null,
  ms: number | undefined,
): Promise<T | undefined>;
export async function patiently<T>(work: Promise<T>, signal: AbortSignal | null, ms?: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((resolve) => {
    if (ms !== undefined) timer = setTimeout(() => resolve(undefined), ms);
  });
  const waited = ms === undefined ? work : Promise.race([work, over]);
  try {
    return await (signal === null ? waited : withSignal(waited, signal));
  } finally {
    clearTimeout(timer);
  }
}

/** Keeps the newest entries: what is forgotten costs one more attempt. */
export function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  if (map.size >= maxRemembered) map.delete(map.keys().next().value as string);
  map.set(key, value);
}

// Data of a page: loaded when it opens and when its inputs change, kept on screen while it is read again.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { noteError } from './gateway.ts';

export interface Load<T> {
  data: T | undefined;
  error: unknown;
  isLoading: boolean;
  reload: () => void;
}

/** `inputs` are what `read` depends on. An answer that comes after a newer question is dropped. */
export function useLoad<T>(read: () => Promise<T>, inputs: readonly unknown[]): Load<T> {
  const [state, setState] = useState<{ data: T | undefined; error: unknown; isLoading: boolean }>({
    data: undefined,
    error: undefined,
    isLoading: true,
  });
  const turn = useRef(0);
  const reload = useCallback(() => {
    const mine = ++turn.current;
    setState((before) => ({ ...before, isLoading: true }));
    read().then(
      (data) => mine === turn.current && setState({ data, error: undefined, isLoading: false }),
      (error: unknown) => {
        noteError(error);
        if (mine === turn.current) setState((before) => ({ ...before, error, isLoading: false }));
      },
    );
  }, inputs);
  useEffect(() => {
    reload();
    return () => void turn.current++;
  }, [reload]);
  return { ...state, reload };
}

/** As above, again every few seconds while the page is visible and `isOn`. */
export function useRepeated(isOn: boolean, everyMs: number, again: () => void): void {
  useEffect(() => {
    if (!isOn) return;
    const timer = setInterval(() => document.visibilityState === 'visible' && again(), everyMs);
    return () => clearInterval(timer);
  }, [isOn, everyMs, again]);
}

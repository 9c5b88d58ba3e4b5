// The limiter plugin's store interface over our windows. Knows no arithmetic and no failure: an error is the limiter's to answer.
import type { WhenDown, Windows } from './shared-windows.ts';
import type { WindowState } from './window.ts';

type Callback = (error: Error | null, result?: WindowState) => void;

/** What a limiter of the plugin is made with besides the plugin's own options. */
export interface LimiterOptions {
  whenDown?: WhenDown;
}

interface Store {
  incr(key: string, callback: Callback, timeWindow: number, max: number): void;
  read(key: string, callback: Callback, timeWindow: number, max: number): void;
  child(options: object): Store;
}

export function storeClass(windows: Windows): new (options?: LimiterOptions) => Store {
  return class PluginStore implements Store {
    readonly #whenDown: WhenDown;
    constructor(options: LimiterOptions = {}) {
      this.#whenDown = options.whenDown ?? 'own';
    }
    incr(key: string, callback: Callback, timeWindow: number, max: number): void {
      answer(() => windows.take(key, timeWindow, max, this.#whenDown), callback);
    }
    read(key: string, callback: Callback, timeWindow: number, max: number): void {
      answer(() => windows.peek(key, timeWindow, max), callback);
    }
    child(options: object): PluginStore {
      return new PluginStore(options);
    }
  };
}

function answer(ask: () => WindowState | Promise<WindowState>, callback: Callback): void {
  // In one process the answer is there at once, and no turn is lost.
  try {
    const state = ask();
    if (state instanceof Promise) {
      state.then(
        (found) => callback(null, found),
        (error: unknown) => callback(error as Error),
      );
    } else callback(null, state);
  } catch (error) {
    callback(error as Error);
  }
}

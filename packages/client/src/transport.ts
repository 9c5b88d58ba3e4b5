// What all calls of one client share: checked options, the HTTP function, what was learned about the server, who is waiting.
import ky from 'ky';
import type { Http } from './attempt.ts';
import { ConfigError } from './errors.ts';
import { Gate } from './gate.ts';
import { Verdict } from './idempotency.ts';
import { type Config, checkToken, type LogLevel } from './options.ts';
import { RetryBudget } from './retry-budget.ts';

const levels: readonly LogLevel[] = ['off', 'error', 'warn', 'info', 'debug'];

/** Kept over `withOptions` unless the server or the credential changes. */
export interface Learned {
  verdict: Verdict;
  budget: RetryBudget;
  gate: Gate;
  /** A probe under way, shared by all calls that wait for its word. */
  asking?: Promise<void> | undefined;
}

export class Transport {
  readonly config: Config;
  readonly learned: Learned;
  /** For management. */
  readonly http: Http;
  /**
   * For executions: ky makes a Request of its own before fetch makes another, which costs as much as a whole call does otherwise, and here it has
   * nothing to add.
   */
  readonly direct: Http;
  readonly #sleepers = new Set<() => void>();
  #closed = false;

  constructor(
    config: Config,
    learned: Learned = { verdict: new Verdict(), budget: new RetryBudget(), gate: new Gate() },
  ) {
    this.config = config;
    this.learned = learned;
    // ky's own retry knows no idempotency key, and 'error' instead of 'manual' makes workerd throw.
    this.http = ky.create({
      retry: 0,
      throwHttpErrors: false,
      redirect: 'manual',
      timeout: false,
      ...(config.fetch && { fetch: config.fetch }),
    });
    const { fetch } = config;
    this.direct = (url, init) => (fetch ?? globalThis.fetch)(url, { ...init, redirect: 'manual' });
  }

  assertOpen(): void {
    if (this.#closed) throw this.closedError();
  }

  closedError(): ConfigError {
    return new ConfigError({ message: 'The client is closed' });
  }

  /** The key in clear, for one request. A failing function is told without its message, which may hold the key. */
  async token(): Promise<string> {
    const { token } = this.config;
    if (typeof token !== 'function') return checkToken(token);
    let text: unknown;
    try {
      text = await token();
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      throw new ConfigError({ message: `The apiKey function failed with ${name}` });
    }
    return checkToken(text);
  }

  /** Waits. Tells what ended the wait. */
  sleep(ms: number, signal: AbortSignal | undefined): Promise<'over' | 'aborted' | 'closed'> {
    if (this.#closed) return Promise.resolve('closed');
    return new Promise((resolve) => {
      const finish = (how: 'over' | 'aborted' | 'closed') => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#sleepers.delete(onClose);
        resolve(how);
      };
      const onAbort = () => finish('aborted');
      const onClose = () => finish('closed');
      // Not unref'ed: while somebody awaits the retry nothing else may keep the process alive.
      const timer = setTimeout(() => finish('over'), ms);
      if (signal?.aborted) return finish('aborted');
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#sleepers.add(onClose);
    });
  }

  /** What `work` resolves to; nothing as soon as the signal fires or the client is closed, whatever becomes of the work. */
  async unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
    if (this.#closed || signal?.aborted) return undefined;
    let leave = (): void => undefined;
    const left = new Promise<undefined>((resolve) => {
      leave = () => resolve(undefined);
    });
    signal?.addEventListener('abort', leave, { once: true });
    this.#sleepers.add(leave);
    try {
      return await Promise.race([work, left]);
    } finally {
      signal?.removeEventListener('abort', leave);
      this.#sleepers.delete(leave);
    }
  }

  /** Ends every wait; calls in flight finish, new ones are refused. */
  close(): void {
    this.#closed = true;
    for (const wake of this.#sleepers) wake();
  }

  log(level: Exclude<LogLevel, 'off'>, message: () => string): void {
    const { logger, logLevel } = this.config;
    if (levels.indexOf(level) <= levels.indexOf(logLevel)) logger[level](`[mcp-valet] ${message()}`);
  }
}

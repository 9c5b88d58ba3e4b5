// What all calls of one client share: checked options, the HTTP function, what was learned about the server, who is waiting.
import { headers as names } from '@mcp-valet/shared';
import type { Http } from './attempt.ts';
import { ConfigError } from './errors.ts';
import { Gate } from './gate.ts';
import { Verdict } from './idempotency.ts';
import { type Config, checkToken, type LogLevel, type TokenSource } from './options.ts';
import { part } from './part.ts';
import { RetryBudget } from './retry-budget.ts';
import { gateNameOf } from './user-token.ts';
import { whenAborted } from './when-aborted.ts';

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
  /** For management: ky. */
  readonly http: () => Promise<Http>;
  /**
   * For executions and probes: ky makes a Request of its own before fetch makes another, which costs as much as a whole call does otherwise, and
   * here it has nothing to add.
   */
  readonly direct: () => Http;
  /** The token of the one user for whom everything here is; names nobody. */
  readonly user: TokenSource | undefined;
  /** What stands for that user at the gate. */
  readonly gateUser: string;
  readonly #life: { sleepers: Set<() => void>; isClosed: boolean };

  constructor(
    config: Config,
    learned: Learned = { verdict: new Verdict(), budget: new RetryBudget(), gate: new Gate() },
    own?: { user: TokenSource; of: Transport },
  ) {
    this.config = config;
    this.learned = learned;
    this.user = own?.user;
    this.gateUser = own ? gateNameOf(own.user) : '';
    this.#life = own ? own.of.#life : { sleepers: new Set(), isClosed: false };
    if (own) {
      this.http = own.of.http;
      this.direct = own.of.direct;
      return;
    }
    const { fetch } = config;
    let made: Http | undefined;
    this.http = async () => (made ??= await kyOf(fetch));
    const direct: Http = (url, init) => (fetch ?? globalThis.fetch)(url, init);
    this.direct = () => direct;
  }

  assertOpen(): void {
    if (this.#life.isClosed) throw this.closedError();
  }

  closedError(): ConfigError {
    return new ConfigError({ message: 'The client is closed' });
  }

  /** The same, for the user of a token. Closed with this one. */
  asUser(user: TokenSource): Transport {
    return new Transport(this.config, this.learned, { user, of: this });
  }

  /** A function is asked once more when the server refuses what it gave. */
  isRefreshable(authorize: boolean): boolean {
    return typeof this.user === 'function' || (authorize && typeof this.config.token === 'function');
  }

  /** The key in clear, for one request. */
  async token(): Promise<string> {
    const { token } = this.config;
    if (token !== undefined) return inClear(token, 'apiKey');
    throw new ConfigError({
      message: 'apiKey is missing',
      hint: 'Pass apiKey or set MCP_VALET_API_KEY; a user with a token of their own is forUser({ token })',
    });
  }

  /** The headers that say who calls, for one request: the key, the user's token beside it, or that token alone. */
  async identity(authorize: boolean): Promise<{ headers: Record<string, string>; secrets: string[] }> {
    const user = this.user === undefined ? undefined : await inClear(this.user, 'token');
    const isAlone = authorize && user !== undefined && this.config.token === undefined;
    const bearer = isAlone ? user : authorize ? await this.token() : undefined;
    return {
      headers: {
        ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
        ...(user !== undefined && !isAlone && { [names.userToken]: user }),
      },
      secrets: [...new Set([bearer, user])].filter((text) => text !== undefined),
    };
  }

  /** Waits. Tells what ended the wait. */
  sleep(ms: number, signal: AbortSignal | undefined): Promise<'over' | 'aborted' | 'closed'> {
    if (this.#life.isClosed) return Promise.resolve('closed');
    return new Promise((resolve) => {
      const finish = (how: 'over' | 'aborted' | 'closed') => {
        clearTimeout(timer);
        stopListening();
        this.#life.sleepers.delete(onClose);
        resolve(how);
      };
      const onAbort = () => finish('aborted');
      const onClose = () => finish('closed');
      // Not unref'ed: while somebody awaits the retry nothing else may keep the process alive.
      const timer = setTimeout(() => finish('over'), ms);
      const stopListening = whenAborted(signal, onAbort);
      if (signal?.aborted) return finish('aborted');
      this.#life.sleepers.add(onClose);
    });
  }

  /** What `work` resolves to; nothing as soon as the signal fires or the client is closed, whatever becomes of the work. */
  async unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
    if (this.#life.isClosed || signal?.aborted) return undefined;
    let leave = (): void => undefined;
    const left = new Promise<undefined>((resolve) => {
      leave = () => resolve(undefined);
    });
    const stopListening = whenAborted(signal, leave);
    this.#life.sleepers.add(leave);
    try {
      return await Promise.race([work, left]);
    } finally {
      stopListening();
      this.#life.sleepers.delete(leave);
    }
  }

  /** Ends every wait; calls in flight finish, new ones are refused. */
  close(): void {
    this.#life.isClosed = true;
    for (const wake of this.#life.sleepers) wake();
  }

  log(level: Exclude<LogLevel, 'off'>, message: () => string): void {
    const { logger, logLevel } = this.config;
    if (levels.indexOf(level) <= levels.indexOf(logLevel)) logger[level](`[mcp-valet] ${message()}`);
  }
}

/** A fifth of the SDK; an application that only calls tools does without. Its own retry knows no idempotency key. */
async function kyOf(fetch: typeof globalThis.fetch | undefined): Promise<Http> {
  const { default: ky } = await part(() => import('ky'));
  return ky.create({ retry: 0, throwHttpErrors: false, timeout: false, ...(fetch && { fetch }) });
}

/** A failing function is told without its message, which may hold the token. */
async function inClear(source: TokenSource, name: string): Promise<string> {
  if (typeof source !== 'function') return checkToken(source, name);
  let text: unknown;
  try {
    text = await source();
  } catch (error) {
    const kind = error instanceof Error ? error.name : typeof error;
    throw new ConfigError({ message: `The ${name} function failed with ${kind}` });
  }
  return checkToken(text, name);
}

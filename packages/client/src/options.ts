// What callers may set, and the one place where it is checked and completed from the environment. Wrong or conflicting options throw here.
import { ConfigError } from './errors.ts';
import { type GateOptions, type RateLimitMode, type RateLimitOptions, resolveRateLimit } from './gate-options.ts';
import type { Hooks } from './hooks.ts';
import { checkMiddleware, type Middleware } from './middleware.ts';
import { checkClientNames } from './option-names.ts';
import { checkBaseUrl, encodeSegment } from './paths.ts';
import { revealed, type Secret } from './secret.ts';
import { type AppInfo, userAgentOf } from './user-agent.ts';

/** An API key or a user's token, or a function that returns the current one; a function is asked before every attempt. */
export type TokenSource = string | Secret | (() => string | Secret | Promise<string | Secret>);

/** Takes log lines; `console` is one. */
export interface Logger {
  /** What went over the wire. */
  debug(message: string): void;
  /** What was done about it: retries, waits. */
  info(message: string): void;
  /** What somebody should look at. */
  warn(message: string): void;
  /** What failed. */
  error(message: string): void;
}

/** Least weight of the lines that are logged. */
export type LogLevel = 'off' | 'error' | 'warn' | 'info' | 'debug';

/** A check of replies, as `@mcp-valet/client/validation` makes it. */
export interface ResponseValidation {
  /** `warn` logs a mismatch, `strict` throws ResponseError. */
  readonly mode: 'warn' | 'strict';
  /** What is wrong with the reply of a route: places and kinds, no values. Empty: nothing. */
  check(method: string, path: string, reply: unknown): readonly string[];
}

/** Options of `new MCPClient()`. All have defaults but the address and the credential, which the environment may hold. */
export interface ClientOptions {
  /** Where the gateway is: `https://mcp.example.com`, with a path prefix if it has one. Else `MCP_VALET_BASE_URL`. */
  baseUrl?: string | URL | undefined;
  /** The API key. Else `MCP_VALET_API_KEY`. Without one, only `forUser({ token })` can call. */
  apiKey?: TokenSource | undefined;
  /** A tokenized server URL, as `servers.create` returned it, instead of `baseUrl` and `apiKey`: for calls only. */
  accessUrl?: string | Secret | undefined;
  /** In a page of the gateway itself, instead of `apiKey`: the cookie of the dashboard's session. For management only. */
  session?: boolean | undefined;
  /** Id of the server that calls go to. Default: the aggregate endpoint `/mcp`. */
  server?: string | undefined;
  /** Milliseconds for one attempt, first byte to last. Default 20,000 for management, 45,000 for executions. */
  timeout?: number | undefined;
  /** Milliseconds for a whole call with its retries. Default 60,000 for management, 120,000 for executions; `false`: none. */
  deadline?: number | false | undefined;
  /** How often a failed attempt may be sent again when that is safe. Default 2. */
  maxRetries?: number | undefined;
  /** Stop retrying for a while when most retries fail. Default true. */
  retryBudget?: boolean | undefined;
  /** Let `signal` stop tools too: see the option of `execute`. Not for `runAction` without a server. Default false. */
  cancelOnAbort?: boolean | undefined;
  /** `never`: do not believe a server that promises to honour idempotency keys. Default `auto`. */
  idempotency?: 'auto' | 'never' | undefined;
  /**
   * Believe a tool that calls itself read-only or idempotent, and send it again although the server promises nothing. Default false: these
   * hints are claims of whoever wrote the tool.
   */
  trustToolHints?: boolean | undefined;
  /**
   * Waiting in front of each user's rate limit, which is learned from the server's answers, so that no call meets a 429. Default: on, with
   * the defaults of its options. `false`: calls are sent as they come.
   */
  rateLimit?: RateLimitOptions | false | undefined;
  /** Observers, for metrics and traces. They get no user ids, arguments, results or keys; what they throw is logged and otherwise ignored. */
  hooks?: Hooks | undefined;
  /** Your own code around every request, retries included. It is trusted: it sees the credential. */
  middleware?: readonly Middleware[] | undefined;
  /** Largest answer that is read, in bytes. Default 16 MiB. */
  maxResponseBytes?: number | undefined;
  /** Extra request headers; `null` removes one. Headers that carry identity or framing cannot be set here. */
  headers?: Readonly<Record<string, string | null>> | undefined;
  /** The `fetch` to use. Default: the global one. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Passed on to `fetch`: `dispatcher`, `proxy`. */
  fetchOptions?: Readonly<Record<string, unknown>> | undefined;
  /** Where log lines go. Default: the console. They hold no bodies, header values, query values, tokens or user ids. */
  logger?: Logger | undefined;
  /** Which lines are logged: those of this weight and above. Default `warn`, or `MCP_VALET_LOG`. */
  logLevel?: LogLevel | undefined;
  /** What to do when the server ran a call as somebody else. Default `throw`: `UserFallbackError`. */
  onUserFallback?: 'throw' | 'return' | undefined;
  /** Compares replies with the contract: `validation('warn')` from `@mcp-valet/client/validation`. Default: replies are not checked. */
  responseValidation?: ResponseValidation | undefined;
  /** Names your application in `User-Agent`, after the SDK. Letters, digits and `-._` only. */
  appInfo?: AppInfo | undefined;
  /** Allow http to hosts other than loopback. Default false. */
  allowInsecureHttp?: boolean | undefined;
  /** Allow an API key in a browser, where everybody can read it. Default false. */
  dangerouslyAllowBrowser?: boolean | undefined;
}

/** Options of every call. What is left out is the client's. */
export interface CallOptions {
  /** Stops waiting. A call that was already sent may still run. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for one attempt. Default: the client's. */
  timeout?: number | undefined;
  /** Milliseconds for the whole call with its retries; `false`: none. Default: the client's. */
  deadline?: number | false | undefined;
  /** How often a failed attempt may be sent again when that is safe. Default: the client's. */
  maxRetries?: number | undefined;
  /** Key of this call, 1-255 visible ASCII characters. Default: random. The same key never runs the same call twice. */
  idempotencyKey?: string | undefined;
  /** Extra request headers; `null` removes one. */
  headers?: Readonly<Record<string, string | null>> | undefined;
  /** What to do when the user is at the rate limit: `auto`, `wait` or `reject`. Default: the client's. `off`: send it whatever is known. */
  rateLimit?: RateLimitMode | 'off' | undefined;
}

/** Options after checking. `baseUrl` and `token` are absent for a tokenized URL. */
export interface Config {
  baseUrl: string | undefined;
  token: TokenSource | undefined;
  accessUrl: string | undefined;
  session: boolean;
  server: string | undefined;
  timeoutMs: number | undefined;
  deadlineMs: number | false | undefined;
  maxRetries: number;
  retryBudget: boolean;
  cancelOnAbort: boolean;
  idempotency: 'auto' | 'never';
  trustToolHints: boolean;
  rateLimit: GateOptions | false;
  hooks: Hooks | undefined;
  middleware: readonly Middleware[];
  responseValidation: ResponseValidation | undefined;
  maxResponseBytes: number;
  headers: Readonly<Record<string, string>>;
  fetch: typeof globalThis.fetch | undefined;
  fetchOptions: Readonly<Record<string, unknown>>;
  logger: Logger;
  logLevel: LogLevel;
  onUserFallback: 'throw' | 'return';
}

const logLevels: readonly LogLevel[] = ['off', 'error', 'warn', 'info', 'debug'];
const longestTimerMs = 2_147_483_647;
const defaultMaxRetries = 2;
const defaultMaxResponseBytes = 16 * 1024 * 1024;

/** Headers that say who calls, for whom, or how the body is framed: set by options with a check, never as free text. */
const reserved = new Set([
  'authorization',
  'cookie',
  'host',
  'connection',
  'content-length',
  'content-type',
  'transfer-encoding',
  'accept',
  'x-alloy-userid',
  'x-alloy-user-token',
  'x-credential-id',
  'x-redirect-uri',
  'x-mcp-server-id',
  'x-valet-strict-user',
  'x-valet-session',
  'idempotency-key',
  'valet-idempotency-epoch',
]);

/** Extra headers in lower case; `null` removes what `base` has. */
export function mergeHeaders(
  base: Readonly<Record<string, string>>,
  extra: Readonly<Record<string, string | null>> | undefined,
): Record<string, string> {
  const merged: Record<string, string> = { ...base };
  for (const [name, value] of Object.entries(extra ?? {})) {
    const key = name.toLowerCase();
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(key)) throw new ConfigError({ message: 'headers: not a header name' });
    if (reserved.has(key)) throw new ConfigError({ message: `headers: ${key} cannot be set as a free header` });
    if (value === null) delete merged[key];
    else if (typeof value === 'string' && /^[\t\x20-\x7e]*$/.test(value)) merged[key] = value;
    else throw new ConfigError({ message: `headers: the value of ${key} must be printable ASCII` });
  }
  return merged;
}

export function checkMs(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value > 0 && value <= longestTimerMs) return value;
  throw new ConfigError({ message: `${name} must be milliseconds, more than 0 and at most ${longestTimerMs}` });
}

export function checkDeadline(value: unknown): number | false | undefined {
  return value === false ? false : checkMs(value, 'deadline');
}

export function checkRetries(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 100) return value as number;
  throw new ConfigError({ message: 'maxRetries must be an integer from 0 to 100' });
}

function checkIdempotency(value: unknown): 'auto' | 'never' {
  if (value === undefined || value === 'auto') return 'auto';
  if (value === 'never') return 'never';
  throw new ConfigError({ message: 'idempotency must be auto or never' });
}

function environment(name: string): string | undefined {
  const scope = globalThis as { process?: { env?: Record<string, string | undefined> } };
  // Empty means unset. Edge runtimes have no process, locked-down ones refuse to read it as `undefined`.
  return scope.process?.env?.[name] || undefined;
}

/** A page of a browser, not jsdom: there everybody can read the key. */
function isBrowser(): boolean {
  const scope = globalThis as { window?: { document?: unknown }; process?: { versions?: { node?: string } } };
  return scope.window?.document !== undefined && scope.process?.versions?.node === undefined;
}

/** The guide's form: server URL and token as two values. */
export function accessUrlOf(serverUrl: string, token: string): string {
  if (typeof serverUrl !== 'string') throw new ConfigError({ message: 'serverUrl must be a string' });
  return `${serverUrl.replace(/\/+$/, '')}/${encodeSegment(revealed(token), 'token')}`;
}

export function resolveOptions(options: ClientOptions): Config {
  checkClientNames(options, options.rateLimit);
  const allowHttp = options.allowInsecureHttp ?? false;
  const access = options.accessUrl;
  if (access !== undefined && (options.baseUrl ?? options.apiKey ?? options.server) !== undefined) {
    throw new ConfigError({ message: 'accessUrl stands alone: it already names the server and the credential' });
  }
  const baseUrl = access === undefined ? (options.baseUrl ?? environment('MCP_VALET_BASE_URL')) : undefined;
  const session = options.session === true;
  if (session && (access ?? options.apiKey) !== undefined)
    throw new ConfigError({ message: 'session stands alone: it is the credential' });
  const token = access === undefined && !session ? (options.apiKey ?? environment('MCP_VALET_API_KEY')) : undefined;
  if (access === undefined && baseUrl === undefined) {
    throw new ConfigError({ message: 'baseUrl is missing', hint: 'Pass baseUrl or set MCP_VALET_BASE_URL' });
  }
  if (token !== undefined && typeof token !== 'function' && !revealed(token)) {
    throw new ConfigError({ message: 'apiKey is missing', hint: 'Pass apiKey or set MCP_VALET_API_KEY' });
  }
  if (token !== undefined && typeof token !== 'function') checkToken(token, 'apiKey');
  if (token !== undefined && isBrowser() && !options.dangerouslyAllowBrowser) {
    throw new ConfigError({ message: 'An API key must not be used in a browser', hint: 'Call from your backend' });
  }
  const logLevel = options.logLevel ?? environment('MCP_VALET_LOG') ?? 'warn';
  if (!logLevels.includes(logLevel as LogLevel))
    throw new ConfigError({ message: `logLevel must be one of ${logLevels.join(', ')}` });
  if (options.server !== undefined) encodeSegment(options.server, 'server');
  const maxResponseBytes = options.maxResponseBytes ?? defaultMaxResponseBytes;
  if (!(Number.isInteger(maxResponseBytes) && maxResponseBytes > 0)) {
    throw new ConfigError({ message: 'maxResponseBytes must be a positive integer' });
  }
  return {
    baseUrl: baseUrl === undefined ? undefined : checkBaseUrl(baseUrl, 'baseUrl', allowHttp),
    token,
    accessUrl: access === undefined ? undefined : checkBaseUrl(revealed(access), 'accessUrl', allowHttp),
    session,
    server: options.server,
    timeoutMs: checkMs(options.timeout, 'timeout'),
    deadlineMs: checkDeadline(options.deadline),
    maxRetries: checkRetries(options.maxRetries) ?? defaultMaxRetries,
    retryBudget: options.retryBudget ?? true,
    cancelOnAbort: options.cancelOnAbort ?? false,
    idempotency: checkIdempotency(options.idempotency),
    trustToolHints: options.trustToolHints ?? false,
    rateLimit: resolveRateLimit(options.rateLimit),
    hooks: options.hooks,
    middleware: checkMiddleware(options.middleware),
    responseValidation: options.responseValidation,
    maxResponseBytes,
    headers: mergeHeaders(
      { 'user-agent': userAgentOf(options.appInfo), ...(session && { 'x-valet-session': '1' }) },
      options.headers,
    ),
    fetch: options.fetch,
    fetchOptions: options.fetchOptions ?? {},
    logger: options.logger ?? console,
    logLevel: logLevel as LogLevel,
    onUserFallback: options.onUserFallback ?? 'throw',
  };
}

/** The text of a key or token as it may stand in a header. */
export function checkToken(token: unknown, name: string): string {
  const text = revealed(token);
  if (text === undefined || !/^[\x21-\x7e]{1,8192}$/.test(text)) {
    throw new ConfigError({ message: `${name} must be visible ASCII without spaces` });
  }
  return text;
}

// Which options there are, so that a misspelt one is an error and not silence: `idempotency_key` would be a call that may run twice.
// `surface.types.ts` holds the lists against the interfaces.
import { ConfigError, ValidationError } from './errors.ts';

export const ofClient = {
  baseUrl: true,
  apiKey: true,
  accessUrl: true,
  session: true,
  server: true,
  timeout: true,
  deadline: true,
  maxRetries: true,
  retryBudget: true,
  cancelOnAbort: true,
  idempotency: true,
  trustToolHints: true,
  rateLimit: true,
  hooks: true,
  middleware: true,
  maxResponseBytes: true,
  headers: true,
  fetch: true,
  fetchOptions: true,
  logger: true,
  logLevel: true,
  onUserFallback: true,
  responseValidation: true,
  appInfo: true,
  allowInsecureHttp: true,
  dangerouslyAllowBrowser: true,
} as const;

export const ofRateLimit = {
  mode: true,
  maxWaitMs: true,
  learn: true,
  quota: true,
  maxConcurrentPerUser: true,
  maxConcurrent: true,
  maxQueuePerUser: true,
  maxQueue: true,
  maxUsers: true,
  store: true,
} as const;

export const ofCall = {
  signal: true,
  timeout: true,
  deadline: true,
  maxRetries: true,
  idempotencyKey: true,
  headers: true,
  rateLimit: true,
  server: true,
  credentialId: true,
  redirectUri: true,
  onProgress: true,
  throwOnToolError: true,
  onInputRequired: true,
  cancelOnAbort: true,
  output: true,
  query: true,
  body: true,
  repeatable: true,
} as const;

function strangeName(given: object, names: Readonly<Record<string, true>>): string | undefined {
  const name = Object.keys(given).find((key) => !Object.hasOwn(names, key));
  return name?.slice(0, 64);
}

export function checkClientNames(options: object, rateLimit: unknown): void {
  const strange = strangeName(options, ofClient);
  if (strange !== undefined) throw new ConfigError({ message: `There is no option ${strange}` });
  if (typeof rateLimit !== 'object' || rateLimit === null) return;
  const within = strangeName(rateLimit, ofRateLimit);
  if (within !== undefined) throw new ConfigError({ message: `There is no option rateLimit.${within}` });
}

/** Of any call: an option that this one has no use for is not an error. */
export function checkCallNames(options: object): void {
  const strange = strangeName(options, ofCall);
  if (strange !== undefined) throw new ValidationError({ message: `There is no option ${strange}`, path: strange });
}

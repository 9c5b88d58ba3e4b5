// The libraries that stand in the lab, each with its defaults: how to make a client for a server, to post, to get by id. A library is loaded
// when it is asked for, so that a test of our own column loads no other.
import { readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { MCPClient } from '@mcp-valet/client';

export const key = 'lab-key-canary-4242';

export interface Target {
  url: string;
  port: number;
  /** For libraries that take a timeout; the others have no such option. */
  timeoutMs: number;
  /** Gets what a debug log would print. */
  log: (...args: unknown[]) => void;
  /** Shortens waits that are longer than a cell may last, where the library lets us. */
  hurry?: boolean;
}

export interface Post {
  user?: string;
  text?: string;
  header?: string;
  signal?: AbortSignal;
}

export interface Client {
  /** What a developer might print. */
  object: object;
  post(options?: Post): PromiseLike<unknown>;
  get(id: string): PromiseLike<unknown>;
  /** A request with a query value. */
  search?(text: string): PromiseLike<unknown>;
}

export interface Subject {
  package: string;
  /** Reads whether the server honours idempotency keys, so it is looked at before both kinds of server. */
  readsPromise?: boolean;
  /** How long a post may take before it counts as hanging; for slow machines. */
  patienceMs?: number;
  takesSignal: boolean;
  hasDebugLog: boolean;
  /** Read in its types and documentation, where there is nothing to measure. */
  facts: { user: string; connect: string };
  client(target: Target): Promise<Client>;
}

const none = '—';
const leveled = (log: Target['log']) => ({ debug: log, info: log, warn: log, error: log });

export const ours: Subject = {
  package: '@mcp-valet/client',
  readsPromise: true,
  takesSignal: true,
  hasDebugLog: true,
  facts: { user: '`client.forUser(id)`', connect: '`CredentialRequiredError`, `connectUrl`' },
  client: async ({ url, timeoutMs, log }) => {
    const object = new MCPClient({
      baseUrl: url,
      apiKey: key,
      timeout: timeoutMs,
      logger: leveled(log),
      logLevel: 'debug',
    });
    return {
      object,
      post: ({ user = 'alice', text = '', header, signal } = {}) =>
        object.forUser(user).execute('echo', { text }, { ...(signal && { signal }), headers: headersOf(header) }),
      get: (id) => object.servers.get(id),
      search: (q) => object.request('GET', '/things', { query: { q } }),
    };
  },
};

const openai: Subject = {
  package: 'openai',
  takesSignal: true,
  hasDebugLog: true,
  facts: { user: none, connect: none },
  client: async ({ url, timeoutMs, log }) => {
    const { OpenAI } = await import('openai');
    const logger = leveled(log);
    const object = new OpenAI({ baseURL: url, apiKey: key, timeout: timeoutMs, logger, logLevel: 'debug' });
    return {
      object,
      post: ({ text = '', header, signal } = {}) =>
        object.responses.create({ model: 'm', input: text }, { headers: headersOf(header), ...(signal && { signal }) }),
      get: (id) => object.models.retrieve(id),
      search: (q) => object.get('/things', { query: { q } }),
    };
  },
};

const stripe: Subject = {
  package: 'stripe',
  takesSignal: false,
  hasDebugLog: false,
  facts: { user: 'account per client or call', connect: none },
  client: async ({ port, timeoutMs }) => {
    const { default: Stripe } = await import('stripe');
    const object = new Stripe(key, { host: '127.0.0.1', port, protocol: 'http', timeout: timeoutMs });
    return {
      object,
      post: ({ text = '' } = {}) => object.customers.create({ description: text }),
      get: (id) => object.customers.retrieve(id),
    };
  },
};

let octokits = 0;
const onceMore = (_after: number, _options: object, _octokit: unknown, retryCount: number) => retryCount === 0;
const octokit: Subject = {
  package: 'octokit',
  takesSignal: true,
  hasDebugLog: false,
  facts: { user: 'an object per installation', connect: none },
  client: async ({ url, log, hurry }) => {
    const { Octokit } = await import('octokit');
    const object = new Octokit({
      baseUrl: url,
      auth: key,
      log: leveled(log),
      // Its queues belong to the module; an id of its own keeps one cell from waiting for another. The two answers are its own defaults.
      throttle: { id: `lab-${++octokits}`, onRateLimit: onceMore, onSecondaryRateLimit: onceMore },
      ...(hurry && { retry: { retryAfterBaseValue: 100 } }),
    });
    return {
      object,
      post: ({ text = '', signal } = {}) =>
        object.request('POST /markdown', { text, request: { ...(signal && { signal }) } }),
      get: (username) => object.request('GET /users/{username}', { username }),
    };
  },
};

const arcade: Subject = {
  package: '@arcadeai/arcadejs',
  takesSignal: true,
  hasDebugLog: true,
  facts: { user: '`user_id` per call', connect: 'URL from `tools.authorize`; a refusal is known by its text' },
  client: async ({ url, timeoutMs, log }) => {
    const { Arcade } = await import('@arcadeai/arcadejs');
    const logger = leveled(log);
    const object = new Arcade({ baseURL: url, apiKey: key, timeout: timeoutMs, logger, logLevel: 'debug' });
    return {
      object,
      post: ({ user = 'alice', text = '', header, signal } = {}) =>
        object.tools.execute(
          { tool_name: 'Lab.Echo', input: { text }, user_id: user },
          { headers: headersOf(header), ...(signal && { signal }) },
        ),
      get: (id) => object.tools.get(id),
      search: (q) => object.get('/things', { query: { q } }),
    };
  },
};

const nango: Subject = {
  package: '@nangohq/node',
  takesSignal: false,
  hasDebugLog: false,
  facts: { user: '`connectionId` per client or call', connect: 'link from `createConnectSession`' },
  client: async ({ url }) => {
    const { Nango } = await import('@nangohq/node');
    const object = new Nango({ host: url, apiKey: key });
    return {
      object,
      post: ({ user = 'alice', text = '' } = {}) => object.triggerAction('lab', user, 'echo', { text }),
      get: (uniqueKey) => object.getIntegration({ uniqueKey }),
    };
  },
};

export const others: readonly Subject[] = [openai, stripe, octokit, arcade, nango];

function headersOf(value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { 'x-lab': value };
}

export interface Manifest {
  version: string;
  engines?: { node?: string };
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

/** The manifest and folder of an installed package as `from` finds it, whatever its exports say. */
export function installed(name: string, from = import.meta.url): { folder: string; manifest: Manifest } {
  const folders = createRequire(from).resolve.paths(name) ?? [];
  for (const folder of folders.map((path) => join(path, name))) {
    try {
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
      return { folder: realpathSync(folder), manifest };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error(`${name} is not installed`);
}

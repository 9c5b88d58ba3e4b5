// Whole lists, an entry at a time: `client.audit.export()`.
import { type Contract, contract, type RouteDefinition } from '@mcp-valet/shared';
import type { CallOptions } from './options.ts';
import { readLines } from './read-lines.ts';
import { positional } from './route-call.ts';
import type { Input, Item } from './route-types.ts';
import type { Transport } from './transport.ts';

type Whole<T> = Omit<T, 'limit' | 'offset' | 'cursor'>;
type Audit = Contract['audit']['list'];
type Calls = Contract['calls']['list'];
type History = Contract['users']['history'];

/** What `client.audit` has besides the routes of the contract. */
export interface AuditExport {
  /**
   * All audit events, newest first, an entry at a time: `for await (const event of client.audit.export())`. Sent when the first is asked for.
   * Throws ConnectionError when the list breaks off; leaving the loop ends the request.
   */
  readonly export: (query?: Whole<Input<Audit>>, options?: CallOptions) => AsyncGenerator<Item<Audit>, void, undefined>;
}

/** What `client.calls` has besides the routes of the contract. */
export interface CallExport {
  /** The whole journal, newest first, an entry at a time. Throws ConnectionError when the list breaks off. */
  readonly export: (query?: Whole<Input<Calls>>, options?: CallOptions) => AsyncGenerator<Item<Calls>, void, undefined>;
}

/** What `client.users` has besides the routes of the contract. */
export interface HistoryExport {
  /** All that a user did and that was done to it, newest first, an entry at a time. Throws ConnectionError when the list breaks off. */
  readonly exportHistory: (
    username: string,
    query?: Whole<Input<History>>,
    options?: CallOptions,
  ) => AsyncGenerator<Item<History>, void, undefined>;
}

/** Adds the exports to the nouns. */
export function addExports(transport: Transport, nouns: Readonly<Record<string, Record<string, unknown>>>): void {
  const add = (noun: string, method: string, route: RouteDefinition) => {
    const name = `${noun}.${method}`;
    const all = nouns[noun];
    if (all) all[method] = (...args: unknown[]) => readLines(transport, name, route, positional(route, args));
  };
  add('audit', 'export', contract.audit.list);
  add('calls', 'export', contract.calls.list);
  add('users', 'exportHistory', contract.users.history);
}

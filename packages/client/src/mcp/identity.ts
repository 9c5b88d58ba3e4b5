// Whose endpoint it is: the user and the defaults of a view, with what a request to its MCP endpoint needs. Sends nothing.
import { type ExecuteOptions, endpointOf, identityHeaders } from '../rpc.ts';
import type { Transport } from '../transport.ts';

/** A user's view, as the parts of `user.mcp` see it. */
export interface View {
  transport: Transport;
  /** Absent where the transport holds the user's token. */
  userId: string | undefined;
  defaults: ExecuteOptions;
}

export interface Target {
  url: string;
  template: string;
  sensitive: string[];
  headers: Record<string, string>;
  /** The API key goes along; not on a tokenized URL, which is its own credential. */
  authorize: boolean;
}

export function targetOf({ transport, userId, defaults }: View, options: ExecuteOptions = {}): Target {
  const merged = { ...defaults, ...options };
  return {
    ...endpointOf(transport, merged),
    headers: identityHeaders(transport, userId, merged),
    authorize: transport.config.accessUrl === undefined,
  };
}

const numbers = new WeakMap<object, Map<string, number>>();
let lastNumber = 0;
const maxCredentials = 1000;

/** A number for the credential in use, so that what is cached for one is never found with another. Not derived from it. */
export async function credentialNumber(transport: Transport): Promise<number> {
  const { accessUrl, session } = transport.config;
  const { secrets } = await transport.identity(accessUrl === undefined && !session);
  const text = [accessUrl ?? '', ...secrets].join('\n');
  const known = numbers.get(transport.learned) ?? new Map<string, number>();
  numbers.set(transport.learned, known);
  let number = known.get(text);
  if (number === undefined) {
    if (known.size >= maxCredentials) known.clear();
    number = ++lastNumber;
    known.set(text, number);
  }
  return number;
}

/** Values that outlive a view: bounded, the oldest goes first. Shared by the views of clients that share what they learned. */
export class Cache<V> {
  readonly #kept = new WeakMap<object, Map<string, V>>();
  readonly #maxEntries: number;

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  #of(transport: Transport): Map<string, V> {
    const entries = this.#kept.get(transport.learned) ?? new Map<string, V>();
    this.#kept.set(transport.learned, entries);
    return entries;
  }

  get(transport: Transport, key: string): V | undefined {
    return this.#of(transport).get(key);
  }

  set(transport: Transport, key: string, value: V): void {
    const entries = this.#of(transport);
    entries.delete(key);
    entries.set(key, value);
    const [oldest] = entries.keys();
    if (entries.size > this.#maxEntries && oldest !== undefined) entries.delete(oldest);
  }

  delete(transport: Transport, key: string): void {
    this.#of(transport).delete(key);
  }
}

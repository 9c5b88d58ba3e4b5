// The only door for outbound requests: every byte this gateway sends to an upstream leaves through here.
//
// Guarantee: a request reaches only addresses that are public, on https and port 443 or 80, or that the operator listed
// (VALET_ALLOWED_UPSTREAM_CIDRS), and none of the gateway's own listeners or stores. Redirects, cookies, proxies from the
// environment, retries and unchecked certificates do not exist here. Answers are bounded in size, after decompression.
// Order: the URL and the headers are checked for each request; the addresses when a socket is made (egress-connect).
// Failure: an EgressError, which says whether anything can have been sent. Time is the caller's: its signal is the only clock of a
// request, so undici's own limits are longer than any call.
import tls from 'node:tls';
import { type Dispatcher, Pool } from 'undici';
import { type AddressRules, createAddressRules, type DeniedTarget } from './egress-address.ts';
import { createConnector, createSystemLookup, type LookupFn } from './egress-connect.ts';
import { abortError, EgressError, refused } from './egress-error.ts';
import { type EgressResponse, type EgressStream, StreamExchange, WholeExchange } from './egress-exchange.ts';
import { createEgressFetch, type EgressFetch, type StreamInit } from './egress-fetch.ts';
import { checkHeaders } from './egress-headers.ts';

export { EgressError } from './egress-error.ts';
export type { EgressResponse, EgressStream } from './egress-exchange.ts';
export type { EgressFetch } from './egress-fetch.ts';
export type { DeniedTarget, LookupFn };

export type EgressMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface EgressInit {
  method: EgressMethod;
  /** Values must be printable ASCII. Host, framing and hop-by-hop headers are set here and refused from callers. */
  headers: Record<string, string>;
  body?: string | Uint8Array;
  /** The clock of this request. */
  signal: AbortSignal;
  /** Limit of the decoded body; for an event stream that is read as it arrives, of each event. Default 10 MiB. */
  maxBytes?: number;
}

export interface EgressOptions {
  /** Address ranges in which private addresses, http and any port are allowed (VALET_ALLOWED_UPSTREAM_CIDRS). */
  allowedCidrs: readonly string[];
  /** Own listeners and the database; wins over `allowedCidrs`. Read at every connection. */
  denied?: readonly DeniedTarget[];
  /** Resolves a name; for tests. */
  lookup?: LookupFn;
  /** PEM certificates trusted instead of the public authorities; for tests. */
  ca?: string;
  /** Default 5,000: name resolution, TCP and TLS together. */
  connectTimeoutMs?: number;
  /** Default 2,000: origins with open sockets at a time, over all accounts; the longest unused one makes room. */
  maxPools?: number;
}

export interface Egress {
  /** Validates and normalises a URL that a person configured; throws EGRESS_REFUSED with a sentence. */
  check(url: string | URL): URL;
  /** One request over the sockets of `poolKey` (account and connector); reads the whole body. */
  request(poolKey: string, url: string, init: EgressInit): Promise<EgressResponse>;
  /** The same, with the body handed out while it arrives. */
  stream(poolKey: string, url: string, init: EgressInit): Promise<EgressStream>;
  /** The same in the shape of `fetch`, for the MCP SDK client. */
  fetchFor(poolKey: string, limits?: { maxBytes?: number }): EgressFetch;
  /** Requests from now on use new sockets; resolves when the calls in flight have ended. */
  closePool(poolKey: string): Promise<void>;
  /** Ends every socket and every call in flight. */
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 10 * 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
const CONNECT_TIMEOUT_MS = 5_000;
const MAX_SOCKETS_PER_POOL = 256;
/** Beyond the sockets, this many requests may wait; a caller past that would only time out. */
const MAX_REQUESTS_PER_POOL = MAX_SOCKETS_PER_POOL + 1_024;
const MAX_POOLS = 2_000;
/** Longer than any call (300 s) and any wait for a person (10 min). Only forgotten streams meet it. */
const SILENCE_MS = 660_000;
const MAX_KEEP_ALIVE_MS = 60_000;

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

interface Entry {
  poolKey: string;
  pool: Pool;
  active: number;
  usedAt: number;
}

export function createEgress(options: EgressOptions): Egress {
  const rules = createAddressRules(options.allowedCidrs);
  return new PooledEgress(rules, options);
}

class PooledEgress implements Egress {
  readonly #rules: AddressRules;
  readonly #newConnector: () => ReturnType<typeof createConnector>;
  readonly #entries = new Map<string, Entry>();
  /** Everything not yet closed, pools that are only finishing their calls included. */
  readonly #pools = new Set<Pool>();
  readonly #maxPools: number;
  #isClosed = false;
  #tick = 0;

  constructor(rules: AddressRules, options: EgressOptions) {
    this.#rules = rules;
    this.#maxPools = options.maxPools ?? MAX_POOLS;
    const connect = {
      rules,
      denied: options.denied ?? [],
      lookup: options.lookup ?? createSystemLookup(),
      connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      // One context for all: reading the public authorities anew for each connection is slow.
      secureContext: tls.createSecureContext(options.ca === undefined ? {} : { ca: options.ca }),
    };
    this.#newConnector = () => createConnector(connect);
  }

  check(url: string | URL): URL {
    return this.#rules.check(url);
  }

  async request(poolKey: string, url: string, init: EgressInit): Promise<EgressResponse> {
    return this.#dispatch(poolKey, url, init, WholeExchange);
  }

  async stream(poolKey: string, url: string, init: EgressInit): Promise<EgressStream> {
    return this.#dispatch(poolKey, url, init, StreamExchange);
  }

  fetchFor(poolKey: string, limits: { maxBytes?: number } = {}): EgressFetch {
    return createEgressFetch(
      async (url, init) => this.#dispatch(poolKey, url, init, StreamExchange),
      limits.maxBytes ?? MAX_BODY_BYTES,
    );
  }

  async closePool(poolKey: string): Promise<void> {
    const closing: Promise<void>[] = [];
    for (const [key, entry] of this.#entries) {
      if (entry.poolKey === poolKey) closing.push(this.#retire(key, entry));
    }
    await Promise.all(closing);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#entries.clear();
    await Promise.all([...this.#pools].map((pool) => pool.destroy()));
    this.#pools.clear();
  }

  #dispatch<Answer>(
    poolKey: string,
    url: string,
    init: StreamInit,
    Exchange: new (
      maxBytes: number,
      signal: AbortSignal | undefined,
      onSettled: () => void,
      resolve: (answer: Answer | Promise<Answer>) => void,
      reject: (failure: EgressError) => void,
    ) => Dispatcher.DispatchHandler,
  ): Promise<Answer> {
    if (!METHODS.has(init.method)) throw refused('This HTTP method is not supported.');
    const headers = checkHeaders(init.headers);
    const target = parse(url);
    const entry = this.#entryFor(poolKey, target);
    if (init.signal?.aborted === true) throw abortError(init.signal, 'no');
    if (entry.active >= MAX_REQUESTS_PER_POOL) {
      throw new EgressError('UNREACHABLE', 'no', 'Too many requests are waiting for this upstream.');
    }
    entry.active += 1;
    entry.usedAt = ++this.#tick;
    return new Promise<Answer>((resolve, reject) => {
      const onSettled = () => (entry.active -= 1);
      const exchange = new Exchange(init.maxBytes ?? MAX_BODY_BYTES, init.signal, onSettled, resolve, reject);
      const path = target.pathname + target.search;
      entry.pool.dispatch({ path, method: init.method, headers, body: init.body ?? null }, exchange);
    });
  }

  /** The sockets for an origin; its address and port have been checked when the entry was made. */
  #entryFor(poolKey: string, url: URL): Entry {
    // A space occurs in no origin, so two keys cannot meet.
    const key = `${url.origin} ${poolKey}`;
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#isClosed) throw new EgressError('ABORTED', 'no');
    const { origin } = this.#rules.check(url);
    this.#makeRoom();
    const pool = new Pool(origin, {
      connect: this.#newConnector(),
      connections: MAX_SOCKETS_PER_POOL,
      pipelining: 1,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
      keepAliveMaxTimeout: MAX_KEEP_ALIVE_MS,
    });
    this.#pools.add(pool);
    const entry = { poolKey, pool, active: 0, usedAt: 0 };
    this.#entries.set(key, entry);
    return entry;
  }

  #makeRoom(): void {
    if (this.#entries.size < this.#maxPools) return;
    let oldest: [string, Entry] | undefined;
    for (const pair of this.#entries) {
      if (pair[1].active === 0 && (oldest === undefined || pair[1].usedAt < oldest[1].usedAt)) oldest = pair;
    }
    if (oldest === undefined) throw new EgressError('UNREACHABLE', 'no', 'Too many upstreams are in use.');
    void this.#retire(...oldest);
  }

  async #retire(key: string, entry: Entry): Promise<void> {
    this.#entries.delete(key);
    await entry.pool.close();
    this.#pools.delete(entry.pool);
  }
}

function parse(url: string): URL {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw refused('The upstream URL is not a valid URL.');
  }
  // blob:https://host/… has the origin of the https URL inside it and would find that origin's sockets.
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') throw refused('The upstream URL must use https.');
  // Part of the URL and not of its origin, so looked at for each request.
  if (parsed.username !== '' || parsed.password !== '') {
    throw refused('The upstream URL must not contain a user name or password.');
  }
  return parsed;
}

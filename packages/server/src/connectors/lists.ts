// Keeps what upstreams list (tools, prompts, resources, templates), per upstream key: a list may depend on who asks. A list is answered
// from a good copy when the upstream is slow or dead; a cached list grants nothing, rights are checked again at every call.
import { performance } from 'node:perf_hooks';
import { isStorableText } from '@mcp-valet/shared';
import type { ConnectorRecord } from '../identity/records.ts';
import { type Upstream, UpstreamFailure, type UpstreamRequest, type UpstreamResult } from './backend.ts';
import { scanParamHeaders } from './param-headers.ts';
import type { UpstreamKey } from './upstream-key.ts';

export type ListKind = 'tools' | 'prompts' | 'resources' | 'templates';
export type ListItem = Record<string, unknown>;

export interface UpstreamList {
  items: readonly ListItem[];
  /** How long the upstream allows it to be kept; 0 for a copy that could not be renewed. */
  ttlMs: number;
  /** Items that were left out, with why: for the connector's status. */
  dropped: readonly { name: string; reason: string }[];
  readAt: number;
}

const methods: Record<ListKind, { method: string; field: string; capability: string }> = {
  tools: { method: 'tools/list', field: 'tools', capability: 'tools' },
  prompts: { method: 'prompts/list', field: 'prompts', capability: 'prompts' },
  resources: { method: 'resources/list', field: 'resources', capability: 'resources' },
  templates: { method: 'resources/templates/list', field: 'resourceTemplates', capability: 'resources' },
};

const maxItems = 500;
const maxBytes = 1024 * 1024;
const maxPages = 50;
const maxSchemaDepth = 32;
const maxSubschemas = 2_000;
const defaultTtlMs = 60_000;
const answerWithinMs = 3_000;
const readWithinMs = 15_000;
const failureHoldMs = 1_000;
const maxCacheBytes = 128 * 1024 * 1024;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Why a schema is refused, or undefined. Nothing in it is evaluated: no pattern, no network reference. */
function schemaFault(schema: unknown): string | undefined {
  if (!isObject(schema)) return 'inputSchema is not an object';
  let nodes = 0;
  let fault: string | undefined;
  const visit = (node: unknown, depth: number): void => {
    if (fault !== undefined || node === null || typeof node !== 'object') return;
    if (depth > maxSchemaDepth) fault = `schema deeper than ${maxSchemaDepth}`;
    else if (++nodes > maxSubschemas) fault = `schema with more than ${maxSubschemas} parts`;
    else for (const child of Object.values(node)) visit(child, depth + 1);
  };
  visit(schema, 0);
  if (fault !== undefined) return fault;
  const scan = scanParamHeaders(schema);
  return scan.valid ? undefined : scan.reason;
}

const idField: Record<ListKind, string> = {
  tools: 'name',
  prompts: 'name',
  resources: 'uri',
  templates: 'uriTemplate',
};

function itemFault(kind: ListKind, item: unknown): string | undefined {
  if (!isObject(item)) return 'not an object';
  const id = item[idField[kind]];
  if (typeof id !== 'string' || id === '' || id.length > 2_048 || !isStorableText(id)) return 'no usable name';
  return kind === 'tools' ? schemaFault(item['inputSchema']) : undefined;
}

type Ask = (request: UpstreamRequest) => Promise<UpstreamResult>;

async function readAll(kind: ListKind, ask: Ask, signal: AbortSignal): Promise<UpstreamList> {
  const { method, field } = methods[kind];
  const items: ListItem[] = [];
  const dropped: { name: string; reason: string }[] = [];
  const names = new Set<string>();
  let bytes = 0;
  let ttlMs = defaultTtlMs;
  let cursor: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const { result } = await ask({ method, params: cursor === undefined ? {} : { cursor }, signal });
    if (typeof result['ttlMs'] === 'number' && result['ttlMs'] >= 0) ttlMs = Math.min(ttlMs, result['ttlMs']);
    const found = Array.isArray(result[field]) ? result[field] : [];
    for (const item of found as unknown[]) {
      const id = isObject(item) ? item[idField[kind]] : undefined;
      const name = typeof id === 'string' ? id : '';
      const size = JSON.stringify(item).length;
      const fault =
        itemFault(kind, item) ??
        (names.has(name) ? 'listed twice' : undefined) ??
        (items.length >= maxItems ? `more than ${maxItems} entries` : undefined) ??
        (bytes + size > maxBytes ? 'the list is over 1 MiB' : undefined);
      if (fault !== undefined) {
        if (dropped.length < 100) dropped.push({ name: name.slice(0, 256), reason: fault });
        continue;
      }
      names.add(name);
      bytes += size;
      items.push(item as ListItem);
    }
    const next = result['nextCursor'];
    if (typeof next !== 'string' || next === cursor || items.length >= maxItems) break;
    cursor = next;
  }
  return { items, ttlMs, dropped, readAt: performance.now() };
}

interface Entry {
  list: UpstreamList | undefined;
  bytes: number;
  loading: Promise<UpstreamList> | undefined;
  failure: { error: unknown; until: number } | undefined;
  /** Grows when the entry is forgotten while a read is under way. */
  isStale: boolean;
}

export interface ListSource {
  key: UpstreamKey;
  connector: ConnectorRecord;
  /** Opens the upstream: called only when something must be asked. */
  prepare: () => Promise<Upstream>;
}

export class UpstreamLists {
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  readonly #request: (upstream: Upstream, request: UpstreamRequest) => Promise<UpstreamResult>;
  readonly #has: (upstream: Upstream, capability: string, signal: AbortSignal) => Promise<boolean>;

  constructor(
    request: (upstream: Upstream, request: UpstreamRequest) => Promise<UpstreamResult>,
    has: (upstream: Upstream, capability: string, signal: AbortSignal) => Promise<boolean>,
  ) {
    this.#request = request;
    this.#has = has;
  }

  /** What is kept, without asking anybody; undefined before the first read. */
  peek(kind: ListKind, key: UpstreamKey): UpstreamList | undefined {
    return this.#entries.get(`${kind} ${key}`)?.list;
  }

  /**
   * The list, from the cache while it may be kept, else from the upstream within 3 s, else the last good copy. A read goes on in the
   * background for up to 15 s. `fresh` asks the upstream in any case and waits for it.
   */
  async get(kind: ListKind, source: ListSource, fresh = false): Promise<UpstreamList> {
    const entry = this.#entry(`${kind} ${source.key}`);
    const { list } = entry;
    if (!fresh && list !== undefined && performance.now() < list.readAt + list.ttlMs) return list;
    if (!fresh && entry.failure !== undefined && performance.now() < entry.failure.until) {
      if (list !== undefined) return { ...list, ttlMs: 0 };
      throw entry.failure.error;
    }
    entry.loading ??= this.#load(kind, source, entry);
    const { loading } = entry;
    if (fresh) return loading;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), answerWithinMs);
    });
    try {
      const first = await Promise.race([loading, late]);
      if (first !== 'late') return first;
    } catch (error) {
      if (list === undefined) throw error;
    } finally {
      clearTimeout(timer);
    }
    // The read goes on; whoever asks next may find it done.
    loading.catch(() => undefined);
    if (list !== undefined) return { ...list, ttlMs: 0 };
    throw new UpstreamFailure('timeout', 'unknown');
  }

  forget(matches: (key: UpstreamKey) => boolean): void {
    for (const [id, entry] of this.#entries) {
      if (matches(id.slice(id.indexOf(' ') + 1) as UpstreamKey)) this.#drop(id, entry);
    }
  }

  #entry(id: string): Entry {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = { list: undefined, bytes: 0, loading: undefined, failure: undefined, isStale: false };
    } else {
      this.#entries.delete(id);
    }
    this.#entries.set(id, entry);
    for (const [oldest, other] of this.#entries) {
      if ((this.#bytes <= maxCacheBytes && this.#entries.size <= 20_000) || other === entry) break;
      this.#drop(oldest, other);
    }
    return entry;
  }

  #drop(id: string, entry: Entry): void {
    entry.isStale = true;
    this.#bytes -= entry.bytes;
    this.#entries.delete(id);
  }

  async #load(kind: ListKind, source: ListSource, entry: Entry): Promise<UpstreamList> {
    const signal = AbortSignal.timeout(readWithinMs);
    try {
      const upstream = await source.prepare();
      const list = (await this.#has(upstream, methods[kind].capability, signal))
        ? await readAll(kind, (request) => this.#request(upstream, request), signal)
        : { items: [], ttlMs: defaultTtlMs, dropped: [], readAt: performance.now() };
      if (!entry.isStale) {
        const bytes = JSON.stringify(list.items).length;
        this.#bytes += bytes - entry.bytes;
        Object.assign(entry, { list, bytes, failure: undefined });
      }
      return list;
    } catch (error) {
      entry.failure = { error, until: performance.now() + failureHoldMs };
      throw error;
    } finally {
      entry.loading = undefined;
    }
  }
}

// Pure: how a connector's tools, prompts and resources are named on a direct-mode endpoint, and back. One mapping for lists and calls.
import { createHash } from 'node:crypto';
import type { ListItem, UpstreamList } from '../connectors/lists.ts';

export type Prefix = 'connector' | 'none';
const maxNameLength = 64;

/** `{connector}__{name}` in the alphabet that agent frameworks accept; long names are cut and made unique by a digest. */
export function publishedName(connectorId: string, name: string, prefix: Prefix): string {
  const full = prefix === 'none' ? name : `${connectorId}__${name}`;
  if (prefix === 'none') return full;
  const safe = full.replace(/[^A-Za-z0-9_.-]/g, '_');
  if (safe.length <= maxNameLength) return safe;
  const digest = createHash('sha256').update(full, 'utf8').digest('hex').slice(0, 8);
  return `${safe.slice(0, maxNameLength - 9)}_${digest}`;
}

export interface Named {
  /** The upstream's own name. */
  name: string;
  item: ListItem;
}

const byList = new WeakMap<UpstreamList, Map<string, ReadonlyMap<string, Named>>>();

/** Published name -> item, in the order of published names (code units). Equal names: the first stays. */
export function namedItems(connectorId: string, list: UpstreamList, prefix: Prefix): ReadonlyMap<string, Named> {
  let byPrefix = byList.get(list);
  if (byPrefix === undefined) {
    byPrefix = new Map();
    byList.set(list, byPrefix);
  }
  const cacheKey = `${prefix} ${connectorId}`;
  let names = byPrefix.get(cacheKey);
  if (names === undefined) {
    const entries = list.items.map((item): [string, Named] => {
      const name = String(item['name']);
      return [publishedName(connectorId, name, prefix), { name, item }];
    });
    const first = new Map<string, Named>();
    for (const [published, named] of entries) if (!first.has(published)) first.set(published, named);
    names = new Map([...first].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
    byPrefix.set(cacheKey, names);
  }
  return names;
}

/** Connectors that a published name may belong to, the longest id first. */
export function candidateConnectors(published: string, connectorIds: readonly string[], prefix: Prefix): string[] {
  if (prefix === 'none') return [...connectorIds];
  // A long name is cut before its digest, and with it the id of a connector that is long itself.
  return connectorIds
    .filter((id) => published.startsWith(`${id}__`.slice(0, maxNameLength - 9)))
    .sort((a, b) => b.length - a.length);
}

/** `{connector}+{uri}`: stays a URI, and templates in it still expand. */
export const publishedUri = (connectorId: string, uri: string, prefix: Prefix): string =>
  prefix === 'none' ? uri : `${connectorId}+${uri}`;

/** The connector and the upstream's own URI of a published one. */
export function splitUri(
  published: string,
  connectorIds: readonly string[],
  prefix: Prefix,
): { connectorId: string; uri: string } | undefined {
  if (prefix === 'none')
    return connectorIds[0] === undefined ? undefined : { connectorId: connectorIds[0], uri: published };
  const connectorId = connectorIds
    .filter((id) => published.startsWith(`${id}+`))
    .sort((a, b) => b.length - a.length)[0];
  return connectorId === undefined ? undefined : { connectorId, uri: published.slice(connectorId.length + 1) };
}

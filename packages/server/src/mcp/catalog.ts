// What a user can see on a server: connectors and their tools, prompts, resources. Lists and calls look here, so what is listed is what can
// be called. A slow or dead connector is left out and named, never an error of the whole list.
import type { Upstream } from '../connectors/backend.ts';
import { keyFor, listsWithoutCredential, openUpstream } from '../connectors/forward.ts';
import type { ListItem, ListKind, UpstreamList } from '../connectors/lists.ts';
import { type CredentialChoice, resolveCredential } from '../credentials/resolve.ts';
import type { ConnectorRecord } from '../identity/records.ts';
import { decideOn, rulesOf } from './caller.ts';
import { candidateConnectors, type Named, namedItems, type Prefix, publishedUri } from './names.ts';
import { onBehalf, type UserCall } from './request.ts';

export const prefixOf = (call: Pick<UserCall, 'server'>): Prefix => call.server?.prefix ?? 'connector';

type Connectors = ReadonlyMap<string, ConnectorRecord>;
const given = new WeakMap<Connectors, WeakMap<object, readonly ConnectorRecord[]>>();

/** Connectors that this server was given and that are switched on, in the server's order. */
export async function serverConnectors(call: UserCall): Promise<readonly ConnectorRecord[]> {
  const { server } = call;
  const all = await call.parts.directory.connectors(call.principal.accountId);
  // Derived from two records and kept as long as these very objects: what changes comes as new ones.
  let ofAll = given.get(all);
  if (ofAll === undefined) {
    ofAll = new WeakMap();
    given.set(all, ofAll);
  }
  let found = ofAll.get(server ?? all);
  if (found === undefined) {
    const ids = server?.connectors ?? [...all.keys()];
    found = ids.flatMap((id) => all.get(id) ?? []).filter((connector) => connector.enabled);
    ofAll.set(server ?? all, found);
  }
  return found;
}

/** Connectors that this user may see here. */
export async function visibleConnectors(call: UserCall): Promise<ConnectorRecord[]> {
  const rules = rulesOf(call);
  return (await serverConnectors(call)).filter((connector) => decideOn(rules, connector).allowed);
}

/** One connector of this server by id, whether or not the user may touch it: the decision is the caller's next step. */
export async function findConnector(call: UserCall, connectorId: string): Promise<ConnectorRecord | undefined> {
  const connector = (await call.parts.directory.connectors(call.principal.accountId)).get(connectorId);
  if (connector === undefined || !connector.enabled) return undefined;
  const given = call.server?.connectors ?? null;
  return given === null || given.includes(connectorId) ? connector : undefined;
}

export async function chooseCredential(
  call: UserCall,
  connector: ConnectorRecord,
  argument?: string,
): Promise<CredentialChoice> {
  const { directory } = call.parts;
  const { accountId } = call.principal;
  const own = await directory.credentials(accountId, call.user.record.id);
  const shared = connector.allowShared ? await directory.sharedCredentials(accountId) : [];
  return resolveCredential(
    connector,
    own,
    shared,
    { argument, header: call.credentialHeader },
    call.user.record.groups,
  );
}

/** What a connector lists for a user with the chosen credential; without a usable one, what it lists for nobody, if it may be asked so. */
export async function connectorList(
  call: UserCall,
  kind: ListKind,
  connector: ConnectorRecord,
  choice: CredentialChoice,
): Promise<UpstreamList | undefined> {
  if (choice.kind !== 'use' && choice.kind !== 'none' && !listsWithoutCredential(connector)) return undefined;
  const credential = choice.kind === 'use' ? choice.credential : null;
  const { parts, session } = call;
  const user = onBehalf(call);
  const prepare = async (): Promise<Upstream> => {
    const fresh =
      credential?.type === 'oauth2' ? await parts.refresher.ensureFresh(credential, connector, null) : credential;
    return openUpstream(parts.vault, connector, user, fresh, session);
  };
  return parts.carriers.list(kind, { key: keyFor(connector, user, credential, session), connector, prepare });
}

export interface CatalogEntry {
  connector: ConnectorRecord;
  /** The name on this endpoint. */
  published: string;
  named: Named;
}

const nameField: Record<ListKind, 'name' | 'uri' | 'uriTemplate'> = {
  tools: 'name',
  prompts: 'name',
  resources: 'uri',
  templates: 'uriTemplate',
};

export interface Listing {
  items: ListItem[];
  /** 0 when a connector is missing from it. */
  ttlMs: number;
  unavailable: string[];
}

/** Entries of one connector that the user may use, published. */
function publish(call: UserCall, kind: ListKind, connector: ConnectorRecord, list: UpstreamList): ListItem[] {
  const rules = rulesOf(call);
  const prefix = prefixOf(call);
  const may = (action: string): boolean => decideOn(rules, connector, action).allowed;
  if (kind === 'tools' || kind === 'prompts') {
    return [...namedItems(connector.id, list, prefix)]
      .filter(([, { name }]) => may(name))
      .map(([published, { item }]) => (item['name'] === published ? item : { ...item, name: published }));
  }
  const field = nameField[kind];
  return list.items
    .filter((item) => may(String(item[field])))
    .map((item) => ({ ...item, [field]: publishedUri(connector.id, String(item[field]), prefix) }));
}

/** Everything of a kind that the user can use on a direct-mode endpoint, connectors in order, names in order. */
export async function listPublished(call: UserCall, kind: ListKind): Promise<Listing> {
  const connectors = await visibleConnectors(call);
  const parts = await Promise.all(
    connectors.map(async (connector) => {
      try {
        const choice = await chooseCredential(call, connector);
        const list = await connectorList(call, kind, connector, choice);
        return { connector, list };
      } catch {
        // Named in the answer; why is in the connector's status.
        return { connector, list: undefined };
      }
    }),
  );
  const present = parts.flatMap(({ connector, list }) => (list === undefined ? [] : [{ connector, list }]));
  const missing = parts.filter(({ list }) => list === undefined).map(({ connector }) => connector.id);
  const ttlMs = missing.length > 0 ? 0 : Math.min(60_000, ...present.map(({ list }) => list.ttlMs));
  return {
    items: present.flatMap(({ connector, list }) => publish(call, kind, connector, list)),
    ttlMs,
    unavailable: missing,
  };
}

/**
 * The tool or prompt that a published name stands for, whether or not the user may use it. Only connectors whose id the name begins with
 * are asked.
 */
export async function findPublished(
  call: UserCall,
  kind: 'tools' | 'prompts',
  published: string,
): Promise<CatalogEntry | undefined> {
  const connectors = await serverConnectors(call);
  const prefix = prefixOf(call);
  const ids = candidateConnectors(
    published,
    connectors.map(({ id }) => id),
    prefix,
  );
  for (const id of ids) {
    const connector = connectors.find((candidate) => candidate.id === id);
    if (connector === undefined) continue;
    const choice = await chooseCredential(call, connector);
    const list = await connectorList(call, kind, connector, choice);
    const named = list && namedItems(id, list, prefix).get(published);
    if (named !== undefined) return { connector, published, named };
  }
  return undefined;
}

/**
 * The connector that a published name would belong to, whose tools this user cannot be shown before connecting an account. The name may be
 * one of its tools or none.
 */
export async function findUnlisted(
  call: UserCall,
  published: string,
): Promise<{ connector: ConnectorRecord; action: string } | undefined> {
  const connectors = await serverConnectors(call);
  const prefix = prefixOf(call);
  const ids = connectors.map(({ id }) => id);
  for (const id of candidateConnectors(published, ids, prefix)) {
    const connector = connectors.find((candidate) => candidate.id === id);
    if (connector === undefined || listsWithoutCredential(connector)) continue;
    const { kind } = await chooseCredential(call, connector);
    if (kind === 'missing' || kind === 'reauth')
      return { connector, action: prefix === 'none' ? published : published.slice(id.length + 2) };
  }
  return undefined;
}

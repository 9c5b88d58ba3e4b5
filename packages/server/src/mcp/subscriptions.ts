// Interests of a caller in what upstreams say on their own: which connectors and resources of this user a subscription reaches. The rights
// are those of a call, looked at again whenever a subscription is made or renewed. Opens upstreams, sends nothing itself.
import type { Upstream } from '../connectors/backend.ts';
import { listsWithoutCredential, missingClaims, openUpstream } from '../connectors/forward.ts';
import type { ConnectorRecord } from '../identity/records.ts';
import { decideOn, rulesOf } from './caller.ts';
import { chooseCredential, visibleConnectors } from './catalog.ts';
import { onBehalf, type UserCall } from './request.ts';
import { locateUri } from './resources.ts';

/** The connector as this user reaches it; undefined without a usable credential. */
export async function openForUser(call: UserCall, connector: ConnectorRecord): Promise<Upstream | undefined> {
  const choice = await chooseCredential(call, connector);
  if (choice.kind !== 'use' && choice.kind !== 'none' && !listsWithoutCredential(connector)) return undefined;
  if (missingClaims(connector, onBehalf(call)).length > 0) return undefined;
  return openUpstream(
    call.parts.vault,
    connector,
    onBehalf(call),
    choice.kind === 'use' ? choice.credential : null,
    call.session,
  );
}

/** The connector and own URI of a published resource, if this user may read it. */
export async function findResource(
  call: UserCall,
  published: string,
): Promise<{ connector: ConnectorRecord; uri: string } | undefined> {
  const found = await locateUri(call, published);
  if (found === undefined) return undefined;
  return decideOn(rulesOf(call), found.connector, found.uri).allowed ? found : undefined;
}

export interface Reach {
  upstream: Upstream;
  /** Own URIs of the upstream's resources. */
  uris: readonly string[];
}

/** The upstreams behind a subscription: of all visible connectors for their lists, and of those that hold the resources. */
export async function reachOf(call: UserCall, wantsLists: boolean, published: readonly string[]): Promise<Reach[]> {
  const uris = new Map<string, string[]>();
  for (const uri of published) {
    const found = await findResource(call, uri);
    if (found !== undefined) uris.set(found.connector.id, [...(uris.get(found.connector.id) ?? []), found.uri]);
  }
  const connectors = (await visibleConnectors(call)).filter(({ id }) => wantsLists || uris.has(id));
  const reaches = await Promise.all(
    connectors.map(async (connector): Promise<Reach[]> => {
      const upstream = await openForUser(call, connector);
      return upstream === undefined ? [] : [{ upstream, uris: uris.get(connector.id) ?? [] }];
    }),
  );
  return reaches.flat();
}

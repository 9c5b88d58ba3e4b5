// Upstreams as management shows them: state as last seen and the tools a user's credential would list. For people, not for calls.

import { UpstreamFailure } from '../connectors/backend.ts';
import { keyFor, listsWithoutCredential, openUpstream } from '../connectors/forward.ts';
import type { ConnectorViews, Upstreams } from '../connectors/upstreams.ts';
import { resolveCredential } from '../credentials/resolve.ts';
import type { Vault } from '../credentials/vault.ts';
import type { Directory } from '../identity/directory.ts';
import type { UserRecord } from '../identity/records.ts';
import { notFound, Refusal, userNotFound } from '../refusal.ts';

function refusalOf(failure: UpstreamFailure): Refusal {
  const reason = `upstream_${failure.kind}`;
  if (failure.kind === 'unreachable') return new Refusal('UPSTREAM_UNREACHABLE', 'Upstream unreachable', { reason });
  if (failure.kind === 'timeout') return new Refusal('UPSTREAM_TIMEOUT', 'Upstream timed out', { reason });
  if (failure.kind === 'unauthorized')
    return new Refusal('REAUTH_REQUIRED', 'The upstream refuses the credential', { reason });
  return new Refusal('UPSTREAM_ERROR', 'Upstream failed', { reason, retryAfterMs: failure.retryAfterMs });
}

export function createConnectorViews(directory: Directory, carriers: Upstreams, vault: Vault): ConnectorViews {
  const locate = async (accountId: string, connectorId: string, userRef: string | null | undefined) => {
    const connector = (await directory.connectors(accountId)).get(connectorId);
    if (connector === undefined) throw notFound('Connector');
    let user: UserRecord | null = null;
    if (userRef !== null && userRef !== undefined) {
      const found = await directory.user(accountId, userRef);
      if (found === undefined) throw userNotFound();
      user = found;
    }
    const own = user === null ? [] : await directory.credentials(accountId, user.id);
    const shared = user !== null && connector.allowShared ? await directory.sharedCredentials(accountId) : [];
    const choice = resolveCredential(connector, own, shared, {}, user?.groups ?? []);
    return { connector, user, credential: choice.kind === 'use' ? choice.credential : null };
  };

  return {
    async state(accountId, connectorId, userRef) {
      if (userRef === null || userRef === undefined) return carriers.connectorState(accountId, connectorId);
      const { connector, user, credential } = await locate(accountId, connectorId, userRef);
      return carriers.state(keyFor(connector, user, credential));
    },
    async tools(accountId, connectorId, userRef, { fresh }) {
      const { connector, user, credential } = await locate(accountId, connectorId, userRef);
      if (credential === null && !listsWithoutCredential(connector)) {
        const whose =
          user === null
            ? 'Connector needs a credential: name a user with ?userId='
            : `No credentials found for ${user.username} on connector ${connectorId}`;
        throw new Refusal('CREDENTIALS_REQUIRED', whose);
      }
      const prepare = () => openUpstream(vault, connector, user, credential);
      try {
        return (await carriers.list('tools', { key: keyFor(connector, user, credential), connector, prepare }, fresh))
          .items;
      } catch (error) {
        if (error instanceof UpstreamFailure) throw refusalOf(error);
        throw error;
      }
    },
  };
}

// The gateway's REST carrier pointed at a loopback API, as the tests of its parts need it: real HTTP, secrets in the clear.
// Must not be used where a whole gateway can be.
import type { Upstream } from '../../packages/server/src/connectors/backend.ts';
import { createRestCarrier, type RestCarrier } from '../../packages/server/src/connectors/backends/http.ts';
import { createEgress, type Egress } from '../../packages/server/src/connectors/egress.ts';
import type { CompiledDocument } from '../../packages/server/src/connectors/openapi/document.ts';
import { createScrub } from '../../packages/server/src/connectors/scrub.ts';
import { upstreamKey } from '../../packages/server/src/connectors/upstream-key.ts';
import type { ConnectorRecord } from '../../packages/server/src/identity/records.ts';
import { clientInfo } from './raw-upstream.ts';

export interface RestUpstreamOptions extends Partial<Pick<ConnectorRecord, 'inject' | 'auth' | 'headers'>> {
  secrets?: Record<string, string>;
  user?: string;
}

export function restUpstreamOf(
  url: string,
  { secrets = {}, user = 'alice', ...fields }: RestUpstreamOptions = {},
): Upstream {
  const connector: ConnectorRecord = {
    id: 'rest',
    accountId: 'acc_1',
    name: 'REST',
    description: null,
    category: [],
    kind: 'http',
    url,
    headers: {},
    transport: 'streamable-http',
    entry: null,
    auth: null,
    oauth: null,
    allowShared: false,
    requires: null,
    inject: null,
    secretNames: [],
    requiredSecrets: [],
    timeoutMs: null,
    enabled: true,
    version: 1,
    ...fields,
  };
  const key = upstreamKey({
    accountId: connector.accountId,
    userId: `usr_${user}`,
    connectorId: connector.id,
    connectorVersion: connector.version,
    credentialId: `cred_${user}`,
    credentialVersion: 1,
  });
  const opened = new Map(Object.entries(secrets));
  const identity = { id: `usr_${user}`, username: user };
  return {
    key,
    connector,
    user: identity,
    credentialId: `cred_${user}`,
    secrets: opened,
    scrub: createScrub(opened.values()),
  };
}

export function restCarrier(
  compiled: CompiledDocument,
  maxBytes = 10 * 1024 * 1024,
): { egress: Egress; rest: RestCarrier } {
  const egress = createEgress({ allowedCidrs: ['127.0.0.0/8'] });
  return { egress, rest: createRestCarrier({ egress, load: async () => compiled, maxBytes, clientInfo }) };
}

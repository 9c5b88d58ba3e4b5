// The gateway's raw carrier pointed at a fixture upstream, as the tests of its parts need it: real HTTP, secrets in the clear.
// Must not be used where a whole gateway can be.
import { type Upstream, UpstreamFailure, type UpstreamRequest } from '../../packages/server/src/connectors/backend.ts';
import { RawCarrier } from '../../packages/server/src/connectors/backends/mcp-http-raw.ts';
import { createEgress, type Egress } from '../../packages/server/src/connectors/egress.ts';
import { createScrub } from '../../packages/server/src/connectors/scrub.ts';
import { upstreamKey } from '../../packages/server/src/connectors/upstream-key.ts';
import type { ConnectorRecord } from '../../packages/server/src/identity/records.ts';

export interface UpstreamOptions extends Partial<Pick<ConnectorRecord, 'inject' | 'headers' | 'transport'>> {
  secrets?: Record<string, string>;
  user?: { id: string; username: string } | null;
  credentialId?: string;
}

export function upstreamOf(url: string, options: UpstreamOptions = {}): Upstream {
  const secrets = new Map(Object.entries(options.secrets ?? {}));
  const connector: ConnectorRecord = {
    id: 'fixture',
    accountId: 'acc_1',
    name: 'Fixture',
    description: null,
    category: [],
    kind: 'mcp-http',
    entry: null,
    auth: null,
    oauth: null,
    allowShared: false,
    requires: null,
    url,
    headers: options.headers ?? {},
    transport: options.transport ?? 'streamable-http',
    inject: options.inject ?? null,
    secretNames: [],
    requiredSecrets: [],
    timeoutMs: null,
    enabled: true,
    version: 1,
  };
  const credentialId = options.credentialId ?? null;
  const user = options.user === undefined ? { id: 'usr_1', username: 'alice' } : options.user;
  const key = upstreamKey({
    accountId: connector.accountId,
    userId: user?.id ?? null,
    connectorId: connector.id,
    connectorVersion: connector.version,
    credentialId,
    credentialVersion: 1,
  });
  return { key, connector, user, credentialId, secrets, scrub: createScrub(secrets.values()) };
}

export const clientInfo = { name: 'MCP Valet', version: '9.9.9' };

export function rawCarrier(maxBytes = 10 * 1024 * 1024): { egress: Egress; raw: RawCarrier } {
  const egress = createEgress({ allowedCidrs: ['127.0.0.0/8'] });
  return { egress, raw: new RawCarrier({ egress, maxBytes, clientInfo }) };
}

export const callOf = (
  name: string,
  args: Record<string, unknown> = {},
  signal = AbortSignal.timeout(5_000),
): UpstreamRequest => ({
  method: 'tools/call',
  params: { name, arguments: args },
  signal,
});

/** The failure that a request ends with; fails the test when there is none. */
export async function failureOf(work: Promise<unknown>): Promise<UpstreamFailure> {
  const outcome: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof UpstreamFailure)) throw new Error('expected an UpstreamFailure', { cause: outcome });
  return outcome;
}

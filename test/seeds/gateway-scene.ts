// The scene of the gateway guide: its MCPs as connectors. Its users are made by its own examples.
import { type Rig, type RigOptions, startRig } from '../support/gateway.ts';
import { type NamedUpstream, startNamedUpstream } from './named-upstream.ts';

export const mcps = ['erpnext', 'wave', 'homeassistant', 'truenas'] as const;

export interface GatewayScene {
  rig: Rig;
  upstream: NamedUpstream;
  /** Replacement for the guide's address. */
  host: Record<string, string>;
  close(): Promise<void>;
}

export async function startGatewayScene(options: RigOptions = {}): Promise<GatewayScene> {
  const rig = await startRig(options);
  const upstream = await startNamedUpstream(Object.fromEntries(mcps.map((id) => [id, [`${id}_list`]])));
  for (const connectorId of mcps) {
    await rig.manage('POST', '/api/connectors', { connectorId, kind: 'mcp-http', url: upstream.urlOf(connectorId) });
  }
  return {
    rig,
    upstream,
    host: { 'http://10.0.0.25:4444': rig.url },
    async close() {
      await rig.close();
      await upstream.close();
    },
  };
}

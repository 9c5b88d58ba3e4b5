// The scene of the Alloy examples: their users, connectors and credential ids, as an operator would have created them before.
import { canary, type Json, type Rig, type RigOptions, startRig } from '../support/gateway.ts';
import { exampleJson } from './example.ts';
import { type NamedUpstream, startNamedUpstream } from './named-upstream.ts';

const tools = {
  slack: ['chat_postMessage', 'conversations_list'],
  notion: ['pages_create'],
  hubspot: ['contacts_create'],
  mailchimp: ['campaigns_create'],
} as const;

export const sceneUsers = [
  'user_alice_123',
  'user_bob_456',
  'user_abc123',
  'team_sales_john',
  'team_marketing_jane',
  'tenant_t1_user_u1',
] as const;

export interface AlloyScene {
  rig: Rig;
  upstream: NamedUpstream;
  /** Kind `ent`: what the texts call an enterprise API key. */
  enterprise: string;
  /** `user connector` -> the secret that must arrive for them, and only for them. */
  secrets: ReadonlyMap<string, string>;
  /** Publishes a server; its tokenized URL split as the examples split it. */
  publish(name: string, more?: Json): Promise<PublishedServer>;
  close(): Promise<void>;
}

export interface PublishedServer {
  serverId: string;
  /** Without token: `…/mcp/{serverId}`. */
  url: string;
  accessToken: string;
  accessUrl: string;
  /** Path of the tokenized URL. */
  path: string;
}

export async function startAlloyScene(options: RigOptions = {}): Promise<AlloyScene> {
  const rig = await startRig(options);
  const upstream = await startNamedUpstream(tools);
  const secrets = new Map<string, string>();
  for (const username of sceneUsers) await rig.manage('POST', '/users', { username });
  for (const connectorId of Object.keys(tools)) {
    await rig.manage('POST', '/api/connectors', {
      connectorId,
      kind: 'mcp-http',
      url: upstream.urlOf(connectorId),
      secretNames: ['ACCESS_TOKEN'],
      inject: { headers: { authorization: 'Bearer {{ACCESS_TOKEN}}' } },
    });
  }
  const store = async (userId: string, connectorId: string, credentialId?: string) => {
    const secret = canary(`${userId}-${connectorId}`);
    secrets.set(`${userId} ${connectorId}`, secret);
    await rig.manage('POST', '/api/credentials', {
      userId,
      connectorId,
      authenticationType: 'api_key',
      ...(credentialId !== undefined && { credentialId }),
      fields: { ACCESS_TOKEN: secret },
    });
  };
  for (const [userId, ids] of Object.entries(await credentialIds())) {
    for (const [connectorId, credentialId] of Object.entries(ids)) await store(userId, connectorId, credentialId);
  }
  await store('user_bob_456', 'notion');
  await store('team_sales_john', 'hubspot');
  await store('team_marketing_jane', 'mailchimp');
  const key = await rig.manage('POST', '/users/default/keys', { key_name: 'enterprise', kind: 'enterprise' });
  return {
    rig,
    upstream,
    enterprise: key.api_key,
    secrets,
    async publish(name, more) {
      const made = await rig.manage('POST', '/api/servers', { name, ...more }, key.api_key);
      const { serverId, url, accessToken, accessUrl } = made;
      return { serverId, url, accessToken, accessUrl, path: new URL(accessUrl).pathname };
    },
    async close() {
      await rig.close();
      await upstream.close();
    },
  };
}

/** The ids of the text's "Credential Management" example, which its other examples use. */
async function credentialIds(): Promise<Record<string, Record<string, string>>> {
  return exampleJson('alloy-user-management/credential-management.mjs', jsonFromLiteral);
}

/** Its object literal has unquoted keys and a declaration around it; JSON has not. */
const jsonFromLiteral = {
  '// Store credentials per user\nconst userCredentials = ': '',
  '};': '}',
  "'": '"',
  'slack:': '"slack":',
  'notion:': '"notion":',
  'hubspot:': '"hubspot":',
};

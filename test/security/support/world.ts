// Two accounts that look alike, with five users, four servers, two connectors and a key of every kind each, made through the public API.
// Every (user, connector) owns a canary as its secret. Asserts nothing: what must hold stands in the tests.
import { randomBytes } from 'node:crypto';
import type { TestDatabase } from '../../support/database.ts';
import { expireKey, type Rig, startRig } from '../../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../../support/recording-upstream.ts';
import { Canaries, tokenNeedle } from './canaries.ts';
import { LogCollector } from './log-collector.ts';
import { Wire } from './wire.ts';

export const usernames = ['default', 'alice', 'bob', 'carol', 'dora'] as const;
export type Username = (typeof usernames)[number];
export const connectorIds = ['demo', 'notes'] as const;
export type ConnectorName = (typeof connectorIds)[number];
export const serverNames = ['connect', 'direct', 'narrow', 'owned'] as const;
export type ServerName = (typeof serverNames)[number];

export interface WorldUser {
  id: string;
  username: Username;
  /** A standard key. */
  key: string;
  keyId: string;
  /** Of a delegated token. */
  tokenId: string;
  credentials: Record<ConnectorName, string>;
  canaries: Record<ConnectorName, string>;
  /** A text that only this user's own data hold: in its e-mail address and its credentials' labels. */
  mark: string;
}
export interface WorldServer {
  id: string;
  token: string;
}
export interface WorldAccount {
  name: 'a' | 'b';
  id: string;
  admin: string;
  enterprise: string;
  users: Record<Username, WorldUser>;
  servers: Record<ServerName, WorldServer>;
  /** Exists in this account only. */
  ownConnector: string;
  /** A limit so large that nobody meets it. */
  limitId: string;
  /** Without rules; alice is in it. */
  groupId: string;
  /** Every user is the subject of its own id. */
  issuerId: string;
  mark: string;
  dead: {
    revoked: string;
    expired: string;
    rotatedUrl: string;
    expiredUrl: string;
    deletedServer: string;
    deletedUrl: string;
  };
}
export interface World {
  rig: Rig;
  wire: Wire;
  canaries: Canaries;
  log: LogCollector;
  /** Random parts of every key and token that was handed out. */
  tokens: string[];
  upstreams: Record<ConnectorName, RecordingUpstream>;
  a: WorldAccount;
  b: WorldAccount;
  spareAccounts: { kept: string; disabled: string };
  close(): Promise<void>;
}

/** No limit stands in the way of thousands of requests. */
export const noLimits = {
  VALET_RATE_LIMIT: '1000000',
  VALET_LIST_RATE_LIMIT: '1000000',
  VALET_MANAGEMENT_RATE_LIMIT: '1000000',
  VALET_CONCURRENT_CALLS: '10000',
};

export const connectorBodies = (urls: Record<ConnectorName, string>) => ({
  demo: {
    connectorId: 'demo',
    kind: 'mcp-http',
    url: urls.demo,
    secretNames: ['TOKEN'],
    inject: { headers: { authorization: 'Bearer {{TOKEN}}' } },
  },
  notes: {
    connectorId: 'notes',
    kind: 'mcp-http',
    url: urls.notes,
    secretNames: ['TOKEN'],
    inject: { args: { apiKey: '{{TOKEN}}' }, query: { k: '{{TOKEN}}' } },
  },
});

export async function buildWorld(database: TestDatabase): Promise<World> {
  const canaries = new Canaries();
  const tokens: string[] = [];
  const log = new LogCollector(canaries, tokens);
  const upstreams = {
    demo: await startRecordingUpstream({ record: true }),
    notes: await startRecordingUpstream({ record: true, modern: true }),
  };
  const rig = await startRig({ database, env: { ...noLimits, LOG_LEVEL: 'trace' }, logDestination: log });
  const builder = new Builder(rig, canaries, tokens, { demo: upstreams.demo.url, notes: upstreams.notes.url });
  const { account } = await rig.manage('GET', '/api/me');
  const a = await builder.account('a', account.accountId, rig.admin);
  const made = await rig.manage('POST', '/api/accounts', { name: 'globex' });
  const b = await builder.account('b', made.accountId, made.apiKey);
  const spare = async (name: string): Promise<string> =>
    (await rig.manage('POST', '/api/accounts', { name })).accountId;
  const spareAccounts = { kept: await spare('spare kept'), disabled: await spare('spare disabled') };
  await rig.manage('PATCH', `/api/accounts/${spareAccounts.disabled}`, { enabled: false });
  const wire = new Wire(rig.url);
  return {
    rig,
    wire,
    canaries,
    log,
    tokens,
    upstreams,
    a,
    b,
    spareAccounts,
    async close() {
      await wire.close();
      await rig.close();
      await Promise.all([upstreams.demo.close(), upstreams.notes.close()]);
    },
  };
}

type Manage = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape; whoever asks says what it reads of one
) => Promise<any>;

class Builder {
  readonly #rig: Rig;
  readonly #canaries: Canaries;
  readonly #tokens: string[];
  readonly #urls: Record<ConnectorName, string>;

  constructor(rig: Rig, canaries: Canaries, tokens: string[], urls: Record<ConnectorName, string>) {
    this.#rig = rig;
    this.#canaries = canaries;
    this.#tokens = tokens;
    this.#urls = urls;
  }

  async account(name: 'a' | 'b', id: string, admin: string): Promise<WorldAccount> {
    const mark = `mark${name}${randomBytes(6).toString('hex')}`;
    this.#seen(admin);
    const manage: Manage = async (method, path, body, headers) => {
      const answer = await this.#rig.send(path, { method, key: admin, body, ...(headers && { headers }) });
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
      return answer.body;
    };
    const ownConnector = `only-${name}-${randomBytes(4).toString('hex')}`;
    for (const body of Object.values(connectorBodies(this.#urls)))
      await manage('POST', '/api/connectors', { ...body, description: mark });
    await manage('POST', '/api/connectors', { connectorId: ownConnector, kind: 'mcp-http', url: this.#urls.demo });
    const users = {} as Record<Username, WorldUser>;
    for (const username of usernames) users[username] = await this.#user(manage, `${mark}-${username}`, username);
    const enterprise: string = (
      await manage('POST', '/users/default/keys', { key_name: 'backend', kind: 'enterprise' })
    ).api_key;
    this.#seen(enterprise);
    const servers = await this.#servers(manage, mark);
    // No public way makes such a server yet: a token that acts for its owner only.
    await this.#rig.sql(id, 'update servers set acts_for_users = false where account_id = $1 and id = $2', [
      id,
      servers.owned.id,
    ]);
    const dead = await this.#dead(manage, id);
    await manage('PATCH', '/users/dora/enable', { enabled: false });
    const { groupId } = await manage('POST', '/api/groups', { name: mark, userIds: ['alice'] });
    const { limitId } = await manage('POST', '/api/limits', { userId: 'alice', max: 1_000_000, window: 60 });
    const { issuerId } = await manage('POST', '/api/issuers', {
      type: 'jwt',
      name: mark,
      issuer: `https://${mark}.test`,
      audience: ['valet'],
      sharedSecret: true,
    });
    for (const { id: userId } of Object.values(users))
      await manage('POST', '/api/identities', { issuerId, subject: userId, userId });
    return { name, id, admin, enterprise, users, servers, ownConnector, limitId, groupId, issuerId, mark, dead };
  }

  #seen(token: string): string {
    this.#tokens.push(tokenNeedle(token));
    return token;
  }

  async #user(manage: Manage, mark: string, username: Username): Promise<WorldUser> {
    const email = `${mark}@example.test`;
    const user =
      username === 'default'
        ? await manage('GET', '/users/default')
        : await manage('POST', '/users', { username, email, metadata: { mark } });
    const key = await manage('POST', `/users/${username}/keys`, { key_name: mark });
    this.#seen(key.api_key);
    const { tokenId, token } = await manage('POST', '/api/tokens', { userId: user.user_id, ttlSeconds: 86_400 });
    this.#seen(token);
    const credentials = {} as Record<ConnectorName, string>;
    const canaries = {} as Record<ConnectorName, string>;
    for (const connectorId of connectorIds) {
      canaries[connectorId] = this.#canaries.make(`${mark}/${connectorId}`);
      const body = {
        userId: username,
        connectorId,
        authenticationType: 'secrets',
        fields: { TOKEN: canaries[connectorId] },
        label: mark,
      };
      credentials[connectorId] = (await manage('POST', '/api/credentials', body)).credentialId;
    }
    return { id: user.user_id, username, key: key.api_key, keyId: key.key_id, tokenId, credentials, canaries, mark };
  }

  async #servers(manage: Manage, mark: string): Promise<Record<ServerName, WorldServer>> {
    const add = async (body: object, headers?: Record<string, string>): Promise<WorldServer> => {
      const made = await manage(
        'POST',
        '/api/servers',
        { description: mark, customInstructions: mark, ...body },
        headers,
      );
      return { id: made.serverId, token: this.#seen(made.accessToken) };
    };
    return {
      connect: await add({ name: 'connect', connectors: ['demo', 'notes'] }),
      direct: await add({ name: 'direct', mode: 'direct', connectors: ['demo', 'notes'] }),
      narrow: await add({
        name: 'narrow',
        restrictions: {
          users: { mode: 'allowlist', allowedIds: ['alice'] },
          permissions: [{ connector: 'demo', mode: 'allow', actions: ['whoami'] }],
        },
      }),
      owned: await add({ name: 'owned', connectors: ['demo', 'notes'] }, { 'x-alloy-userid': 'carol' }),
    };
  }

  async #dead(manage: Manage, accountId: string): Promise<WorldAccount['dead']> {
    const key = async (): Promise<{ key_id: string; api_key: string }> =>
      manage('POST', '/users/alice/keys', { key_name: 'dead', ttl_days: 1 });
    const [revoked, expired] = [await key(), await key()];
    await manage('POST', '/keys/revoke', { key_id: revoked.key_id });
    await expireKey(this.#rig, accountId, expired.key_id);
    const server = async () =>
      manage('POST', '/api/servers', { name: `dead ${randomBytes(4).toString('hex')}`, tokenExpiresInDays: 1 });
    const [rotated, ended, deleted] = [await server(), await server(), await server()];
    await manage('POST', `/api/servers/${rotated.serverId}/token`, {});
    const [token] = (await manage('GET', `/api/keys?serverId=${ended.serverId}`)).keys;
    await expireKey(this.#rig, accountId, token.keyId);
    await manage('DELETE', `/api/servers/${deleted.serverId}`);
    for (const text of [revoked.api_key, expired.api_key, rotated.accessToken, ended.accessToken, deleted.accessToken])
      this.#seen(text);
    return {
      revoked: revoked.api_key,
      expired: expired.api_key,
      rotatedUrl: `/mcp/${rotated.serverId}/${rotated.accessToken}`,
      expiredUrl: `/mcp/${ended.serverId}/${ended.accessToken}`,
      deletedServer: deleted.serverId,
      deletedUrl: `/mcp/${deleted.serverId}/${deleted.accessToken}`,
    };
  }
}

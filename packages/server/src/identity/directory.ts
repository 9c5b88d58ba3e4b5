// What the call plane looks up on every request, through short caches: keys, servers, users, connectors, sealed credentials.
// Read-only. Each look-up runs in the scope of its account; nothing here decides anything, and nothing here opens a secret.
import { performance } from 'node:perf_hooks';
import { injectOf, neededSecrets, oauthSecrets, type Restrictions } from '@mcp-valet/shared';
import type { Database } from '../db/client.ts';
import { findIssuers, findServerAccount } from '../db/find-issuer.ts';
import { type FoundSession, findSession } from '../db/find-session.ts';
import { type FoundPrincipal, findPrincipal } from '../db/hot-path.ts';
import { installationScope, scopedQuery } from '../db/scope.ts';
import { Cache, Changes, type Topic } from './cache.ts';
import type {
  AccountRecord,
  ConnectorRecord,
  CredentialRecord,
  GroupRecord,
  IssuerRecord,
  KindConfig,
  LimitRecord,
  ServerRecord,
  UserRecord,
} from './records.ts';

export interface Directory {
  principal(hash: Uint8Array): Promise<FoundPrincipal | undefined>;
  /** A session of the dashboard, with the key it stands for. */
  session(hash: Uint8Array): Promise<FoundSession | undefined>;
  server(accountId: string, serverId: string): Promise<ServerRecord | undefined>;
  /** By username or `usr_` id. */
  user(accountId: string, ref: string): Promise<UserRecord | undefined>;
  account(accountId: string): Promise<AccountRecord | undefined>;
  /** The account's own limits and quotas. */
  limits(accountId: string): Promise<readonly LimitRecord[]>;
  /** Issuers of this exact `iss`, in every account that knows them; disabled ones included. */
  issuers(iss: string): Promise<readonly IssuerRecord[]>;
  /** Enabled issuers and session verifiers of the account. */
  issuersOf(accountId: string): Promise<readonly IssuerRecord[]>;
  /** The account, where the installation has only one. */
  onlyAccount(): Promise<string | undefined>;
  /** Whose account a server's URL belongs to. */
  accountOfServer(serverId: string): Promise<{ accountId: string; accountEnabled: boolean } | undefined>;
  /** All connectors of the account, by id; disabled ones included. */
  connectors(accountId: string): Promise<ReadonlyMap<string, ConnectorRecord>>;
  credentials(accountId: string, userId: string): Promise<readonly CredentialRecord[]>;
  /** Credentials that their owners' account shares; sharing one is told under `connectors:`. */
  sharedCredentials(accountId: string): Promise<readonly CredentialRecord[]>;
  /** Called with every change that any replica commits; `*` when anything may have changed. */
  onChange(listener: (topic: string) => void): void;
  close(): void;
}

const ttlMs = 5_000;

const serverSql = `select id, account_id as "accountId", name, custom_instructions as "customInstructions", mode, connectors, prefix, sessions,
  on_unknown_user as "onUnknownUser", rate_limit as "rateLimit", full_results as "fullResults", restrictions, requires, acts_for_users as "actsForUsers", version
  from servers where account_id = $1 and id = $2`;
const userSql = `select u.id, u.account_id as "accountId", u.username, u.enabled, u.mcp_allowed as allowed, u.mcp_blocked as blocked, u.permissions,
  (extract(epoch from u.tokens_not_before) * 1000)::float8 as not_before_ms,
  (select coalesce(json_agg(json_build_object('id', g.id, 'name', g.name, 'allowed', g.allowed, 'blocked', g.blocked, 'permissions', g.permissions)
     order by g.id collate "C"), '[]') from group_members m join groups g on g.account_id = m.account_id and g.id = m.group_id
   where m.account_id = u.account_id and m.user_id = u.id)::text as groups
  from users u where u.account_id = $1 and (u.username = $2 or u.id = $2)`;
const limitsSql = `select id, user_id as "userId", group_id as "groupId", server_id as "serverId", connector_id as "connectorId", action, max,
  window_seconds as "windowSeconds", shared from limit_rules where account_id = $1 order by id collate "C"`;
const onlyAccountSql = `select id from accounts limit 2`;
const accountSql = `select id, enabled, calls_per_minute as "callsPerMinute" from accounts where id = $1`;
const issuersOfSql = `select i.id, i.account_id as "accountId", a.enabled as "accountEnabled", i.name, i.type, i.issuer, i.config, i.secret, i.enabled
  from issuers i join accounts a on a.id = i.account_id where i.account_id = $1 and i.enabled order by i.id collate "C"`;
const connectorsSql = `select id, account_id as "accountId", name, description, category, kind, config, inject, oauth,
  allow_shared as "allowShared", requires, secret_names as "secretNames",
  timeout_ms as "timeoutMs", enabled, version from connectors where account_id = $1 order by id collate "C"`;
// One row per credential, its secrets and the data keys that open them beside it.
const credentialsSelect = `select c.id, c.account_id as "accountId", c.user_id as "userId", c.connector_id as "connectorId", c.type, c.label, c.status,
  c.is_default as "isDefault", c.shared, c.group_ids as "groupIds", c.scopes, c.last_error as "lastError", c.version,
  (extract(epoch from c.token_expires_at) * 1000)::float8 as token_expires_ms, (extract(epoch from c.created_at) * 1000)::float8 as created_ms,
  (extract(epoch from c.updated_at) * 1000)::float8 as updated_ms,
  coalesce(json_agg(json_build_object('name', s.name, 'version', s.version, 'sealed', encode(s.sealed, 'base64'), 'dataKeyId', k.id,
    'wrapped', encode(k.wrapped, 'base64'), 'kekVersion', k.kek_version) order by s.name collate "C") filter (where k.id is not null), '[]')::text as secrets
  from credentials c
  left join secrets s on s.account_id = c.account_id and s.user_id = c.user_id and s.credential_id = c.id
  left join data_keys k on k.account_id = c.account_id and k.user_id = c.user_id and k.id = encode(substring(s.sealed from 2 for 16), 'hex')
`;
const credentialsOrder = 'group by c.account_id, c.id order by c.id collate "C"';
const credentialsSql = `${credentialsSelect} where c.account_id = $1 and c.user_id = $2 ${credentialsOrder}`;
const sharedSql = `${credentialsSelect} where c.account_id = $1 and c.shared ${credentialsOrder}`;

interface ConnectorRow
  extends Omit<ConnectorRecord, 'url' | 'headers' | 'transport' | 'entry' | 'auth' | 'requiredSecrets'> {
  config: KindConfig;
}
interface CredentialRow extends Omit<CredentialRecord, 'secrets' | 'createdAt' | 'updatedAt' | 'tokenExpiresAt'> {
  token_expires_ms: number | null;
  created_ms: number;
  updated_ms: number;
  secrets: string;
}
interface UserRow extends Omit<UserRecord, 'groups' | 'tokensNotBefore'> {
  groups: string;
  not_before_ms: number | null;
}
interface SecretJson {
  name: string;
  version: number;
  sealed: string;
  dataKeyId: string;
  wrapped: string;
  kekVersion: number;
}

function toConnector({ config, ...row }: ConnectorRow): ConnectorRecord {
  const inject = injectOf(row);
  const needed = [...row.secretNames, ...neededSecrets(inject)];
  return {
    ...row,
    inject,
    url: config.url ?? config.baseUrl ?? '',
    headers: config.headers ?? {},
    transport: config.transport ?? 'streamable-http',
    entry: config.entry ?? null,
    auth: config.auth ?? null,
    // Whoever signs in with OAuth calls with that token or not at all.
    requiredSecrets: [...new Set(row.oauth === null ? needed : [...needed, oauthSecrets.access])],
  };
}

const toUser = ({ groups, not_before_ms, ...row }: UserRow): UserRecord => ({
  ...row,
  groups: JSON.parse(groups) as GroupRecord[],
  tokensNotBefore: not_before_ms === null ? null : new Date(not_before_ms),
});

function toCredential({ created_ms, updated_ms, token_expires_ms, secrets, ...row }: CredentialRow): CredentialRecord {
  return {
    ...row,
    tokenExpiresAt: token_expires_ms === null ? null : new Date(token_expires_ms),
    createdAt: new Date(created_ms),
    updatedAt: new Date(updated_ms),
    secrets: (JSON.parse(secrets) as SecretJson[]).map(({ sealed, wrapped, ...secret }) => ({
      ...secret,
      sealed: Buffer.from(sealed, 'base64'),
      wrappedDataKey: Buffer.from(wrapped, 'base64'),
    })),
  };
}

export function createDirectory(db: Database): Directory {
  const changes = new Changes();
  const options = (maxEntries: number) => ({
    ttlMs,
    maxEntries,
    now: () => performance.now(),
    isFresh: () => db.changes.isFresh(),
  });
  const principals = new Cache<FoundPrincipal | undefined>(changes, options(10_000));
  const sessions = new Cache<FoundSession | undefined>(changes, options(1_000));
  const servers = new Cache<ServerRecord | undefined>(changes, options(10_000));
  const users = new Cache<UserRecord | undefined>(changes, options(10_000));
  const connectors = new Cache<ReadonlyMap<string, ConnectorRecord>>(changes, options(1_000));
  const credentials = new Cache<readonly CredentialRecord[]>(changes, options(10_000));
  const shared = new Cache<readonly CredentialRecord[]>(changes, options(1_000));
  const accounts = new Cache<AccountRecord | undefined>(changes, options(1_000));
  const limits = new Cache<readonly LimitRecord[]>(changes, options(1_000));
  const issuers = new Cache<readonly IssuerRecord[]>(changes, options(1_000));
  const issuersOf = new Cache<readonly IssuerRecord[]>(changes, options(1_000));
  const onlyAccounts = new Cache<string | null>(changes, options(1));
  const serverAccounts = new Cache<{ accountId: string; accountEnabled: boolean } | undefined>(
    changes,
    options(10_000),
  );
  const listeners: ((topic: string) => void)[] = [];
  const everything: Topic = 'account:*';
  const unsubscribe = db.changes.subscribe((topic) => {
    changes.touch(topic === '*' ? everything : topic);
    for (const listener of listeners) listener(topic);
  });
  const whole = (account: string) => ({ account, user: '*' });

  const base64 = (hash: Uint8Array): string =>
    Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('base64');
  const topicsOf = (found: FoundPrincipal | undefined): Topic[] =>
    found === undefined
      ? [everything]
      : [
          everything,
          `account:${found.accountId}`,
          `key:${found.keyId}`,
          // A delegated token ends with the key that minted it.
          ...(found.delegation ? ([`key:${found.delegation.mintedBy}`] as const) : []),
          ...(found.user ? ([`user:${found.user.id}`] as const) : []),
          ...(found.server ? ([`server:${found.server.id}`] as const) : []),
          ...(found.server?.owner ? ([`user:${found.server.owner.id}`] as const) : []),
        ];

  return {
    principal: (hash) =>
      principals.get(
        base64(hash),
        () => findPrincipal(db, hash),
        topicsOf,
        (found) => found?.remainingMs ?? Number.POSITIVE_INFINITY,
      ),
    session: (hash) =>
      sessions.get(
        base64(hash),
        () => findSession(db, hash),
        (found) => [...topicsOf(found?.key), ...(found ? ([`key:${found.id}`] as const) : [])],
        (found) => Math.min(found?.remainingMs ?? 0, found?.key.remainingMs ?? Number.POSITIVE_INFINITY),
      ),
    server: (accountId, serverId) =>
      servers.get(
        `${accountId} ${serverId}`,
        async () => {
          const [row] = await scopedQuery<ServerRecord & { restrictions: Restrictions | null }>(
            db,
            whole(accountId),
            serverSql,
            [accountId, serverId],
          );
          return row;
        },
        () => [everything, `server:${serverId}`],
      ),
    user: (accountId, ref) =>
      users.get(
        `${accountId} ${ref}`,
        async () => {
          const [row] = await scopedQuery<UserRow>(db, whole(accountId), userSql, [accountId, ref]);
          return row && toUser(row);
        },
        (found) => [everything, `groups:${accountId}`, ...(found ? ([`user:${found.id}`] as const) : [])],
      ),
    account: (accountId) =>
      accounts.get(
        accountId,
        async () => (await scopedQuery<AccountRecord>(db, whole(accountId), accountSql, [accountId]))[0],
        () => [everything, `account:${accountId}`],
      ),
    limits: (accountId) =>
      limits.get(
        accountId,
        () => scopedQuery<LimitRecord>(db, whole(accountId), limitsSql, [accountId]),
        () => [everything, `limits:${accountId}`],
      ),
    issuers: (iss) =>
      issuers.get(
        iss,
        () => findIssuers(db, iss),
        (found) => [everything, 'issuers:*', ...found.map(({ accountId }) => `account:${accountId}` as const)],
      ),
    onlyAccount: async () =>
      (await onlyAccounts.get(
        '',
        async () => {
          const rows = await scopedQuery<{ id: string }>(db, installationScope, onlyAccountSql);
          return rows.length === 1 ? (rows[0]?.id ?? null) : null;
        },
        () => [everything],
      )) ?? undefined,
    issuersOf: (accountId) =>
      issuersOf.get(
        accountId,
        () => scopedQuery<IssuerRecord>(db, whole(accountId), issuersOfSql, [accountId]),
        () => [everything, 'issuers:*', `account:${accountId}`],
      ),
    accountOfServer: (serverId) =>
      serverAccounts.get(
        serverId,
        () => findServerAccount(db, serverId),
        (found) => [everything, `server:${serverId}`, ...(found ? ([`account:${found.accountId}`] as const) : [])],
      ),
    connectors: (accountId) =>
      connectors.get(
        accountId,
        async () => {
          const rows = await scopedQuery<ConnectorRow>(db, whole(accountId), connectorsSql, [accountId]);
          return new Map(rows.map((row) => [row.id, toConnector(row)]));
        },
        () => [everything, `connectors:${accountId}`],
      ),
    credentials: (accountId, userId) =>
      credentials.get(
        `${accountId} ${userId}`,
        // The scope is the user, not the account: the second wall stands between users too.
        async () =>
          (
            await scopedQuery<CredentialRow>(db, { account: accountId, user: userId }, credentialsSql, [
              accountId,
              userId,
            ])
          ).map(toCredential),
        () => [everything, `user:${userId}`, `connectors:${accountId}`],
      ),
    sharedCredentials: (accountId) =>
      shared.get(
        accountId,
        // Crossing users is the point of a shared credential: the one read that is not scoped to one of them.
        async () => (await scopedQuery<CredentialRow>(db, whole(accountId), sharedSql, [accountId])).map(toCredential),
        (found) => [everything, `connectors:${accountId}`, ...found.map(({ userId }) => `user:${userId}` as const)],
      ),
    onChange: (listener) => listeners.push(listener),
    close: unsubscribe,
  };
}

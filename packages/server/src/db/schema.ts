// The tables, for drizzle and drizzle-kit. Policies, triggers and SQL functions live in the hand-written migrations.
// Every table that belongs to an account carries a non-empty account_id: the row-level-security wall compares it with the scope.
import { sql } from 'drizzle-orm';
import {
  boolean,
  check,
  customType,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
} from 'drizzle-orm/pg-core';
import type { Delegation, KeyKind, Permission, Requirement } from './stored.ts';

export type { Delegation, KeyKind, Permission, Requirement } from './stored.ts';

export const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => 'bytea' });
export const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date', precision: 3 });
export const createdAt = () => at('created_at').notNull().defaultNow();
export const updatedAt = () => at('updated_at').notNull().defaultNow();
export const accountId = () =>
  text('account_id')
    .notNull()
    .references(() => accounts.id, { onDelete: 'cascade' });

/** One row: which installation this database is, and a constant sealed under the master key that proves the key fits. */
export const installation = pgTable('installation', {
  id: text('id').primaryKey(),
  keyCheck: bytea('key_check').notNull(),
  createdAt: createdAt(),
});

/** Keys of the installation (pepper, digest, seal, state), each wrapped under the master key with its purpose as associated data. */
export const keyring = pgTable(
  'keyring',
  {
    purpose: text('purpose').notNull(),
    version: integer('version').notNull(),
    kekVersion: integer('kek_version').notNull(),
    wrapped: bytea('wrapped').notNull(),
    createdAt: createdAt(),
  },
  (t) => [primaryKey({ columns: [t.purpose, t.version] })],
);

export const accounts = pgTable('accounts', {
  id: text('id').primaryKey(),
  name: text('name').notNull().unique(),
  enabled: boolean('enabled').notNull().default(true),
  /** Calls per user and minute; null: the gateway's own. */
  callsPerMinute: integer('calls_per_minute'),
  createdAt: createdAt(),
});

export const users = pgTable(
  'users',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    username: text('username').notNull(),
    email: text('email'),
    description: text('description'),
    metadata: jsonb('metadata').$type<Record<string, unknown>>().notNull().default({}),
    enabled: boolean('enabled').notNull().default(true),
    mcpAllowed: text('mcp_allowed').array().notNull().default(sql`'{}'`),
    mcpBlocked: text('mcp_blocked').array().notNull().default(sql`'{}'`),
    /** Rules of the user's own that go down to actions. */
    permissions: jsonb('permissions').$type<Permission[]>().notNull().default([]),
    /** User tokens issued before this are refused. */
    tokensNotBefore: at('tokens_not_before'),
    /** When the user was off-boarded first. */
    offboardedAt: at('offboarded_at'),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [unique('users_username').on(t.accountId, t.username), check('users_account', sql`account_id <> ''`)],
);

export const servers = pgTable(
  'servers',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    name: text('name').notNull(),
    description: text('description'),
    customInstructions: text('custom_instructions'),
    mode: text('mode').$type<'connectivity' | 'direct'>().notNull(),
    connectors: text('connectors').array(),
    prefix: text('prefix').$type<'connector' | 'none'>().notNull(),
    sessions: text('sessions').$type<'auto' | 'always' | 'never'>().notNull(),
    onUnknownUser: text('on_unknown_user').$type<'reject' | 'fallback'>().notNull(),
    rateLimit: jsonb('rate_limit').$type<{ max: number; windowSeconds: number }>(),
    isPublic: boolean('is_public').notNull().default(false),
    /** Large results of REST connectors are given out whole. */
    fullResults: boolean('full_results').notNull().default(false),
    restrictions: jsonb('restrictions').$type<Record<string, unknown>>(),
    /** Scopes and claims that tools demand; null: none. */
    requires: jsonb('requires').$type<Requirement[]>(),
    /** The user who owns the server: the creator key's user, or the one named at creation. */
    ownerUserId: text('owner_user_id').references(() => users.id, { onDelete: 'set null' }),
    /** Whether an adm or ent key made it: only then may its URL tokens name users. */
    actsForUsers: boolean('acts_for_users').notNull(),
    version: integer('version').notNull().default(1),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [unique('servers_name').on(t.accountId, t.name), check('servers_account', sql`account_id <> ''`)],
);

/** Every bearer token we issue, the tokens of server URLs included. The text is never stored, only its keyed hash. */
export const apiKeys = pgTable(
  'api_keys',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    kind: text('kind').$type<KeyKind>().notNull(),
    name: text('name').notNull(),
    hash: bytea('hash').notNull(),
    pepperVersion: integer('pepper_version').notNull(),
    prefix: text('prefix').notNull(),
    /** The key's own user (std always, ent optional). */
    userId: text('user_id').references(() => users.id, { onDelete: 'cascade' }),
    /** Set on url keys only: the one server that the token opens. */
    serverId: text('server_id').references(() => servers.id, { onDelete: 'cascade' }),
    createdAt: createdAt(),
    expiresAt: at('expires_at'),
    revokedAt: at('revoked_at'),
    lastUsedAt: at('last_used_at'),
    /** Null: not narrowed. Of a delegated token: the tools' scopes that it holds. */
    scopes: text('scopes').array(),
    /** Ids of the users whom the key may name; null: all that its kind may. */
    allowedUsers: text('allowed_users').array(),
    rotatedFrom: text('rotated_from'),
    /** Of a delegated token: where it may call and how often, and which key minted it. */
    delegation: jsonb('delegation').$type<Delegation>(),
    /** Calls made of `delegation.maxCalls`. */
    callsUsed: integer('calls_used').notNull().default(0),
  },
  (t) => [
    uniqueIndex('api_keys_hash').on(t.hash),
    index('api_keys_user').on(t.accountId, t.userId),
    index('api_keys_server').on(t.serverId),
    check('api_keys_account', sql`account_id <> ''`),
    check(
      'api_keys_owner',
      sql`(kind not in ('std', 'usr') or user_id is not null) and ((kind = 'url') = (server_id is not null)) and ((kind = 'usr') = (delegation is not null))`,
    ),
  ],
);

export const connectors = pgTable(
  'connectors',
  {
    accountId: accountId(),
    id: text('id').notNull(),
    name: text('name').notNull(),
    description: text('description'),
    category: text('category').array().notNull().default(sql`'{}'`),
    kind: text('kind').$type<'mcp-http' | 'mcp-stdio' | 'http'>().notNull(),
    /** What the kind needs, as `connectors/definition` describes it. Never a secret. */
    config: jsonb('config').$type<Record<string, unknown>>().notNull(),
    inject: jsonb('inject').$type<Record<string, unknown>>(),
    /** How users sign in with OAuth 2.0; null: they do not. The client's secret is in `oauth_clients`. */
    oauth: jsonb('oauth').$type<Record<string, unknown>>(),
    allowShared: boolean('allow_shared').notNull().default(false),
    requires: jsonb('requires').$type<Requirement[]>(),
    secretNames: text('secret_names').array().notNull().default(sql`'{}'`),
    timeoutMs: integer('timeout_ms'),
    enabled: boolean('enabled').notNull().default(true),
    /** Grows with every change; part of every upstream cache key. */
    version: integer('version').notNull().default(1),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [primaryKey({ columns: [t.accountId, t.id] }), check('connectors_account', sql`account_id <> ''`)],
);

export const credentials = pgTable(
  'credentials',
  {
    accountId: accountId(),
    id: text('id').notNull(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    connectorId: text('connector_id').notNull(),
    type: text('type').$type<'api_key' | 'secrets' | 'oauth2'>().notNull(),
    label: text('label'),
    status: text('status').$type<'valid' | 'pending' | 'expiring' | 'reauth_required' | 'unreachable'>().notNull(),
    isDefault: boolean('is_default').notNull().default(false),
    /** Others of the account may use it where the connector allows that. */
    shared: boolean('shared').notNull().default(false),
    /** Shared with members of these groups only; null: with everybody of the account. */
    groupIds: text('group_ids').array(),
    /** Grows with every change of a secret; part of every upstream cache key. */
    version: integer('version').notNull().default(1),
    /** Of oauth2: what was granted, to whom at the provider, and until when the access token lives. */
    scopes: text('scopes').array(),
    subject: text('subject'),
    tokenExpiresAt: at('token_expires_at'),
    /** Whoever renews the tokens holds this lease; others wait for the new version. */
    refreshLeaseUntil: at('refresh_lease_until'),
    /** A sentence of ours. */
    lastError: text('last_error'),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.id] }),
    foreignKey({
      columns: [t.accountId, t.connectorId],
      foreignColumns: [connectors.accountId, connectors.id],
    }).onDelete('cascade'),
    index('credentials_shared').on(t.accountId, t.connectorId).where(sql`shared`),
    uniqueIndex('credentials_default').on(t.accountId, t.userId, t.connectorId).where(sql`is_default`),
    index('credentials_user').on(t.accountId, t.userId, t.connectorId),
    check('credentials_account', sql`account_id <> ''`),
  ],
);

/** One 256-bit data key per (account, user), wrapped under the master key. Deleting the user deletes it: what it sealed is noise. */
export const dataKeys = pgTable(
  'data_keys',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    kekVersion: integer('kek_version').notNull(),
    wrapped: bytea('wrapped').notNull(),
    /** The one that seals; older ones only open. */
    isCurrent: boolean('is_current').notNull().default(true),
    createdAt: createdAt(),
  },
  (t) => [
    uniqueIndex('data_keys_current').on(t.accountId, t.userId).where(sql`is_current`),
    check('data_keys_account', sql`account_id <> ''`),
  ],
);

export const secrets = pgTable(
  'secrets',
  {
    accountId: accountId(),
    userId: text('user_id').notNull(),
    credentialId: text('credential_id').notNull(),
    name: text('name').notNull(),
    version: integer('version').notNull(),
    sealed: bytea('sealed').notNull(),
    fingerprint: text('fingerprint').notNull(),
    updatedAt: updatedAt(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.credentialId, t.name] }),
    foreignKey({
      columns: [t.accountId, t.credentialId],
      foreignColumns: [credentials.accountId, credentials.id],
    }).onDelete('cascade'),
    check('secrets_account', sql`account_id <> ''`),
  ],
);

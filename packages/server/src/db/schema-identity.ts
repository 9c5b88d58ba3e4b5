// The tables of identity and policy: issuers of user tokens and who their subjects are, groups, limits, and the seals of the trail.
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  date,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
} from 'drizzle-orm/pg-core';
import { accountId, at, bytea, createdAt, type Permission, servers, updatedAt, users } from './schema.ts';

/** Who proves to an account which user is calling. */
export const issuers = pgTable(
  'issuers',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    name: text('name').notNull(),
    type: text('type').$type<'jwt' | 'webhook'>().notNull(),
    /** The exact `iss` of its tokens; null for session verifiers. */
    issuer: text('issuer'),
    /** What `identity/issuers` describes. Never a secret. */
    config: jsonb('config').$type<Record<string, unknown>>().notNull(),
    /** Sealed under the installation's state key: a shared secret, or the key that signs what a verifier is asked. */
    secret: bytea('secret'),
    enabled: boolean('enabled').notNull().default(true),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [
    unique('issuers_name').on(t.accountId, t.name),
    index('issuers_issuer').on(t.issuer),
    check('issuers_account', sql`account_id <> ''`),
  ],
);

/** Which subject of an issuer is which user. */
export const userIdentities = pgTable(
  'user_identities',
  {
    accountId: accountId(),
    issuerId: text('issuer_id')
      .notNull()
      .references(() => issuers.id, { onDelete: 'cascade' }),
    subject: text('subject').notNull(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.issuerId, t.subject] }),
    index('user_identities_user').on(t.accountId, t.userId),
    check('user_identities_account', sql`account_id <> ''`),
  ],
);

/** User tokens that are refused before they expire. Swept when they would have expired. */
export const revokedTokens = pgTable(
  'revoked_tokens',
  {
    accountId: accountId(),
    issuerId: text('issuer_id')
      .notNull()
      .references(() => issuers.id, { onDelete: 'cascade' }),
    tokenId: text('token_id').notNull(),
    expiresAt: at('expires_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.issuerId, t.tokenId] }),
    index('revoked_tokens_expiry').on(t.expiresAt),
    check('revoked_tokens_account', sql`account_id <> ''`),
  ],
);

export const groups = pgTable(
  'groups',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    name: text('name').notNull(),
    description: text('description'),
    allowed: text('allowed').array().notNull().default(sql`'{}'`),
    blocked: text('blocked').array().notNull().default(sql`'{}'`),
    permissions: jsonb('permissions').$type<Permission[]>().notNull().default([]),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [unique('groups_name').on(t.accountId, t.name), check('groups_account', sql`account_id <> ''`)],
);

export const groupMembers = pgTable(
  'group_members',
  {
    accountId: accountId(),
    groupId: text('group_id')
      .notNull()
      .references(() => groups.id, { onDelete: 'cascade' }),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.groupId, t.userId] }),
    index('group_members_user').on(t.accountId, t.userId),
    check('group_members_account', sql`account_id <> ''`),
  ],
);

/** Limits and quotas of an account's own. A call counts where every selector that is set fits. */
export const limitRules = pgTable(
  'limit_rules',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    userId: text('user_id').references(() => users.id, { onDelete: 'cascade' }),
    groupId: text('group_id').references(() => groups.id, { onDelete: 'cascade' }),
    serverId: text('server_id').references(() => servers.id, { onDelete: 'cascade' }),
    connectorId: text('connector_id'),
    action: text('action'),
    max: integer('max').notNull(),
    /** Seconds of a sliding window; null: a day, from midnight UTC. */
    windowSeconds: integer('window_seconds'),
    shared: boolean('shared').notNull().default(false),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [
    index('limit_rules_account').on(t.accountId, t.createdAt),
    check('limit_rules_account', sql`account_id <> ''`),
    check('limit_rules_action', sql`action is null or connector_id is not null`),
  ],
);

/** What was used of daily quotas. `subject`: a user's id, or '*' of a shared quota. Rows of past days are swept. */
export const quotaCounters = pgTable(
  'quota_counters',
  {
    accountId: accountId(),
    limitId: text('limit_id')
      .notNull()
      .references(() => limitRules.id, { onDelete: 'cascade' }),
    subject: text('subject').notNull(),
    day: date('day').notNull(),
    used: integer('used').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.limitId, t.subject, t.day] }),
    check('quota_counters_account', sql`account_id <> ''`),
  ],
);

/** Seals of the trail: each covers the rows committed between two transaction horizons and is chained to the one before. One chain per installation. */
export const checkpoints = pgTable(
  'checkpoints',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    segment: integer('segment').notNull(),
    format: integer('format').notNull().default(1),
    /** Rows with a transaction id in `[h0, h1)` are covered. Decimal text of xid8. */
    h0: text('h0').notNull(),
    h1: text('h1').notNull(),
    count: integer('count').notNull(),
    firstSeq: bigint('first_seq', { mode: 'number' }),
    lastSeq: bigint('last_seq', { mode: 'number' }),
    /** A leaf per row: kind (1 byte), seq (8), SHA-256 (32). The root is their hash. */
    leaves: bytea('leaves').notNull(),
    root: bytea('root').notNull(),
    previous: bytea('previous').notNull(),
    signature: bytea('signature').notNull(),
    /** Set on closing checkpoints: what retention deleted and what the chain remembers of it. */
    closing: jsonb('closing').$type<Record<string, unknown>>(),
    at: timestamp('at', { withTimezone: true, mode: 'date', precision: 3 }).notNull().defaultNow(),
  },
  (t) => [
    unique('checkpoints_previous').on(t.previous),
    index('checkpoints_closing').on(t.id).where(sql`closing is not null`),
  ],
);

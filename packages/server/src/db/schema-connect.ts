// Tables of how users connect accounts: documents, clients, links, settings, webhooks. For drizzle and drizzle-kit, as `schema`, and by the same
// rules: every row carries a non-empty account_id.
import { sql } from 'drizzle-orm';
import { check, foreignKey, index, integer, jsonb, pgTable, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core';
import { accountId, accounts, at, bytea, connectors, createdAt, credentials, updatedAt, users } from './schema.ts';

/** The compiled OpenAPI document of an `http` connector, compressed. Apart from its connector: only the upstream of a call reads it. */
export const connectorDocuments = pgTable(
  'connector_documents',
  {
    accountId: accountId(),
    connectorId: text('connector_id').notNull(),
    document: bytea('document').notNull(),
    updatedAt: updatedAt(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.connectorId] }),
    foreignKey({
      name: 'connector_documents_connector',
      columns: [t.accountId, t.connectorId],
      foreignColumns: [connectors.accountId, connectors.id],
    }).onDelete('cascade'),
    check('connector_documents_account', sql`account_id <> ''`),
  ],
);

/** Our client at a connector's authorization server: configured with a secret, or registered by ourselves. */
export const oauthClients = pgTable(
  'oauth_clients',
  {
    accountId: accountId(),
    connectorId: text('connector_id').notNull(),
    /** The authorization server that it was registered at; '' for the configured one. */
    issuer: text('issuer').notNull(),
    clientId: text('client_id').notNull(),
    /** The client's secret, and what else the registration answered that must stay hidden. */
    sealed: bytea('sealed'),
    expiresAt: at('expires_at'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.connectorId, t.issuer] }),
    foreignKey({
      name: 'oauth_clients_connector',
      columns: [t.accountId, t.connectorId],
      foreignColumns: [connectors.accountId, connectors.id],
    }).onDelete('cascade'),
    check('oauth_clients_account', sql`account_id <> ''`),
  ],
);

/** One wish to sign a user in to a connector: the link that was given out, until it is used, replaced or ten minutes old. */
export const connectRequests = pgTable(
  'connect_requests',
  {
    /** Keyed hash of the id in the link. */
    hash: bytea('hash').primaryKey(),
    accountId: accountId(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    connectorId: text('connector_id').notNull(),
    /** The credential that the tokens go to. */
    credentialId: text('credential_id').notNull(),
    scopes: text('scopes').array(),
    redirectUri: text('redirect_uri'),
    /** The id itself, sealed: an open request is handed out again. */
    sealedId: bytea('sealed_id').notNull(),
    /** Keyed hashes of what proves the person: ticket, then the browser's session, then `state` at the provider. */
    ticketHash: bytea('ticket_hash'),
    ticketExpiresAt: at('ticket_expires_at'),
    browserHash: bytea('browser_hash'),
    stateHash: bytea('state_hash'),
    /** PKCE verifier, expected issuer, endpoints and client of the running authorization. */
    sealedFlow: bytea('sealed_flow'),
    misses: integer('misses').notNull().default(0),
    status: text('status').$type<'open' | 'authorizing' | 'done' | 'void'>().notNull().default('open'),
    createdAt: createdAt(),
    expiresAt: at('expires_at').notNull(),
  },
  (t) => [
    foreignKey({
      name: 'connect_requests_credential',
      columns: [t.accountId, t.credentialId],
      foreignColumns: [credentials.accountId, credentials.id],
    }).onDelete('cascade'),
    uniqueIndex('connect_requests_state').on(t.stateHash),
    index('connect_requests_user').on(t.accountId, t.userId, t.connectorId),
    index('connect_requests_expiry').on(t.expiresAt),
    check('connect_requests_account', sql`account_id <> ''`),
  ],
);

export const accountSettings = pgTable(
  'account_settings',
  {
    accountId: text('account_id')
      .primaryKey()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    redirectUris: text('redirect_uris').array().notNull().default(sql`'{}'`),
    webhookUrl: text('webhook_url'),
    /** The signing key, sealed. */
    webhookSecret: bytea('webhook_secret'),
    updatedAt: updatedAt(),
  },
  () => [check('account_settings_account', sql`account_id <> ''`)],
);

/** What webhooks are still to be told, and what they were told. Written in the transaction of what happened. */
export const webhookDeliveries = pgTable(
  'webhook_deliveries',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    event: text('event').notNull(),
    payload: jsonb('payload').$type<Record<string, unknown>>().notNull(),
    attempts: integer('attempts').notNull().default(0),
    /** When it is tried next; null: delivered or given up. */
    nextAt: at('next_at'),
    deliveredAt: at('delivered_at'),
    lastStatus: integer('last_status'),
    createdAt: createdAt(),
  },
  (t) => [
    index('webhook_deliveries_next').on(t.nextAt).where(sql`next_at is not null`),
    check('webhook_deliveries_account', sql`account_id <> ''`),
  ],
);

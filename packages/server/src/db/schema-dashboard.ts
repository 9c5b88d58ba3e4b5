// Sessions of the dashboard: one row for each browser that is signed in. A session has no rights of its own; it stands for the key it names.
import { sql } from 'drizzle-orm';
import { check, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import { accountId, apiKeys, at, bytea, createdAt } from './schema.ts';

/** The cookie's text is never stored, only its keyed hash. The row goes at sign-out; with its key it goes too. */
export const dashboardSessions = pgTable(
  'dashboard_sessions',
  {
    id: text('id').primaryKey(),
    accountId: accountId(),
    keyId: text('key_id')
      .notNull()
      .references(() => apiKeys.id, { onDelete: 'cascade' }),
    hash: bytea('hash').notNull(),
    /** What let a person in who signed in at an issuer (`identity/session`); null: a key was shown. */
    admittedBy: text('admitted_by').array(),
    createdAt: createdAt(),
    expiresAt: at('expires_at').notNull(),
  },
  (t) => [
    uniqueIndex('dashboard_sessions_hash').on(t.hash),
    index('dashboard_sessions_key').on(t.keyId),
    index('dashboard_sessions_expiry').on(t.expiresAt),
    check('dashboard_sessions_account', sql`account_id <> ''`),
  ],
);

// The versions of the master key that this installation has had, and which processes hold which. Never a key: ids and a sealed constant.

import { sql } from 'drizzle-orm';
import { check, integer, pgTable, text } from 'drizzle-orm/pg-core';
import { at, bytea, createdAt } from './schema.ts';

/** next: announced. current: wraps what is new. old: still opens what was not wrapped anew yet. retired: opens nothing any more. */
export type MasterKeyState = 'next' | 'current' | 'old' | 'retired';

export const masterKeys = pgTable(
  'master_keys',
  {
    version: integer('version').primaryKey(),
    /** 32 hex digits: what every record that the key wrapped carries. A retired key is known by it and not taken again. */
    keyId: text('key_id').notNull().unique(),
    state: text('state').$type<MasterKeyState>().notNull(),
    /** A constant under this key: proves that a configured key is this one. Goes when the key is retired. */
    keyCheck: bytea('key_check'),
    /** The version again, until it is retired. What is wrapped points here, so that nothing wrapped under a retired key can be stored. */
    live: integer('live').unique(),
    createdAt: createdAt(),
    changedAt: at('changed_at').notNull().defaultNow(),
  },
  () => [
    check('master_keys_live', sql`live is not distinct from case when state <> 'retired' then version end`),
    check('master_keys_check', sql`(state = 'retired') = (key_check is null)`),
  ],
);

/** A row per running process, renewed every few seconds: a rotation waits for whoever does not hold the new key yet. */
export const masterKeyHolders = pgTable('master_key_holders', {
  replica: text('replica').primaryKey(),
  keyIds: text('key_ids').array().notNull(),
  /** The version under which this process wraps new keys. */
  wrapsWith: integer('wraps_with').notNull(),
  seenAt: at('seen_at').notNull().defaultNow(),
});

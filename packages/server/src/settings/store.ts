// Where an account's settings live: one row, made when something is first set. The signing key of its webhook is sealed and never read here.
import { eq, sql } from 'drizzle-orm';
import { accountSettings } from '../db/schema-connect.ts';
import type { Db } from '../db/scope.ts';

export type SettingsRow = typeof accountSettings.$inferSelect;

export async function findSettings(tx: Db, accountId: string): Promise<SettingsRow | undefined> {
  const [row] = await tx.select().from(accountSettings).where(eq(accountSettings.accountId, accountId));
  return row;
}

export interface SettingsChanges {
  redirectUris?: string[];
  webhookUrl?: string | null;
  webhookSecret?: Uint8Array | null;
}

/** Changes what is given and keeps the rest. */
export async function saveSettings(tx: Db, accountId: string, changes: SettingsChanges): Promise<SettingsRow> {
  const [row] = await tx
    .insert(accountSettings)
    .values({ accountId, ...changes })
    .onConflictDoUpdate({ target: accountSettings.accountId, set: { ...changes, updatedAt: sql`now()` } })
    .returning();
  return row as SettingsRow;
}

// Where connectors live: definitions, never a secret. The rows of an account are visible to every key of it; who may change them is
// the contract's access rule.
import { and, asc, count, eq, gt, sql } from 'drizzle-orm';
import { isUniqueViolation } from '../db/errors.ts';
import { connectors, credentials } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import type { Definition } from './definition.ts';

export type ConnectorRow = typeof connectors.$inferSelect;

const one = (accountId: string, id: string) => and(eq(connectors.accountId, accountId), eq(connectors.id, id));

/** The connector, or NOT_FOUND; `word` is the seed dialect's own name of that refusal. */
export async function getConnector(tx: Db, accountId: string, id: string, word?: string): Promise<ConnectorRow> {
  const [row] = await tx.select().from(connectors).where(one(accountId, id));
  if (row === undefined) throw notFound('Connector', word);
  return row;
}

/** As `getConnector`, with the row held until the transaction ends. */
export async function lockConnector(tx: Db, accountId: string, id: string): Promise<ConnectorRow> {
  const [row] = await tx.select().from(connectors).where(one(accountId, id)).for('update');
  if (row === undefined) throw notFound('Connector');
  return row;
}

/** What a row says, in the form that changes are merged into. */
export function definitionOf(row: ConnectorRow): Definition {
  const { kind, name, description, category, allowShared, requires, secretNames, timeoutMs, enabled } = row;
  return {
    kind,
    name,
    description,
    category,
    config: row.config,
    oauth: row.oauth as Definition['oauth'],
    allowShared,
    requires,
    inject: row.inject,
    secretNames,
    timeoutMs,
    enabled,
  };
}

const columnsOf = ({ config, inject, oauth, ...definition }: Definition) => ({
  ...definition,
  config: config as Record<string, unknown>,
  oauth: oauth as Record<string, unknown> | null,
  inject: inject as Record<string, unknown> | null,
});

export async function insertConnector(
  tx: Db,
  accountId: string,
  id: string,
  definition: Definition,
): Promise<ConnectorRow> {
  try {
    const [row] = await tx
      .insert(connectors)
      .values({ ...columnsOf(definition), accountId, id })
      .returning();
    return row as ConnectorRow;
  } catch (error) {
    if (isUniqueViolation(error)) throw new Refusal('CONFLICT', 'A connector with this id exists');
    throw error;
  }
}

export async function updateConnector(
  tx: Db,
  accountId: string,
  id: string,
  definition: Definition,
): Promise<ConnectorRow> {
  const [row] = await tx
    .update(connectors)
    .set({ ...columnsOf(definition), version: sql`${connectors.version} + 1`, updatedAt: sql`now()` })
    .where(one(accountId, id))
    .returning();
  if (row === undefined) throw notFound('Connector');
  return row;
}

/** By id. */
export async function listConnectors(
  tx: Db,
  accountId: string,
  page: Page,
): Promise<{ rows: ConnectorRow[]; total: number }> {
  const ours = eq(connectors.accountId, accountId);
  const after = page.after?.[0];
  const rows = await tx
    .select()
    .from(connectors)
    .where(after === undefined ? ours : and(ours, gt(connectors.id, after)))
    .orderBy(asc(connectors.id))
    .limit(rowsToRead(page))
    .offset(after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(connectors).where(ours);
  return { rows, total: counted?.total ?? 0 };
}

/** Deletes the connector; credentials and secrets for it go by foreign key. Answers how many went. */
export async function deleteConnector(
  tx: Db,
  accountId: string,
  id: string,
): Promise<{ users: number; credentials: number }> {
  const held = await tx
    .delete(credentials)
    .where(and(eq(credentials.accountId, accountId), eq(credentials.connectorId, id)))
    .returning({ userId: credentials.userId });
  await tx.delete(connectors).where(one(accountId, id));
  return { users: new Set(held.map((row) => row.userId)).size, credentials: held.length };
}

// Where issuers live, who their subjects are, and which of their tokens are refused. Every query names the account. Sealing an issuer's
// secret is the handlers' business; opening it, the sign-in's.
import type { Issuer } from '@mcp-valet/shared';
import { and, asc, count, eq, gt, lte, ne, sql } from 'drizzle-orm';
import { users } from '../db/schema.ts';
import { issuers, revokedTokens, userIdentities } from '../db/schema-identity.ts';
import type { Db } from '../db/scope.ts';
import { newId } from '../ids.ts';
import { type Page, rowsToRead } from '../page.ts';
import { notFound } from '../refusal.ts';

export type IssuerRow = typeof issuers.$inferSelect;
export type IdentityRow = typeof userIdentities.$inferSelect;

/** What is stored in `issuers.config`: everything decided when it was written, so that a new default changes no old issuer. */
export interface IssuerConfig
  extends Omit<Issuer, 'issuerId' | 'name' | 'type' | 'issuer' | 'enabled' | 'createdAt' | 'updatedAt' | 'tokenTypes'> {
  tokenTypes: string[];
  /** Whether a token without `typ` is refused: so as soon as somebody configured types. */
  requiresType: boolean;
}

/** Where an issuer's secret is sealed. */
export const secretPlace = (accountId: string, issuerId: string) => ['issuer', accountId, issuerId] as const;

const byId = (accountId: string, id: string) => and(eq(issuers.accountId, accountId), eq(issuers.id, id));

export async function insertIssuer(
  tx: Db,
  row: Pick<IssuerRow, 'id' | 'accountId' | 'name' | 'type' | 'issuer' | 'config' | 'secret' | 'enabled'>,
): Promise<IssuerRow> {
  const [made] = await tx.insert(issuers).values(row).returning();
  return made as IssuerRow;
}

export async function getIssuer(tx: Db, accountId: string, id: string): Promise<IssuerRow> {
  const [row] = await tx.select().from(issuers).where(byId(accountId, id));
  if (row === undefined) throw notFound('Issuer');
  return row;
}

/** As `getIssuer`, and nobody else changes it until the transaction ends. */
export async function lockIssuer(tx: Db, accountId: string, id: string): Promise<IssuerRow> {
  const [row] = await tx.select().from(issuers).where(byId(accountId, id)).for('update');
  if (row === undefined) throw notFound('Issuer');
  return row;
}

/** Others of the account that call themselves the same. Index: issuers_issuer. */
export async function listNamesakes(tx: Db, accountId: string, iss: string, butId: string): Promise<IssuerRow[]> {
  return tx
    .select()
    .from(issuers)
    .where(and(eq(issuers.accountId, accountId), eq(issuers.issuer, iss), ne(issuers.id, butId)));
}

export async function listVerifiers(tx: Db, accountId: string, butId: string): Promise<IssuerRow[]> {
  return tx
    .select()
    .from(issuers)
    .where(and(eq(issuers.accountId, accountId), eq(issuers.type, 'webhook'), ne(issuers.id, butId)));
}

/** By name. Index: issuers_name. */
export async function listIssuers(
  tx: Db,
  accountId: string,
  page: Page,
): Promise<{ rows: IssuerRow[]; total: number }> {
  const ours = eq(issuers.accountId, accountId);
  const after = page.after?.[0];
  const rows = await tx
    .select()
    .from(issuers)
    .where(after === undefined ? ours : and(ours, gt(issuers.name, after)))
    .orderBy(asc(issuers.name))
    .limit(rowsToRead(page))
    .offset(after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(issuers).where(ours);
  return { rows, total: counted?.total ?? 0 };
}

export async function updateIssuer(
  tx: Db,
  accountId: string,
  id: string,
  changes: Partial<Pick<IssuerRow, 'name' | 'config' | 'enabled'>>,
): Promise<IssuerRow> {
  const [row] = await tx
    .update(issuers)
    .set({ ...changes, updatedAt: sql`now()` })
    .where(byId(accountId, id))
    .returning();
  if (row === undefined) throw notFound('Issuer');
  return row;
}

/** Its identities and refused tokens go with it. */
export async function deleteIssuer(tx: Db, accountId: string, id: string): Promise<void> {
  await tx.delete(issuers).where(byId(accountId, id));
}

/** Refuses a token; the later of two ends counts. */
export async function refuseToken(
  tx: Db,
  token: { accountId: string; issuerId: string; tokenId: string; expiresAt: Date },
): Promise<Date> {
  const [row] = await tx
    .insert(revokedTokens)
    .values(token)
    .onConflictDoUpdate({
      target: [revokedTokens.accountId, revokedTokens.issuerId, revokedTokens.tokenId],
      set: { expiresAt: sql`greatest(${revokedTokens.expiresAt}, excluded.expires_at)` },
    })
    .returning({ expiresAt: revokedTokens.expiresAt });
  return (row as { expiresAt: Date }).expiresAt;
}

/** Refused tokens past their time, of everybody; in the scope of the installation. */
export async function sweepRefusedTokens(tx: Db): Promise<void> {
  await tx.delete(revokedTokens).where(lte(revokedTokens.expiresAt, sql`now()`));
}

const subjectOf = (accountId: string, issuerId: string, subject: string) =>
  and(
    eq(userIdentities.accountId, accountId),
    eq(userIdentities.issuerId, issuerId),
    eq(userIdentities.subject, subject),
  );

/** The row that is there afterwards, and whether it is this one. A subject is one user: an earlier row stays. */
export async function addIdentity(
  tx: Db,
  row: Pick<IdentityRow, 'accountId' | 'issuerId' | 'subject' | 'userId'>,
): Promise<{ row: IdentityRow; isNew: boolean }> {
  const [made] = await tx.insert(userIdentities).values(row).onConflictDoNothing().returning();
  if (made !== undefined) return { row: made, isNew: true };
  const found = await findIdentity(tx, row.accountId, row.issuerId, row.subject);
  if (found === undefined) throw notFound('Identity');
  return { row: found, isNew: false };
}

export async function findIdentity(
  tx: Db,
  accountId: string,
  issuerId: string,
  subject: string,
): Promise<IdentityRow | undefined> {
  const [row] = await tx
    .select()
    .from(userIdentities)
    .where(subjectOf(accountId, issuerId, subject));
  return row;
}

/** By issuer and subject. Index: the primary key. */
export async function listIdentities(
  tx: Db,
  accountId: string,
  filter: { userId?: string | undefined; issuerId?: string | undefined },
  page: Page,
): Promise<{ rows: (IdentityRow & { username: string })[]; total: number }> {
  const ours = and(
    eq(userIdentities.accountId, accountId),
    filter.userId === undefined ? undefined : eq(userIdentities.userId, filter.userId),
    filter.issuerId === undefined ? undefined : eq(userIdentities.issuerId, filter.issuerId),
  );
  const [issuerId, subject] = page.after ?? [];
  const after =
    issuerId === undefined
      ? undefined
      : sql`(${userIdentities.issuerId}, ${userIdentities.subject}) > (${issuerId}, ${subject})`;
  const rows = await tx
    .select({ row: userIdentities, username: users.username })
    .from(userIdentities)
    .innerJoin(users, and(eq(users.accountId, userIdentities.accountId), eq(users.id, userIdentities.userId)))
    .where(and(ours, after))
    .orderBy(asc(userIdentities.issuerId), asc(userIdentities.subject))
    .limit(rowsToRead(page))
    .offset(after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(userIdentities).where(ours);
  return { rows: rows.map(({ row, username }) => ({ ...row, username })), total: counted?.total ?? 0 };
}

export async function deleteIdentity(
  tx: Db,
  accountId: string,
  issuerId: string,
  subject: string,
): Promise<IdentityRow> {
  const [row] = await tx
    .delete(userIdentities)
    .where(subjectOf(accountId, issuerId, subject))
    .returning();
  if (row === undefined) throw notFound('Identity');
  return row;
}

/** Makes a user under the first of the names that is free; undefined when none is. Never answers somebody who was there. */
export async function insertFreshUser(
  tx: Db,
  accountId: string,
  names: readonly string[],
): Promise<{ id: string; username: string } | undefined> {
  for (const username of names) {
    const [row] = await tx
      .insert(users)
      .values({ id: newId('usr'), accountId, username })
      .onConflictDoNothing()
      .returning({ id: users.id, username: users.username });
    if (row !== undefined) return row;
  }
  return undefined;
}

/** Takes back a user that `insertFreshUser` made in this transaction. */
export async function dropFreshUser(tx: Db, accountId: string, id: string): Promise<void> {
  await tx.delete(users).where(and(eq(users.accountId, accountId), eq(users.id, id)));
}

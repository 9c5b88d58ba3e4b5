// What off-boarding ends in the database, in one transaction: whatever signs in as the user, and whatever was sealed for it. The row stays,
// disabled, and so do journal, trail and the mapping of identities: who comes back finds nothing but the name.
import { and, eq, getTableColumns, sql } from 'drizzle-orm';
import { revokeKeysOfUser } from '../api-keys/store.ts';
import { voidLinksOf } from '../credentials/oauth/connect-store.ts';
import { readGrantsOf } from '../credentials/oauth/grant-store.ts';
import { credentials, dataKeys, secrets, users } from '../db/schema.ts';
import { claims } from '../db/schema-trail.ts';
import type { Db } from '../db/scope.ts';
import type { CredentialRecord } from '../identity/records.ts';
import { userNotFound } from '../refusal.ts';
import { lockUser } from './store.ts';

export interface Offboarded {
  offboardedAt: Date;
  keyIds: string[];
  tokenIds: string[];
  links: number;
  credentials: number;
  /** Whether others of the account could use one of them. */
  wasShared: boolean;
  secrets: number;
  dataKeys: number;
  /** With what opens them: after the commit nothing else does. */
  grants: CredentialRecord[];
}

export async function offboardUser(tx: Db, accountId: string, id: string): Promise<Offboarded> {
  await lockUser(tx, accountId, id);
  const of = <T extends typeof credentials | typeof dataKeys | typeof secrets | typeof claims>(table: T) => {
    const columns = getTableColumns(table);
    return and(eq(columns.accountId, accountId), eq(columns.userId, id));
  };
  const grants = await readGrantsOf(tx, accountId, id);
  const { keyIds, tokenIds } = await revokeKeysOfUser(tx, accountId, id);
  const links = await voidLinksOf(tx, accountId, id);
  const sealed = await tx.delete(secrets).where(of(secrets)).returning({ name: secrets.name });
  const held = await tx.delete(credentials).where(of(credentials)).returning({ shared: credentials.shared });
  const wrapped = await tx.delete(dataKeys).where(of(dataKeys)).returning({ id: dataKeys.id });
  await tx.delete(claims).where(of(claims));
  const [row] = await tx
    .update(users)
    .set({
      enabled: false,
      tokensNotBefore: sql`now()`,
      offboardedAt: sql`coalesce(${users.offboardedAt}, now())`,
      updatedAt: sql`now()`,
    })
    .where(and(eq(users.accountId, accountId), eq(users.id, id)))
    .returning({ offboardedAt: users.offboardedAt });
  if (row?.offboardedAt == null) throw userNotFound();
  return {
    offboardedAt: row.offboardedAt,
    keyIds,
    tokenIds,
    links,
    credentials: held.length,
    wasShared: held.some(({ shared }) => shared),
    secrets: sealed.length,
    dataKeys: wrapped.length,
    grants,
  };
}

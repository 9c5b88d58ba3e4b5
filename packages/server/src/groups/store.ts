// Where groups live, and who is in them. Every query names the account; what membership means is decided elsewhere.
import { and, asc, count, eq, exists, gt, inArray, sql } from 'drizzle-orm';
import { isUniqueViolation } from '../db/errors.ts';
import { credentials, users } from '../db/schema.ts';
import { groupMembers, groups } from '../db/schema-identity.ts';
import type { Db } from '../db/scope.ts';
import { newId } from '../ids.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';

export type GroupRow = typeof groups.$inferSelect;
export type CountedGroup = GroupRow & { members: number };
export type GroupFields = Pick<GroupRow, 'name' | 'description' | 'allowed' | 'blocked' | 'permissions'>;

const one = (accountId: string, id: string) => and(eq(groups.accountId, accountId), eq(groups.id, id));
const membersOf = (accountId: string, id: string) =>
  and(eq(groupMembers.accountId, accountId), eq(groupMembers.groupId, id));

const nameTaken = () => new Refusal('CONFLICT', 'A group with this name exists');

/** `id`: one that a configuration file keeps. */
export async function insertGroup(
  tx: Db,
  accountId: string,
  fields: GroupFields,
  id: string = newId('grp'),
): Promise<GroupRow> {
  try {
    const [row] = await tx
      .insert(groups)
      .values({ ...fields, id, accountId })
      .returning();
    return row as GroupRow;
  } catch (error) {
    if (isUniqueViolation(error, 'groups_name')) throw nameTaken();
    throw error;
  }
}

async function counted(tx: Db, accountId: string, rows: readonly GroupRow[]): Promise<CountedGroup[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const found = await tx
    .select({ id: groupMembers.groupId, members: count() })
    .from(groupMembers)
    .where(and(eq(groupMembers.accountId, accountId), inArray(groupMembers.groupId, ids)))
    .groupBy(groupMembers.groupId);
  const members = new Map(found.map((row) => [row.id, row.members]));
  return rows.map((row) => ({ ...row, members: members.get(row.id) ?? 0 }));
}

/** NOT_FOUND for one that is not there and for one of another account alike. */
export async function getGroup(tx: Db, accountId: string, id: string): Promise<CountedGroup> {
  const [row] = await counted(tx, accountId, await tx.select().from(groups).where(one(accountId, id)));
  if (row === undefined) throw notFound('Group');
  return row;
}

/** The group with its row held until the transaction ends, or NOT_FOUND. */
export async function lockGroup(tx: Db, accountId: string, id: string): Promise<GroupRow> {
  const [row] = await tx.select().from(groups).where(one(accountId, id)).for('update');
  if (row === undefined) throw notFound('Group');
  return row;
}

/** By name; of one user or of the whole account. Index: groups_name. */
export async function listGroups(
  tx: Db,
  accountId: string,
  userId: string | undefined,
  page: Page,
): Promise<{ rows: CountedGroup[]; total: number }> {
  const isIn =
    userId === undefined
      ? undefined
      : exists(
          tx
            .select({ one: sql`1` })
            .from(groupMembers)
            .where(
              and(
                eq(groupMembers.accountId, accountId),
                eq(groupMembers.groupId, groups.id),
                eq(groupMembers.userId, userId),
              ),
            ),
        );
  const wanted = and(eq(groups.accountId, accountId), isIn);
  const after = page.after?.[0];
  const rows = await tx
    .select()
    .from(groups)
    .where(after === undefined ? wanted : and(wanted, gt(groups.name, after)))
    .orderBy(asc(groups.name))
    .limit(rowsToRead(page))
    .offset(after === undefined ? page.offset : 0);
  const [all] = await tx.select({ total: count() }).from(groups).where(wanted);
  return { rows: await counted(tx, accountId, rows), total: all?.total ?? 0 };
}

export async function updateGroup(tx: Db, accountId: string, id: string, changes: Partial<GroupFields>): Promise<void> {
  try {
    await tx
      .update(groups)
      .set({ ...changes, updatedAt: sql`now()` })
      .where(one(accountId, id));
  } catch (error) {
    if (isUniqueViolation(error, 'groups_name')) throw nameTaken();
    throw error;
  }
}

/**
 * Deletes the group; memberships and limits go by foreign key. A credential that was shared with it stays marked as shared with groups: with
 * the last of them gone it is lent to nobody, never to the whole account. Answers how many credentials lost it.
 */
export async function deleteGroup(tx: Db, accountId: string, id: string): Promise<number> {
  const lost = await tx
    .update(credentials)
    .set({ groupIds: sql`array_remove(${credentials.groupIds}, ${id})`, updatedAt: sql`now()` })
    .where(and(eq(credentials.accountId, accountId), sql`${credentials.groupIds} @> array[${id}]::text[]`))
    .returning({ id: credentials.id });
  await tx.delete(groups).where(one(accountId, id));
  return lost.length;
}

export interface Membership {
  userId: string;
  username: string;
  addedAt: Date;
}

/** By username. */
export async function listMembers(
  tx: Db,
  accountId: string,
  groupId: string,
  page: Page,
): Promise<{ rows: Membership[]; total: number }> {
  const ours = membersOf(accountId, groupId);
  const after = page.after?.[0];
  const rows = await tx
    .select({ userId: users.id, username: users.username, addedAt: groupMembers.createdAt })
    .from(groupMembers)
    .innerJoin(users, and(eq(users.accountId, groupMembers.accountId), eq(users.id, groupMembers.userId)))
    .where(after === undefined ? ours : and(ours, gt(users.username, after)))
    .orderBy(asc(users.username))
    .limit(rowsToRead(page))
    .offset(after === undefined ? page.offset : 0);
  const [all] = await tx.select({ total: count() }).from(groupMembers).where(ours);
  return { rows, total: all?.total ?? 0 };
}

/** Puts the user in; being in already is fine. Answers since when. */
export async function addMember(tx: Db, accountId: string, groupId: string, userId: string): Promise<Date> {
  await tx.insert(groupMembers).values({ accountId, groupId, userId }).onConflictDoNothing();
  const [row] = await tx
    .select({ addedAt: groupMembers.createdAt })
    .from(groupMembers)
    .where(and(membersOf(accountId, groupId), eq(groupMembers.userId, userId)));
  if (row === undefined) throw new Error('a member was added and is not there');
  return row.addedAt;
}

/** False when the user was not in it. */
export async function removeMember(tx: Db, accountId: string, groupId: string, userId: string): Promise<boolean> {
  const gone = await tx
    .delete(groupMembers)
    .where(and(membersOf(accountId, groupId), eq(groupMembers.userId, userId)))
    .returning({ userId: groupMembers.userId });
  return gone.length > 0;
}

/** Ids of the groups that the user is in. */
export async function groupIdsOf(tx: Db, accountId: string, userId: string): Promise<string[]> {
  const rows = await tx
    .select({ id: groupMembers.groupId })
    .from(groupMembers)
    .where(and(eq(groupMembers.accountId, accountId), eq(groupMembers.userId, userId)))
    .orderBy(sql`${groupMembers.groupId} collate "C"`);
  return rows.map(({ id }) => id);
}

/** Holds the groups until the transaction ends, or NOT_FOUND: what names them must not outlive them unseen. */
export async function holdGroups(tx: Db, accountId: string, ids: readonly string[]): Promise<void> {
  const wanted = [...new Set(ids)];
  const found = await tx
    .select({ id: groups.id })
    .from(groups)
    .where(and(eq(groups.accountId, accountId), inArray(groups.id, wanted)))
    .orderBy(groups.id)
    .for('share');
  if (found.length < wanted.length) throw notFound('Group');
}

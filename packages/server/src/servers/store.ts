// Where published MCP endpoints live. Their tokens are API keys of kind `url` and live with the other keys.
import { and, count, desc, eq, inArray, lt, or, sql } from 'drizzle-orm';
import { isUniqueViolation } from '../db/errors.ts';
import { servers } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import { newServerId } from '../ids.ts';
import type { Page } from '../page.ts';
import { rowsToRead } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';

export type ServerRow = typeof servers.$inferSelect;
export type NewServer = Omit<ServerRow, 'id' | 'version' | 'createdAt' | 'updatedAt'>;
export type ServerChanges = Partial<Omit<NewServer, 'accountId' | 'ownerUserId' | 'actsForUsers'>>;

const nameTaken = () => new Refusal('CONFLICT', 'A server with this name exists');

export async function insertServer(tx: Db, server: NewServer): Promise<ServerRow> {
  // 32 random bits per name: a second draw is rare, a third one is a broken random source. The words that paths under /mcp keep for
  // themselves (tool, tools, servers, user) cannot be drawn: every id ends in a hyphen and 8 hex digits.
  for (let draw = 0; draw < 3; draw++) {
    const id = newServerId(server.name);
    try {
      const [row] = await tx
        .insert(servers)
        .values({ ...server, id })
        .onConflictDoNothing({ target: servers.id })
        .returning();
      if (row !== undefined) return row;
    } catch (error) {
      if (isUniqueViolation(error, 'servers_name')) throw nameTaken();
      throw error;
    }
  }
  throw new Error('no free server id');
}

export async function findServer(tx: Db, accountId: string, id: string): Promise<ServerRow | undefined> {
  const [row] = await tx
    .select()
    .from(servers)
    .where(and(eq(servers.accountId, accountId), eq(servers.id, id)));
  return row;
}

/** Of these ids, the ones that are servers of the account. */
export async function findServerIds(tx: Db, accountId: string, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const rows = await tx
    .select({ id: servers.id })
    .from(servers)
    .where(and(eq(servers.accountId, accountId), inArray(servers.id, [...ids])));
  return rows.map(({ id }) => id);
}

/** The server with its row held until the transaction ends, or NOT_FOUND: what is merged must not change meanwhile. */
export async function lockServer(tx: Db, accountId: string, id: string): Promise<ServerRow> {
  const [row] = await tx
    .select()
    .from(servers)
    .where(and(eq(servers.accountId, accountId), eq(servers.id, id)))
    .for('update');
  if (row === undefined) throw notFound('Server');
  return row;
}

/** Newest first, of one owner or of the whole account. */
export async function listServers(
  tx: Db,
  accountId: string,
  ownerUserId: string | undefined,
  page: Page,
): Promise<{ rows: ServerRow[]; total: number }> {
  const wanted = and(
    eq(servers.accountId, accountId),
    ownerUserId === undefined ? undefined : eq(servers.ownerUserId, ownerUserId),
  );
  const [time, id] = page.after ?? [];
  const at = new Date(Number(time));
  const after =
    id === undefined ? undefined : or(lt(servers.createdAt, at), and(eq(servers.createdAt, at), lt(servers.id, id)));
  const rows = await tx
    .select()
    .from(servers)
    .where(and(wanted, after))
    .orderBy(desc(servers.createdAt), desc(servers.id))
    .limit(rowsToRead(page))
    .offset(page.after === undefined ? page.offset : 0);
  const [counted] = await tx.select({ total: count() }).from(servers).where(wanted);
  return { rows, total: counted?.total ?? 0 };
}

export async function updateServer(tx: Db, accountId: string, id: string, changes: ServerChanges): Promise<ServerRow> {
  try {
    const [row] = await tx
      .update(servers)
      .set({ ...changes, version: sql`${servers.version} + 1`, updatedAt: sql`now()` })
      .where(and(eq(servers.accountId, accountId), eq(servers.id, id)))
      .returning();
    if (row === undefined) throw notFound('Server');
    return row;
  } catch (error) {
    if (isUniqueViolation(error, 'servers_name')) throw nameTaken();
    throw error;
  }
}

/** Deletes the server; its tokens go with it by foreign key. */
export async function deleteServer(tx: Db, accountId: string, id: string): Promise<void> {
  await tx.delete(servers).where(and(eq(servers.accountId, accountId), eq(servers.id, id)));
}

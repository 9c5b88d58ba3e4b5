// "Sign out everywhere": the user's tokens issued until now are refused from now on. Keys stay: they are not what the user signed in with.
import type { Contract } from '@mcp-valet/shared';
import { and, eq, sql } from 'drizzle-orm';
import type { Handler } from '../context.ts';
import { users } from '../db/schema.ts';
import { userNotFound } from '../refusal.ts';
import { getUser } from './store.ts';

type Route = Contract['users']['signOut'];

export const signOut: Handler<Route> = async ({ params }, ctx) => {
  ctx.note({ target: params.username });
  const { accountId } = ctx.principal;
  const user = await getUser(ctx.db, accountId, params.username);
  ctx.note({ target: user.username, userId: user.id });
  const [row] = await ctx.db
    .update(users)
    .set({ tokensNotBefore: sql`now()` })
    .where(and(eq(users.accountId, accountId), eq(users.id, user.id)))
    .returning({ at: users.tokensNotBefore });
  if (row?.at == null) throw userNotFound();
  ctx.changed(`user:${user.id}`);
  return { userId: user.id, username: user.username, tokensNotBefore: row.at.toISOString() };
};

// What a user may reach by rules of its own, down to actions. The connector lists are those of `mcp-access`; permissions stand beside them.
import type { Contract } from '@mcp-valet/shared';
import type { Handler } from '../context.ts';
import type { Db } from '../db/scope.ts';
import { groupIdsOf } from '../groups/store.ts';
import { getUser, type UserRow, updateUser } from './store.ts';

type Routes = Contract['users'];

const shown = async (tx: Db, row: UserRow) => ({
  userId: row.id,
  username: row.username,
  allowed: row.mcpAllowed,
  blocked: row.mcpBlocked,
  permissions: row.permissions,
  groupIds: await groupIdsOf(tx, row.accountId, row.id),
});

export const getAccess: Handler<Routes['getAccess']> = async ({ params }, ctx) =>
  shown(ctx.db, await getUser(ctx.db, ctx.principal.accountId, params.username));

export const replaceAccess: Handler<Routes['replaceAccess']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.username });
  const row = await getUser(ctx.db, ctx.principal.accountId, params.username);
  const rules = {
    mcpAllowed: [...new Set(body.allowed)],
    mcpBlocked: [...new Set(body.blocked)],
    permissions: body.permissions ?? [],
  };
  const after = await updateUser(ctx.db, row.accountId, row.id, rules);
  const { mcpAllowed: allowed, mcpBlocked: blocked, permissions } = rules;
  ctx.note({ target: row.username, userId: row.id, details: { allowed, blocked, permissions } });
  ctx.changed(`user:${row.id}`);
  return shown(ctx.db, after);
};

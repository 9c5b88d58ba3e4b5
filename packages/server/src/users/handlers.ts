// How people manage users: create, look, enable, restrict, delete. The wire form is the seed system's snake_case.
import type { Contract, RouteReply } from '@mcp-valet/shared';
import { listKeysOfUser, revokeTokensOf } from '../api-keys/store.ts';
import type { Ctx, Handler } from '../context.ts';
import { isUniqueViolation } from '../db/errors.ts';
import { closePage, openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import { getAccess, replaceAccess } from './access.ts';
import { offboard } from './offboard.ts';
import { signOut } from './sign-out.ts';
import { deleteUser, getUser, insertUser, listUsers, refuseDefault, type UserRow, updateUser } from './store.ts';

type Routes = Contract['users'];

const shown = (row: UserRow) => ({
  username: row.username,
  user_id: row.id,
  email: row.email,
  description: row.description,
  enabled: row.enabled,
  created_at: row.createdAt.toISOString(),
  mcp_allowed: row.mcpAllowed,
  mcp_blocked: row.mcpBlocked,
  metadata: row.metadata,
});

const told = (ctx: Ctx, row: UserRow, details?: Record<string, unknown>) =>
  ctx.note({ target: row.username, userId: row.id, ...(details && { details }) });

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  ctx.note({ target: body.username });
  try {
    const row = await insertUser(ctx.db, ctx.principal.accountId, {
      username: body.username,
      email: body.email ?? null,
      description: body.description ?? null,
      metadata: body.metadata ?? {},
    });
    told(ctx, row);
    ctx.changed(`user:${row.id}`);
    return { status: 'created', ...shown(row) };
  } catch (error) {
    if (isUniqueViolation(error, 'users_username')) throw new Refusal('CONFLICT', 'A user with this username exists');
    throw error;
  }
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const page = openPage('users', ['text'], query);
  const { rows: read, total } = await listUsers(ctx.db, ctx.principal.accountId, page);
  const { rows, facts } = closePage(page, read, total, (row) => [row.username]);
  const { limit, offset, hasMore, nextCursor } = facts;
  return {
    users: rows.map(shown),
    count: rows.length,
    total,
    limit,
    offset,
    has_more: hasMore,
    next_cursor: nextCursor,
  };
};

const get: Handler<Routes['get']> = async ({ params }, ctx) => {
  const row = await getUser(ctx.db, ctx.principal.accountId, params.username);
  const keys = await listKeysOfUser(ctx.db, ctx.principal.accountId, row.id);
  const api_keys = keys.map((key) => ({
    key_id: key.id,
    key_name: key.name,
    prefix: key.prefix,
    created_at: key.createdAt.toISOString(),
    expires_at: key.expiresAt?.toISOString() ?? null,
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    revoked: key.revokedAt !== null,
  }));
  return { ...shown(row), api_keys };
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.username });
  const row = await getUser(ctx.db, ctx.principal.accountId, params.username);
  told(ctx, row);
  refuseDefault(row, 'deleted');
  const gone = await deleteUser(ctx.db, row.accountId, row.id);
  const tokens = await revokeTokensOf(ctx.db, row.accountId, gone.keyIds);
  told(ctx, row, {
    keys: gone.keyIds.length,
    credentials: gone.credentials,
    secrets: gone.secrets,
    data_keys: gone.dataKeys,
  });
  for (const keyId of [...gone.keyIds, ...tokens]) ctx.changed(`key:${keyId}`);
  ctx.changed(`user:${row.id}`);
  return { status: 'deleted', username: row.username };
};

const setEnabled: Handler<Routes['setEnabled']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.username });
  const row = await getUser(ctx.db, ctx.principal.accountId, params.username);
  const enabled = body?.enabled ?? !row.enabled;
  told(ctx, row, { enabled });
  if (!enabled) refuseDefault(row, 'disabled');
  await updateUser(ctx.db, row.accountId, row.id, { enabled });
  ctx.changed(`user:${row.id}`);
  // Delegated tokens depend on the keys that minted them, and these on their user.
  for (const key of await listKeysOfUser(ctx.db, row.accountId, row.id)) ctx.changed(`key:${key.id}`);
  return { status: enabled ? 'enabled' : 'disabled', username: row.username, enabled };
};

const setAccess: Handler<Routes['setAccess']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.username });
  const row = await getUser(ctx.db, ctx.principal.accountId, params.username);
  const mcpAllowed = [...new Set(body.allowed_mcps)];
  const mcpBlocked = [...new Set(body.blocked_mcps)];
  await updateUser(ctx.db, row.accountId, row.id, { mcpAllowed, mcpBlocked });
  told(ctx, row, { allowed: mcpAllowed, blocked: mcpBlocked });
  ctx.changed(`user:${row.id}`);
  const reply: RouteReply<Routes['setAccess']> = {
    status: 'updated',
    username: row.username,
    mcp_allowed: mcpAllowed,
    mcp_blocked: mcpBlocked,
  };
  return reply;
};

export const userHandlers = {
  create,
  list,
  get,
  delete: remove,
  setEnabled,
  offboard,
  setAccess,
  getAccess,
  replaceAccess,
  signOut,
} satisfies {
  // A user's history is the trail's.
  [M in Exclude<keyof Routes, 'history'>]: Handler<Routes[M]>;
};

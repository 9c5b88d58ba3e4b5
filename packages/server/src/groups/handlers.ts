// How people manage groups: create, look, change, delete, and who is in them. A change is in force at once, for lists and calls alike.
import type { AccessRules, Contract, Group } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import { closePage, openPage } from '../page.ts';
import { notFound } from '../refusal.ts';
import { getUser, lockUser } from '../users/store.ts';
import {
  addMember,
  type CountedGroup,
  deleteGroup,
  type GroupFields,
  getGroup,
  insertGroup,
  listGroups,
  listMembers,
  lockGroup,
  removeMember,
  updateGroup,
} from './store.ts';

type Routes = Contract['groups'];

const shown = (row: CountedGroup): Group => ({
  groupId: row.id,
  name: row.name,
  description: row.description,
  access: { allowed: row.allowed, blocked: row.blocked, permissions: row.permissions },
  members: row.members,
  createdAt: row.createdAt.toISOString(),
  updatedAt: row.updatedAt.toISOString(),
});

/** Replaced whole: what is left out is empty. */
const rulesOf = (access: AccessRules): Pick<GroupFields, keyof AccessRules> => ({
  allowed: [...new Set(access.allowed)],
  blocked: [...new Set(access.blocked)],
  permissions: access.permissions ?? [],
});

/** What members may do depends on the group: cached users of the account are read anew. */
const changed = (ctx: Ctx): void => ctx.changed(`groups:${ctx.principal.accountId}`);

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  const { accountId } = ctx.principal;
  ctx.note({ target: body.name });
  const row = await insertGroup(ctx.db, accountId, {
    name: body.name,
    description: body.description ?? null,
    ...rulesOf(body.access ?? {}),
  });
  const members = new Set<string>();
  for (const ref of body.userIds ?? []) members.add((await getUser(ctx.db, accountId, ref)).id);
  // In one order for everybody, so that two who add the same users do not wait for each other.
  for (const userId of [...members].sort()) {
    await lockUser(ctx.db, accountId, userId);
    await addMember(ctx.db, accountId, row.id, userId);
  }
  ctx.note({ target: row.id, details: { name: row.name, members: [...members], ...rulesOf(body.access ?? {}) } });
  for (const userId of members) ctx.changed(`user:${userId}`);
  changed(ctx);
  return shown({ ...row, members: members.size });
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('groups', ['text'], query);
  const user = query.userId === undefined ? undefined : await getUser(ctx.db, accountId, query.userId);
  const { rows: read, total } = await listGroups(ctx.db, accountId, user?.id, page);
  const { rows, facts } = closePage(page, read, total, (row) => [row.name]);
  return { groups: rows.map(shown), ...facts };
};

const get: Handler<Routes['get']> = async ({ params }, ctx) =>
  shown(await getGroup(ctx.db, ctx.principal.accountId, params.groupId));

const update: Handler<Routes['update']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.groupId });
  const { accountId, id } = await lockGroup(ctx.db, ctx.principal.accountId, params.groupId);
  const rules = body.access === undefined ? {} : rulesOf(body.access);
  const changes: Partial<GroupFields> = {
    ...(body.name !== undefined && { name: body.name }),
    ...(body.description !== undefined && { description: body.description }),
    ...rules,
  };
  await updateGroup(ctx.db, accountId, id, changes);
  const row = await getGroup(ctx.db, accountId, id);
  ctx.note({ target: id, details: { name: row.name, ...rules } });
  changed(ctx);
  return shown(row);
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.groupId });
  const row = await lockGroup(ctx.db, ctx.principal.accountId, params.groupId);
  const credentials = await deleteGroup(ctx.db, row.accountId, row.id);
  ctx.note({ target: row.id, details: { name: row.name, credentials } });
  changed(ctx);
  ctx.changed(`limits:${row.accountId}`);
  // Who borrowed from it holds connections that end now.
  if (credentials > 0) ctx.changed(`connectors:${row.accountId}`);
  return { status: 'deleted', groupId: row.id };
};

const members: Handler<Routes['members']> = async ({ params, query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('members', ['text'], query);
  const { id } = await getGroup(ctx.db, accountId, params.groupId);
  const { rows: read, total } = await listMembers(ctx.db, accountId, id, page);
  const { rows, facts } = closePage(page, read, total, (row) => [row.username]);
  return {
    members: rows.map(({ userId, username, addedAt }) => ({
      groupId: id,
      userId,
      username,
      addedAt: addedAt.toISOString(),
    })),
    ...facts,
  };
};

const add: Handler<Routes['addMember']> = async ({ params }, ctx) => {
  const { accountId } = ctx.principal;
  ctx.note({ target: params.groupId });
  const { id } = await lockGroup(ctx.db, accountId, params.groupId);
  const user = await getUser(ctx.db, accountId, params.userId);
  await lockUser(ctx.db, accountId, user.id);
  const addedAt = await addMember(ctx.db, accountId, id, user.id);
  ctx.note({ target: id, userId: user.id });
  ctx.changed(`user:${user.id}`);
  return { groupId: id, userId: user.id, username: user.username, addedAt: addedAt.toISOString() };
};

const removeOne: Handler<Routes['removeMember']> = async ({ params }, ctx) => {
  const { accountId } = ctx.principal;
  ctx.note({ target: params.groupId });
  const { id } = await lockGroup(ctx.db, accountId, params.groupId);
  const user = await getUser(ctx.db, accountId, params.userId);
  if (!(await removeMember(ctx.db, accountId, id, user.id))) throw notFound('Member');
  ctx.note({ target: id, userId: user.id });
  // Ends what the user holds open by credentials of the group.
  ctx.changed(`user:${user.id}`);
  return { status: 'removed', groupId: id, userId: user.id };
};

export const groupHandlers = {
  create,
  list,
  get,
  update,
  delete: remove,
  members,
  addMember: add,
  removeMember: removeOne,
} satisfies { [M in keyof Routes]: Handler<Routes[M]> };

// How people manage an account's own limits and quotas: create, list, change, delete. They can only narrow, so nothing here asks how large
// one is beside what the gateway allows.
import type { Contract, LimitRule } from '@mcp-valet/shared';
import { getConnector } from '../connectors/store.ts';
import type { Ctx, Handler } from '../context.ts';
import { closePage, openPage } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import { findServer } from '../servers/store.ts';
import { getUser } from '../users/store.ts';
import {
  assertGroup,
  deleteLimit,
  insertLimit,
  type LimitChanges,
  type LimitRow,
  listLimits,
  updateLimit,
} from './store.ts';

type Routes = Contract['limits'];

const shown = ({ id, windowSeconds, accountId: _, createdAt, updatedAt, ...row }: LimitRow): LimitRule => ({
  limitId: id,
  ...row,
  window: windowSeconds ?? 'day',
  createdAt: createdAt.toISOString(),
  updatedAt: updatedAt.toISOString(),
});
const secondsOf = (window: number | 'day'): number | null => (window === 'day' ? null : window);
const tell = (ctx: Ctx): void => ctx.changed(`limits:${ctx.principal.accountId}`);

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  const { accountId } = ctx.principal;
  if (body.action !== undefined && body.connectorId === undefined)
    throw new Refusal('UNPROCESSABLE', 'A limit of an action needs the connectorId whose action it is');
  const user = body.userId === undefined ? undefined : await getUser(ctx.db, accountId, body.userId);
  if (body.groupId !== undefined) await assertGroup(ctx.db, accountId, body.groupId);
  if (body.connectorId !== undefined) await getConnector(ctx.db, accountId, body.connectorId);
  if (body.serverId !== undefined && (await findServer(ctx.db, accountId, body.serverId)) === undefined)
    throw notFound('Server');
  const row = await insertLimit(ctx.db, {
    accountId,
    userId: user?.id ?? null,
    groupId: body.groupId ?? null,
    serverId: body.serverId ?? null,
    connectorId: body.connectorId ?? null,
    action: body.action ?? null,
    max: body.max,
    windowSeconds: secondsOf(body.window),
    shared: body.shared ?? false,
  });
  ctx.note({
    target: row.id,
    ...(user && { userId: user.id }),
    details: { max: row.max, window: body.window, shared: row.shared },
  });
  tell(ctx);
  return shown(row);
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('limits', ['time', 'text'], query);
  const user = query.userId === undefined ? undefined : await getUser(ctx.db, accountId, query.userId);
  const filter = { userId: user?.id, groupId: query.groupId };
  const { rows: read, total } = await listLimits(ctx.db, accountId, filter, page);
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.createdAt.getTime()), row.id]);
  return { limits: rows.map(shown), ...facts };
};

const update: Handler<Routes['update']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.limitId });
  const { max, shared, window } = body;
  const changes: LimitChanges = {
    ...(max !== undefined && { max }),
    ...(shared !== undefined && { shared }),
    ...(window !== undefined && { windowSeconds: secondsOf(window) }),
  };
  const row = await updateLimit(ctx.db, ctx.principal.accountId, params.limitId, changes);
  ctx.note({
    target: row.id,
    ...(row.userId !== null && { userId: row.userId }),
    details: { max: row.max, window: row.windowSeconds ?? 'day', shared: row.shared },
  });
  tell(ctx);
  return shown(row);
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.limitId });
  await deleteLimit(ctx.db, ctx.principal.accountId, params.limitId);
  tell(ctx);
  return { status: 'deleted', limitId: params.limitId };
};

export const limitHandlers = { create, list, update, delete: remove } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

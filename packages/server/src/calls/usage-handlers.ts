// How people ask what was used: an account's calls, or with a standard key or a user token one's own.
import type { Contract } from '@mcp-valet/shared';
import type { Handler } from '../context.ts';
import { closePage, openPage, rowsToRead } from '../page.ts';
import { getNamedUser } from '../users/store.ts';
import { countUsage, dimensions, nowOfJournal } from './usage.ts';

type Routes = Contract['usage'];

const defaultDays = 30;
const dayMs = 86_400_000;

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const asked = (query.by ?? 'user,tool').split(',');
  const by = dimensions.filter((name) => asked.includes(name));
  const all = query.userId === undefined && ctx.principal.mayActForUsers;
  const user = all ? undefined : await getNamedUser(ctx, ctx.db, query.userId);
  // The order is by counts, which grow: a cursor keeps the moment up to which the first page counted.
  const page = openPage('usage', ['time'], query);
  const [until] = page.after ?? [];
  const now = async () => (until === undefined ? nowOfJournal(ctx.db) : new Date(Number(until)));
  const to = query.to === undefined ? await now() : new Date(query.to);
  const from = query.from === undefined ? new Date(to.getTime() - defaultDays * dayMs) : new Date(query.from);
  const filter = { userId: user?.id, serverId: query.serverId, connectorId: query.connectorId, from, to };
  const { rows: read, total } = await countUsage(ctx.db, ctx.principal.accountId, by, filter, {
    limit: rowsToRead(page),
    offset: page.offset,
  });
  const { rows, facts } = closePage(page, read, total, () => [String(to.getTime())]);
  return { usage: rows, by, from: from.toISOString(), to: to.toISOString(), ...facts };
};

export const usageHandlers = { list } satisfies { [M in keyof Routes]: Handler<Routes[M]> };

// How people read the journal of calls: an account's, or with a standard key one's own.
import type { Contract } from '@mcp-valet/shared';
import type { Handler } from '../context.ts';
import { closePage, openPage } from '../page.ts';
import { getNamedUser } from '../users/store.ts';
import { listCalls, shownCall } from './store.ts';

type Routes = Contract['calls'];

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const page = openPage('calls', ['sequence'], query, !ctx.isExport);
  const all = query.userId === undefined && ctx.principal.mayActForUsers;
  const user = all ? undefined : await getNamedUser(ctx, ctx.db, query.userId);
  const { limit: _, offset: __, cursor: ___, from, to, ...wanted } = query;
  const filter = {
    ...wanted,
    userId: user?.id,
    from: from === undefined ? undefined : new Date(from),
    to: to === undefined ? undefined : new Date(to),
  };
  const { rows: read, total } = await listCalls(ctx.db, ctx.principal.accountId, filter, page);
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.seq)]);
  return { calls: rows.map(shownCall), ...facts };
};

export const callHandlers = { list } satisfies { [M in keyof Routes]: Handler<Routes[M]> };

// How people read the audit trail and check that it is whole. Checking reads every account, so it is the operator's alone.
import type { Contract } from '@mcp-valet/shared';
import { assertOperator } from '../accounts/store.ts';
import type { Ctx, Handler } from '../context.ts';
import { checkpointsBefore } from '../db/checkpoints.ts';
import { installationScope, withScope } from '../db/scope.ts';
import { closePage, openPage, rowsToRead } from '../page.ts';
import { getUser } from '../users/store.ts';
import { shownCheckpoint } from './checkpoint.ts';
import { shownEvent } from './shown.ts';
import { listEvents } from './store.ts';
import { verifyTrail } from './verify.ts';

type Routes = Contract['audit'];

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('audit', ['sequence'], query, !ctx.isExport);
  const idOf = async (ref: string | undefined) =>
    ref === undefined ? undefined : (await getUser(ctx.db, accountId, ref)).id;
  const { limit: _, offset: __, cursor: ___, from, to, ...wanted } = query;
  const filter = {
    ...wanted,
    userId: await idOf(query.userId),
    actorUserId: await idOf(query.actorUserId),
    from: from === undefined ? undefined : new Date(from),
    to: to === undefined ? undefined : new Date(to),
  };
  const { rows: read, total } = await listEvents(ctx.db, accountId, filter, page);
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.seq)]);
  return { events: rows.map(shownEvent), ...facts };
};

const operatorOnly = (ctx: Ctx): Promise<void> =>
  ctx.scoped((tx) => assertOperator(tx, ctx.principal.accountId, 'check the trail'));

const verify: Handler<Routes['verify']> = async (_, ctx) => {
  await operatorOnly(ctx);
  return verifyTrail(ctx.parts);
};

const checkpoints: Handler<Routes['checkpoints']> = async ({ query }, ctx) => {
  await operatorOnly(ctx);
  const page = openPage('checkpoints', ['sequence'], query);
  const before = page.after === undefined ? undefined : Number(page.after[0]);
  const offset = page.after === undefined ? page.offset : 0;
  const { rows: read, total } = await withScope(ctx.parts.db, installationScope, (tx) =>
    checkpointsBefore(tx, before, offset, rowsToRead(page)),
  );
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.id)]);
  return { checkpoints: rows.map(shownCheckpoint), ...facts };
};

export const auditHandlers = { list, verify, checkpoints } satisfies { [M in keyof Routes]: Handler<Routes[M]> };

// How people read the audit trail.
import type { AuditEvent, Contract } from '@mcp-valet/shared';
import type { Handler } from '../context.ts';
import { closePage, openPage } from '../page.ts';
import { getUser } from '../users/store.ts';
import { type AuditRow, listEvents } from './store.ts';

type Routes = Contract['audit'];

const shown = (row: AuditRow): AuditEvent => ({
  eventId: row.id,
  seq: row.seq,
  at: row.at.toISOString(),
  actor: { keyId: row.actorKeyId, kind: row.actorKind, userId: row.actorUserId },
  action: row.action,
  userId: row.userId,
  attemptedUser: row.attemptedUser,
  target: row.target,
  outcome: row.outcome,
  reason: row.reason,
  requestId: row.requestId,
  details: row.details,
});

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('audit', ['sequence'], query);
  const user = query.userId === undefined ? undefined : await getUser(ctx.db, accountId, query.userId);
  const filter = {
    action: query.action,
    userId: user?.id,
    outcome: query.outcome,
    requestId: query.requestId,
    from: query.from === undefined ? undefined : new Date(query.from),
    to: query.to === undefined ? undefined : new Date(query.to),
  };
  const { rows: read, total } = await listEvents(ctx.db, accountId, filter, page);
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.seq)]);
  return { events: rows.map(shown), ...facts };
};

export const auditHandlers = { list } satisfies { [M in keyof Routes]: Handler<Routes[M]> };

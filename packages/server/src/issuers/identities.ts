// How people manage who an issuer's subjects are: a subject is one user of the account, until somebody says that it is nobody.
import type { Contract, Identity } from '@mcp-valet/shared';
import type { Handler } from '../context.ts';
import { closePage, openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import { getUser } from '../users/store.ts';
import { addIdentity, deleteIdentity, getIssuer, type IdentityRow, listIdentities } from './store.ts';

type Routes = Contract['identities'];

const shown = (row: IdentityRow, username: string): Identity => ({
  issuerId: row.issuerId,
  subject: row.subject,
  userId: row.userId,
  username,
  createdAt: row.createdAt.toISOString(),
});

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  const { issuerId, subject } = body;
  ctx.note({ target: issuerId });
  const { accountId } = ctx.principal;
  await getIssuer(ctx.db, accountId, issuerId);
  const user = await getUser(ctx.db, accountId, body.userId);
  ctx.note({ target: issuerId, userId: user.id });
  const { row } = await addIdentity(ctx.db, { accountId, issuerId, subject, userId: user.id });
  if (row.userId !== user.id) throw new Refusal('CONFLICT', 'The subject is another user');
  ctx.changed(`user:${user.id}`);
  return shown(row, user.username);
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const { userId: ref, issuerId } = query;
  const page = openPage('identities', ['text', 'text'], query);
  const userId = ref === undefined ? undefined : (await getUser(ctx.db, accountId, ref)).id;
  const { rows: read, total } = await listIdentities(ctx.db, accountId, { userId, issuerId }, page);
  const { rows, facts } = closePage(page, read, total, (row) => [row.issuerId, row.subject]);
  return { identities: rows.map((row) => shown(row, row.username)), ...facts };
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  const { issuerId, subject } = params;
  ctx.note({ target: issuerId });
  const row = await deleteIdentity(ctx.db, ctx.principal.accountId, issuerId, subject);
  ctx.note({ target: issuerId, userId: row.userId });
  ctx.changed(`user:${row.userId}`);
  return { status: 'deleted', issuerId, subject };
};

export const identityHandlers = { create, list, delete: remove } satisfies { [M in keyof Routes]: Handler<Routes[M]> };

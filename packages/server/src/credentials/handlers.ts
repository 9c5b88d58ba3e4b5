// How people manage credentials: store, look, change, delete. Values go in and never come out; replies and audit events hold names only.
import type { Contract, Credential } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import type { Db } from '../db/scope.ts';
import { closePage, openPage } from '../page.ts';
import { getNamedUser } from '../users/store.ts';
import { type CredentialRow, getCredential, listCredentials, secretNamesOf } from './find.ts';
import { createCredential, deleteCredential, updateCredential } from './store.ts';

type Routes = Contract['credentials'];

const shown = (row: CredentialRow & { username: string }, secretNames: string[]): Credential => ({
  credentialId: row.id,
  userId: row.userId,
  username: row.username,
  connectorId: row.connectorId,
  authenticationType: row.type,
  label: row.label,
  status: row.status,
  isDefault: row.isDefault,
  secretNames,
  createdAt: row.createdAt.toISOString(),
  updatedAt: row.updatedAt.toISOString(),
});

async function shownWithNames(tx: Db, row: CredentialRow & { username: string }): Promise<Credential> {
  return shown(row, (await secretNamesOf(tx, row.accountId, [row.id])).get(row.id) ?? []);
}

const told = (ctx: Ctx, row: CredentialRow, details: Record<string, unknown>) =>
  ctx.note({ target: row.id, userId: row.userId, details: { connector: row.connectorId, ...details } });

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  ctx.note({ target: body.connectorId });
  const user = await getNamedUser(ctx, ctx.db, body.userId);
  const fields = body.fields ?? {};
  const row = await createCredential(ctx.db, ctx.parts.vault, {
    accountId: user.accountId,
    userId: user.id,
    connectorId: body.connectorId,
    authenticationType: body.authenticationType,
    credentialId: body.credentialId,
    fields,
    label: body.label,
    isDefault: body.isDefault,
  });
  told(ctx, row, { type: row.type, names: Object.keys(fields), is_default: row.isDefault });
  ctx.changed(`user:${user.id}`);
  return shownWithNames(ctx.db, { ...row, username: user.username });
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('credentials', ['time', 'text'], query);
  // Without a name a key that manages the account sees all users, one that manages itself is narrowed by its scope.
  const user =
    query.userId === undefined && ctx.principal.mayActForUsers
      ? undefined
      : await getNamedUser(ctx, ctx.db, query.userId);
  const { rows: read, total } = await listCredentials(
    ctx.db,
    accountId,
    { userId: user?.id, connectorId: query.connectorId },
    page,
  );
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.createdAt.getTime()), row.id]);
  const ids = rows.map((row) => row.id);
  const names = await secretNamesOf(ctx.db, accountId, ids);
  return { credentials: rows.map((row) => shown(row, names.get(row.id) ?? [])), ...facts };
};

const get: Handler<Routes['get']> = async ({ params }, ctx) =>
  shownWithNames(ctx.db, await getCredential(ctx.db, ctx.principal.accountId, params.credentialId));

const update: Handler<Routes['update']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.credentialId });
  const before = await getCredential(ctx.db, ctx.principal.accountId, params.credentialId);
  const row = await updateCredential(ctx.db, ctx.parts.vault, before, body);
  told(ctx, row, { names: Object.keys(body.fields ?? {}), is_default: row.isDefault });
  ctx.changed(`user:${row.userId}`);
  return shownWithNames(ctx.db, { ...row, username: before.username });
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.credentialId });
  const row = await getCredential(ctx.db, ctx.principal.accountId, params.credentialId);
  told(ctx, row, { secrets: await deleteCredential(ctx.db, row) });
  ctx.changed(`user:${row.userId}`);
  return { message: 'Credential deleted', credentialId: row.id };
};

export const credentialHandlers = { create, list, get, update, delete: remove } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

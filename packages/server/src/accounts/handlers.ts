// How the operator manages accounts: create, look, limit, disable, delete. Only for admin keys of the account `default`: others administer themselves.
import type { Account, Contract } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import { newId } from '../ids.ts';
import { closePage, openPage } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import {
  type AccountChanges,
  type AccountRow,
  assertOperator,
  createAccount,
  defaultAccountName,
  deleteAccount,
  findAccount,
  listAccounts,
  lockAccount,
  updateAccount,
  withinAccount,
} from './store.ts';

type Routes = Contract['accounts'];

const shown = (row: AccountRow): Account => ({
  accountId: row.id,
  name: row.name,
  enabled: row.enabled,
  callsPerMinute: row.callsPerMinute,
  createdAt: row.createdAt.toISOString(),
});

const operatorOnly = (ctx: Ctx): Promise<void> => assertOperator(ctx.db, ctx.principal.accountId, 'manage accounts');

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  ctx.note({ target: body.name });
  await operatorOnly(ctx);
  const id = newId('acc');
  const made = await withinAccount(ctx.db, id, ctx.principal.accountId, () =>
    createAccount(ctx.db, ctx.parts.keyring, { id, name: body.name, callsPerMinute: body.callsPerMinute }),
  );
  ctx.note({ target: id, details: { name: body.name, key_id: made.key.id } });
  return { ...shown(made.account), keyId: made.key.id, ...(made.token !== undefined && { apiKey: made.token }) };
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  await operatorOnly(ctx);
  const page = openPage('accounts', ['text'], query);
  const { rows: read, total } = await withinAccount(ctx.db, '*', ctx.principal.accountId, () =>
    listAccounts(ctx.db, page),
  );
  const { rows, facts } = closePage(page, read, total, (row) => [row.name]);
  return { accounts: rows.map(shown), ...facts };
};

/** Runs `fn` on the account, in its scope and for a change with its row held; NOT_FOUND when it is not there. */
async function onAccount<T>(
  ctx: Ctx,
  accountId: string,
  isChange: boolean,
  fn: (row: AccountRow) => Promise<T>,
): Promise<T> {
  ctx.note({ target: accountId });
  await operatorOnly(ctx);
  // The scope of the installation would be asked for by the name '*'.
  if (accountId === '*') throw notFound('Account');
  return withinAccount(ctx.db, accountId, ctx.principal.accountId, async () => {
    if (isChange) await lockAccount(ctx.db, accountId);
    const row = await findAccount(ctx.db, accountId);
    if (row === undefined) throw notFound('Account');
    ctx.note({ target: row.id, details: { name: row.name } });
    return fn(row);
  });
}

const get: Handler<Routes['get']> = ({ params }, ctx) =>
  onAccount(ctx, params.accountId, false, async (row) => shown(row));

const update: Handler<Routes['update']> = ({ params, body }, ctx) =>
  onAccount(ctx, params.accountId, true, async (before) => {
    const changes = Object.fromEntries(
      Object.entries(body).filter(([, value]) => value !== undefined),
    ) as AccountChanges;
    const isDefault = before.name === defaultAccountName;
    if (isDefault && changes.enabled === false) throw refuseDefault('disabled');
    // Its name is how the operator's account is known.
    if (isDefault && changes.name !== undefined && changes.name !== before.name) throw refuseDefault('renamed');
    const row = Object.keys(changes).length === 0 ? before : await updateAccount(ctx.db, before.id, changes);
    ctx.note({ details: { name: row.name, ...changes } });
    ctx.changed(`account:${row.id}`);
    return shown(row);
  });

const remove: Handler<Routes['delete']> = ({ params }, ctx) =>
  onAccount(ctx, params.accountId, true, async (row) => {
    if (row.name === defaultAccountName) throw refuseDefault('deleted');
    if (row.enabled) throw new Refusal('CONFLICT', 'An account must be disabled before it is deleted');
    await deleteAccount(ctx.db, row.id);
    ctx.changed(`account:${row.id}`);
    return { status: 'deleted', accountId: row.id };
  });

const refuseDefault = (verb: string): Refusal =>
  new Refusal('CONFLICT', `The account "${defaultAccountName}" cannot be ${verb}`);

export const accountHandlers = { create, list, get, update, delete: remove } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

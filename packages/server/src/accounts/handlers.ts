// How the operator manages accounts: create, list. Only for admin keys of the account `default`: others administer themselves.
import type { Account, Contract } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import { newId } from '../ids.ts';
import { closePage, openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import {
  type AccountRow,
  createAccount,
  defaultAccountName,
  findAccount,
  listAccounts,
  withinAccount,
} from './store.ts';

type Routes = Contract['accounts'];

const shown = (row: AccountRow): Account => ({
  accountId: row.id,
  name: row.name,
  createdAt: row.createdAt.toISOString(),
});

async function assertOperator(ctx: Ctx): Promise<void> {
  const own = await findAccount(ctx.db, ctx.principal.accountId);
  if (own?.name === defaultAccountName) return;
  throw new Refusal('FORBIDDEN', `Only an admin key of the account "${defaultAccountName}" may manage accounts`, {
    reason: 'not_operator',
  });
}

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  ctx.note({ target: body.name });
  await assertOperator(ctx);
  const id = newId('acc');
  const made = await withinAccount(ctx.db, id, ctx.principal.accountId, () =>
    createAccount(ctx.db, ctx.parts.keyring, { id, name: body.name }),
  );
  ctx.note({ target: id, details: { name: body.name, key_id: made.key.id } });
  return { ...shown(made.account), keyId: made.key.id, ...(made.token !== undefined && { apiKey: made.token }) };
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  await assertOperator(ctx);
  const page = openPage('accounts', ['text'], query);
  const { rows: read, total } = await withinAccount(ctx.db, '*', ctx.principal.accountId, () =>
    listAccounts(ctx.db, page),
  );
  const { rows, facts } = closePage(page, read, total, (row) => [row.name]);
  return { accounts: rows.map(shown), ...facts };
};

export const accountHandlers = { create, list } satisfies { [M in keyof Routes]: Handler<Routes[M]> };

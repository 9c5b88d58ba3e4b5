// How people manage API keys: mint for a user, list, revoke. The text of a key is in the reply of its minting and nowhere else.
import type { ApiKey, Contract, KeyKind } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import { mayMint } from '../identity/principal.ts';
import { closePage, openPage } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import { getUser, lockUser } from '../users/store.ts';
import {
  type ApiKeyRow,
  assertRoomForKey,
  findApiKey,
  findApiKeyByText,
  listApiKeys,
  mintApiKey,
  revokeApiKey,
} from './store.ts';

type Routes = Contract['keys'];

const kinds = { standard: 'std', enterprise: 'ent' } as const satisfies Record<string, KeyKind>;

const create: Handler<Routes['create']> = async ({ params, body }, ctx) => {
  const kind = kinds[body.kind ?? 'standard'];
  ctx.note({ target: params.username, details: { kind, name: body.key_name } });
  // Before the user is looked up: whether it exists is nothing that this refusal should tell.
  if (!mayMint(ctx.principal.kind, kind))
    throw new Refusal('FORBIDDEN', 'Only an admin key may create enterprise keys');
  const user = await getUser(ctx.db, ctx.principal.accountId, params.username);
  await lockUser(ctx.db, user.accountId, user.id);
  await assertRoomForKey(ctx.db, user.accountId, user.id);
  const { row, token } = await mintApiKey(ctx.db, ctx.parts.keyring, {
    accountId: user.accountId,
    kind,
    name: body.key_name,
    userId: user.id,
    expiresInDays: body.ttl_days ?? undefined,
  });
  ctx.note({ target: row.id, userId: user.id, details: { kind, name: row.name } });
  return {
    status: 'created',
    username: user.username,
    key_id: row.id,
    key_name: row.name,
    api_key: token,
    expires_at: row.expiresAt?.toISOString() ?? null,
    note: 'Save this key immediately. It will not be shown again.',
  };
};

/** Ends the key for every caller at once. A key that is not there and one of another account are the same NOT_FOUND. */
async function end(ctx: Ctx, row: ApiKeyRow | undefined): Promise<string> {
  if (row === undefined) throw notFound('Key');
  ctx.note({
    target: row.id,
    ...(row.userId !== null && { userId: row.userId }),
    details: { kind: row.kind, name: row.name },
  });
  // Strength guards both ways: whoever cannot mint a kind cannot lock out its holders either.
  if (row.kind === 'adm' && ctx.principal.kind !== 'adm')
    throw new Refusal('FORBIDDEN', 'Only an admin key may revoke an admin key');
  await revokeApiKey(ctx.db, row.accountId, row.id);
  ctx.changed(`key:${row.id}`);
  return row.id;
}

const revoke: Handler<Routes['revoke']> = async ({ body }, ctx) => {
  const { accountId } = ctx.principal;
  const row =
    'key_id' in body
      ? await findApiKey(ctx.db, accountId, body.key_id)
      : await findApiKeyByText(ctx.db, ctx.parts.keyring, accountId, body.api_key);
  return { status: 'revoked', key_id: await end(ctx, row) };
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.keyId });
  return { status: 'revoked', keyId: await end(ctx, await findApiKey(ctx.db, ctx.principal.accountId, params.keyId)) };
};

const shown = (row: ApiKeyRow & { username: string | null }): ApiKey => ({
  keyId: row.id,
  name: row.name,
  kind: row.kind,
  prefix: row.prefix,
  userId: row.userId,
  username: row.username,
  serverId: row.serverId,
  createdAt: row.createdAt.toISOString(),
  expiresAt: row.expiresAt?.toISOString() ?? null,
  lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  revoked: row.revokedAt !== null,
});

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('keys', ['time', 'text'], query);
  const user = query.userId === undefined ? undefined : await getUser(ctx.db, accountId, query.userId);
  const { rows: read, total } = await listApiKeys(
    ctx.db,
    accountId,
    { userId: user?.id, serverId: query.serverId },
    page,
  );
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.createdAt.getTime()), row.id]);
  return { keys: rows.map(shown), ...facts };
};

export const keyHandlers = { create, revoke, list, delete: remove } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

// How people manage API keys: mint for a user, look, narrow, rotate, revoke. The text of a key is in the reply of its minting and nowhere else.
// No key makes, changes or replaces one that is wider than itself.
import type { ApiKey, Contract, KeyKind } from '@mcp-valet/shared';
import { staticKeyName } from '../accounts/store.ts';
import type { Ctx, Handler } from '../context.ts';
import { mayMint } from '../identity/principal.ts';
import { assertCovers } from '../narrowed.ts';
import { closePage, openPage } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import { getUser, getUserIds, lockUser } from '../users/store.ts';
import { listApiKeys } from './list-store.ts';
import { isPersonKey } from './person-store.ts';
import {
  type ApiKeyRow,
  assertRoomForKey,
  endApiKeyIn,
  endTokensOf,
  findApiKey,
  findApiKeyByText,
  hasSuccessor,
  inMs,
  type KeyChanges,
  lockApiKey,
  mintApiKey,
  revokeApiKey,
  revokeTokensOf,
  updateApiKey,
} from './store.ts';

type Routes = Contract['keys'];

const kinds = { standard: 'std', enterprise: 'ent' } as const satisfies Record<string, KeyKind>;
/** Kinds that may name users; only their keys can be kept to some. */
const actsForOthers = (kind: KeyKind): boolean => kind === 'adm' || kind === 'ent';

function refuseUsersOf(field: string): never {
  const message = 'Only keys that may name users can be kept to some of them';
  throw new Refusal('INVALID_REQUEST', `Invalid request: ${field}: ${message}`, {
    details: { issues: [{ path: field, message }] },
  });
}

const create: Handler<Routes['create']> = async ({ params, body }, ctx) => {
  const { principal } = ctx;
  const kind = kinds[body.kind ?? 'standard'];
  const scopes = body.scopes ?? null;
  ctx.note({ target: params.username, details: { kind, name: body.key_name } });
  // Before the user is looked up: whether it exists is nothing that this refusal should tell.
  if (!mayMint(principal.kind, kind)) throw new Refusal('FORBIDDEN', 'Only an admin key may create enterprise keys');
  if (body.allowed_users && !actsForOthers(kind)) refuseUsersOf('allowed_users');
  const user = await getUser(ctx.db, principal.accountId, params.username);
  const allowedUsers = body.allowed_users ? await getUserIds(ctx.db, user.accountId, body.allowed_users) : null;
  assertCovers(principal, { scopes, allowedUsers }, actsForOthers(kind));
  await lockUser(ctx.db, user.accountId, user.id);
  await assertRoomForKey(ctx.db, user.accountId, user.id);
  const { row, token } = await mintApiKey(ctx.db, ctx.parts.keyring, {
    accountId: user.accountId,
    kind,
    name: body.key_name,
    userId: user.id,
    expiresInDays: body.ttl_days ?? undefined,
    scopes,
    allowedUsers,
  });
  ctx.note({ target: row.id, userId: user.id, details: { kind, name: row.name, ...narrowing(row) } });
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

const narrowing = ({ scopes, allowedUsers }: Pick<ApiKeyRow, 'scopes' | 'allowedUsers'>) => ({
  ...(scopes !== null && { scopes }),
  ...(allowedUsers !== null && { allowed_users: allowedUsers }),
});

/** Ends the key for every caller at once, and the tokens that it minted. A key that is not there and one of another account are the same NOT_FOUND. */
async function end(ctx: Ctx, row: ApiKeyRow | undefined): Promise<string> {
  if (row === undefined) throw notFound('Key');
  const told = (tokens?: number) =>
    ctx.note({
      target: row.id,
      ...(row.userId !== null && { userId: row.userId }),
      details: { kind: row.kind, name: row.name, ...(tokens !== undefined && tokens > 0 && { tokens }) },
    });
  told();
  // Strength guards both ways: whoever cannot mint a kind cannot lock out its holders either.
  if (row.kind === 'adm' && ctx.principal.kind !== 'adm')
    throw new Refusal('FORBIDDEN', 'Only an admin key may revoke an admin key');
  await revokeApiKey(ctx.db, row.accountId, row.id);
  const tokens = await revokeTokensOf(ctx.db, row.accountId, [row.id]);
  told(tokens.length);
  for (const id of [row.id, ...tokens]) ctx.changed(`key:${id}`);
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
  scopes: row.scopes,
  allowedUsers: row.allowedUsers,
  rotatedFrom: row.rotatedFrom,
  createdAt: row.createdAt.toISOString(),
  expiresAt: row.expiresAt?.toISOString() ?? null,
  lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  revoked: row.revokedAt !== null,
});

async function withUsername(ctx: Ctx, row: ApiKeyRow): Promise<ApiKeyRow & { username: string | null }> {
  return { ...row, username: row.userId === null ? null : (await getUser(ctx.db, row.accountId, row.userId)).username };
}

const get: Handler<Routes['get']> = async ({ params }, ctx) => {
  const row = await findApiKey(ctx.db, ctx.principal.accountId, params.keyId);
  if (row === undefined || row.kind === 'usr') throw notFound('Key');
  return shown(await withUsername(ctx, row));
};

/** The key, held, if this principal may change or replace it: itself, a weaker kind, or among admins; and nothing that is wider than itself. */
async function lockManaged(ctx: Ctx, keyId: string, verb: string) {
  const { principal } = ctx;
  ctx.note({ target: keyId });
  const found = await lockApiKey(ctx.db, principal.accountId, keyId);
  if (found === undefined || found.row.kind === 'usr') throw notFound('Key');
  const { row } = found;
  ctx.note({ target: row.id, ...(row.userId !== null && { userId: row.userId }) });
  if (row.kind === 'url')
    throw new Refusal('UNPROCESSABLE', `The token of a server URL is ${verb} at its server`, {
      reason: 'server_token',
    });
  const isOwn = row.id === principal.keyId || (row.kind === 'adm' && principal.kind === 'adm');
  if (!isOwn && !mayMint(principal.kind, row.kind))
    throw new Refusal('FORBIDDEN', `A key of this kind may not be ${verb} by another one of the kind or a weaker one`, {
      reason: 'wider_than_minter',
    });
  assertCovers(principal, row, actsForOthers(row.kind));
  if (row.kind === 'adm' && row.name === staticKeyName)
    throw new Refusal('UNPROCESSABLE', `This key is set by the configuration and ${verb} there`, {
      reason: 'static_key',
    });
  return found;
}

const isWithin = (inner: readonly string[] | null, outer: readonly string[] | null): boolean =>
  inner === null || (outer?.every((one) => inner.includes(one)) ?? false);

const update: Handler<Routes['update']> = async ({ params, body }, ctx) => {
  const { principal } = ctx;
  const { row: before } = await lockManaged(ctx, params.keyId, 'changed');
  const changes: KeyChanges = {};
  if (body.name !== undefined) changes.name = body.name;
  if (body.scopes !== undefined) changes.scopes = body.scopes;
  if (body.allowedUsers !== undefined) {
    if (body.allowedUsers !== null && !actsForOthers(before.kind)) refuseUsersOf('allowedUsers');
    changes.allowedUsers =
      body.allowedUsers === null ? null : await getUserIds(ctx.db, before.accountId, body.allowedUsers);
  }
  if (body.expiresAt !== undefined) {
    const wanted = new Date(body.expiresAt);
    if (before.expiresAt !== null && wanted > before.expiresAt)
      throw new Refusal('UNPROCESSABLE', 'A key cannot end later than it would have; rotate it instead');
    changes.expiresAt = wanted;
  }
  const after = { ...before, ...changes };
  assertCovers(principal, after, actsForOthers(before.kind));
  const row =
    Object.keys(changes).length === 0 ? before : await updateApiKey(ctx.db, before.accountId, before.id, changes);
  const narrower =
    !isWithin(row.scopes, before.scopes ?? ['*']) || !isWithin(row.allowedUsers, before.allowedUsers ?? ['*']);
  const tokens = narrower
    ? await revokeTokensOf(ctx.db, row.accountId, [row.id])
    : changes.expiresAt instanceof Date
      ? await endTokensOf(ctx.db, row.accountId, row.id, changes.expiresAt)
      : [];
  ctx.note({ details: { kind: row.kind, changed: Object.keys(changes), ...narrowing(row) } });
  for (const id of [row.id, ...tokens]) ctx.changed(`key:${id}`);
  return shown(await withUsername(ctx, row));
};

const rotate: Handler<Routes['rotate']> = async ({ params, body }, ctx) => {
  const { row: old, isActive } = await lockManaged(ctx, params.keyId, 'rotated');
  const overlapSeconds = body?.overlapSeconds ?? 0;
  // Its text would act under the name of somebody else.
  if (isPersonKey(old))
    throw new Refusal('UNPROCESSABLE', 'This key stands for a person who signs in at an issuer and has no text', {
      reason: 'person_key',
    });
  if (!isActive) throw new Refusal('CONFLICT', 'The key has ended; make a new one');
  if (await hasSuccessor(ctx.db, old.accountId, old.id))
    throw new Refusal('CONFLICT', 'The key has been rotated; rotate the one that replaced it');
  if (old.userId !== null) {
    await lockUser(ctx.db, old.accountId, old.userId);
    if (overlapSeconds > 0) await assertRoomForKey(ctx.db, old.accountId, old.userId);
  }
  const lifeMs = old.expiresAt === null ? null : old.expiresAt.getTime() - old.createdAt.getTime();
  const { row, token } = await mintApiKey(ctx.db, ctx.parts.keyring, {
    accountId: old.accountId,
    kind: old.kind,
    name: old.name,
    userId: old.userId,
    expiresAt: lifeMs === null ? null : inMs(lifeMs),
    scopes: old.scopes,
    allowedUsers: old.allowedUsers,
    rotatedFrom: old.id,
  });
  const endsAt = await endApiKeyIn(ctx.db, old.accountId, old.id, overlapSeconds);
  const tokens =
    overlapSeconds === 0
      ? await revokeTokensOf(ctx.db, old.accountId, [old.id])
      : await endTokensOf(ctx.db, old.accountId, old.id, endsAt);
  ctx.note({ details: { kind: row.kind, name: row.name, new_key: row.id, overlap_seconds: overlapSeconds } });
  for (const id of [old.id, ...tokens]) ctx.changed(`key:${id}`);
  return { ...shown(await withUsername(ctx, row)), apiKey: token, oldKeyEndsAt: endsAt.toISOString() };
};

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

export const keyHandlers = { create, revoke, list, get, update, rotate, delete: remove } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

// How a backend hands out tokens for one user: narrow, short-lived, with a budget if it wants. A token can call and nothing else, no more than
// its user may and no longer than the key that minted it. Its text is in the reply of its minting and nowhere else.
import type { Contract, DelegatedToken } from '@mcp-valet/shared';
import { sql } from 'drizzle-orm';
import type { Handler } from '../context.ts';
import type { Delegation } from '../db/schema.ts';
import { assertHolds } from '../narrowed.ts';
import { closePage, openPage } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import { findServerIds } from '../servers/store.ts';
import { getUser, lockUser } from '../users/store.ts';
import { findApiKey, inMs, mintApiKey, revokeApiKey } from './store.ts';
import { assertRoomForToken, getToken, listTokens, type TokenRow } from './tokens-store.ts';

type Routes = Contract['tokens'];

const defaultSeconds = 900;

const shown = (row: TokenRow): DelegatedToken => {
  const delegation = row.delegation as Delegation;
  return {
    tokenId: row.id,
    userId: row.userId as string,
    username: row.username,
    label: row.name === '' ? null : row.name,
    prefix: row.prefix,
    servers: delegation.servers,
    permissions: delegation.permissions,
    scopes: row.scopes ?? [],
    maxCalls: delegation.maxCalls,
    callsUsed: row.callsUsed,
    mintedBy: delegation.mintedBy,
    createdAt: row.createdAt.toISOString(),
    expiresAt: (row.expiresAt as Date).toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    revoked: row.revokedAt !== null,
  };
};

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  const { principal } = ctx;
  const { accountId } = principal;
  const scopes = [...new Set(body.scopes ?? [])];
  ctx.note({ target: body.userId });
  assertHolds(principal, scopes);
  const user = await getUser(ctx.db, accountId, body.userId);
  ctx.note({ target: user.username, userId: user.id });
  if (!user.enabled) throw new Refusal('USER_DISABLED', 'The user is disabled', { reason: 'user_disabled' });
  const servers = body.servers ? [...new Set(body.servers)] : null;
  if (servers !== null && (await findServerIds(ctx.db, accountId, servers)).length !== servers.length)
    throw notFound('Server');
  await lockUser(ctx.db, accountId, user.id);
  await assertRoomForToken(ctx.db, accountId, user.id);
  const minter = await findApiKey(ctx.db, accountId, principal.keyId);
  // Not seen where the key belongs to a user whom it may not name itself: its own end is known all the same.
  const minterEnd = minter?.expiresAt ?? principal.expiresAt;
  const end = inMs((body.ttlSeconds ?? defaultSeconds) * 1000);
  const delegation: Delegation = {
    servers,
    permissions: body.permissions ?? null,
    maxCalls: body.maxCalls ?? null,
    mintedBy: principal.keyId,
  };
  const { row, token } = await mintApiKey(ctx.db, ctx.parts.keyring, {
    accountId,
    kind: 'usr',
    name: body.label ?? '',
    userId: user.id,
    expiresAt: minterEnd === null ? end : sql`least(${end}, ${minterEnd.toISOString()}::timestamptz)`,
    scopes,
    delegation,
  });
  const { permissions } = delegation;
  ctx.note({
    target: row.id,
    userId: user.id,
    details: {
      expires_at: row.expiresAt?.toISOString(),
      ...(servers !== null && { servers }),
      ...(permissions !== null && { permissions }),
      ...(scopes.length > 0 && { scopes }),
      ...(delegation.maxCalls !== null && { max_calls: delegation.maxCalls }),
    },
  });
  return { ...shown({ ...row, username: user.username }), token };
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('tokens', ['time', 'text'], query);
  const user = query.userId === undefined ? undefined : await getUser(ctx.db, accountId, query.userId);
  const { rows: read, total } = await listTokens(ctx.db, accountId, user?.id, page);
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.createdAt.getTime()), row.id]);
  return { tokens: rows.map(shown), ...facts };
};

const get: Handler<Routes['get']> = async ({ params }, ctx) =>
  shown(await getToken(ctx.db, ctx.principal.accountId, params.tokenId));

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.tokenId });
  const row = await getToken(ctx.db, ctx.principal.accountId, params.tokenId);
  ctx.note({ target: row.id, ...(row.userId !== null && { userId: row.userId }) });
  await revokeApiKey(ctx.db, row.accountId, row.id);
  ctx.changed(`key:${row.id}`);
  return { status: 'revoked', tokenId: row.id };
};

export const tokenHandlers = { create, list, get, delete: remove } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

// How people manage servers: publish, look, change, delete, rotate the token. A token's text is in the reply of its minting only.
import type { Contract, Restrictions, Server } from '@mcp-valet/shared';
import { type ApiKeyRow, endServerTokens, findServerTokens, mintApiKey } from '../api-keys/store.ts';
import type { Ctx, Handler } from '../context.ts';
import { closePage, openPage } from '../page.ts';
import { notFound, Refusal } from '../refusal.ts';
import { getUser } from '../users/store.ts';
import {
  deleteServer,
  findServer,
  insertServer,
  listServers,
  lockServer,
  type NewServer,
  type ServerChanges,
  type ServerRow,
  updateServer,
} from './store.ts';

type Routes = Contract['servers'];

const urlOf = (ctx: Ctx, serverId: string) => `${ctx.parts.config.publicUrl}/mcp/${serverId}`;

function shown(ctx: Ctx, row: ServerRow, token: ApiKeyRow | undefined, accessUrl: string | null = null): Server {
  const restrictions = row.restrictions as Restrictions | null;
  return {
    serverId: row.id,
    name: row.name,
    description: row.description,
    mode: row.mode,
    url: urlOf(ctx, row.id),
    accessUrl,
    tokenPrefix: token?.prefix ?? null,
    tokenExpiresAt: token?.expiresAt?.toISOString() ?? null,
    restrictions,
    hasRestrictions: restrictions !== null && Object.keys(restrictions).length > 0,
    connectors: row.connectors,
    requires: row.requires,
    prefix: row.prefix,
    sessions: row.sessions,
    fullResults: row.fullResults,
    onUnknownUser: row.onUnknownUser,
    isPublic: row.isPublic,
    customInstructions: row.customInstructions,
    rateLimit: row.rateLimit,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

async function shownWithToken(ctx: Ctx, row: ServerRow): Promise<Server> {
  const tokens = await findServerTokens(ctx.db, row.accountId, [row.id]);
  return shown(ctx, row, tokens.get(row.id));
}

/** Checked on the whole server, after a change was merged: two fields that fit alone may not fit together. */
function assertConsistent(server: Pick<NewServer, 'prefix' | 'connectors'>): void {
  if (server.prefix === 'none' && server.connectors?.length !== 1) {
    throw new Refusal(
      'UNPROCESSABLE',
      'prefix "none" needs exactly one connector: with several, tools of one name would collide',
    );
  }
}

function mint(ctx: Ctx, row: ServerRow, expiresInDays: number | undefined) {
  return mintApiKey(ctx.db, ctx.parts.keyring, {
    accountId: row.accountId,
    kind: 'url',
    name: row.name,
    // The owner is the server's; a token that named it too would die with the user while the server lives on.
    userId: null,
    serverId: row.id,
    expiresInDays,
  });
}

/** The user whom `x-alloy-userid` names as owner, or undefined when nobody is named. */
async function namedOwner(ctx: Ctx): Promise<string | undefined> {
  if (ctx.namedUser === undefined) return undefined;
  return (await getUser(ctx.db, ctx.principal.accountId, ctx.namedUser)).id;
}

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  ctx.note({ target: body.name });
  const owner = (await namedOwner(ctx)) ?? ctx.principal.userId;
  const wanted: NewServer = {
    accountId: ctx.principal.accountId,
    name: body.name,
    description: body.description ?? null,
    customInstructions: body.customInstructions ?? null,
    mode: body.mode ?? 'connectivity',
    connectors: body.connectors ? [...new Set(body.connectors)] : null,
    prefix: body.prefix ?? 'connector',
    sessions: body.sessions ?? 'auto',
    fullResults: body.fullResults ?? false,
    onUnknownUser: body.onUnknownUser ?? ctx.parts.config.onUnknownUser,
    rateLimit: body.rateLimit ?? null,
    isPublic: body.isPublic ?? false,
    restrictions: body.restrictions ?? null,
    requires: body.requires ?? null,
    ownerUserId: owner,
    // Only adm and ent keys reach this route, and both may act for users.
    actsForUsers: ctx.principal.mayActForUsers,
  };
  assertConsistent(wanted);
  const row = await insertServer(ctx.db, wanted);
  const { row: token, token: accessToken } = await mint(ctx, row, body.tokenExpiresInDays);
  ctx.note({
    target: row.id,
    ...(owner !== null && { userId: owner }),
    details: { name: row.name, mode: row.mode, token_id: token.id },
  });
  ctx.changed(`server:${row.id}`);
  return { ...shown(ctx, row, token, `${urlOf(ctx, row.id)}/${accessToken}`), accessToken };
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('servers', ['time', 'text'], query);
  const { rows: read, total } = await listServers(ctx.db, accountId, await namedOwner(ctx), page);
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.createdAt.getTime()), row.id]);
  const ids = rows.map((row) => row.id);
  const tokens = await findServerTokens(ctx.db, accountId, ids);
  return { servers: rows.map((row) => shown(ctx, row, tokens.get(row.id))), count: rows.length, ...facts };
};

const get: Handler<Routes['get']> = async ({ params }, ctx) => {
  const row = await findServer(ctx.db, ctx.principal.accountId, params.serverId);
  if (row === undefined) throw notFound('Server');
  return shownWithToken(ctx, row);
};

const update: Handler<Routes['update']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.serverId });
  const before = await lockServer(ctx.db, ctx.principal.accountId, params.serverId);
  const sent = Object.entries(body).filter(([, value]) => value !== undefined);
  const changes = Object.fromEntries(sent) as ServerChanges;
  if (body.connectors) changes.connectors = [...new Set(body.connectors)];
  assertConsistent({ ...before, ...changes });
  const row = await updateServer(ctx.db, before.accountId, before.id, changes);
  ctx.note({ target: row.id, details: { name: row.name, changed: sent.map(([name]) => name) } });
  ctx.changed(`server:${row.id}`);
  return shownWithToken(ctx, row);
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.serverId });
  const row = await lockServer(ctx.db, ctx.principal.accountId, params.serverId);
  const tokens = await endServerTokens(ctx.db, row.accountId, row.id, 0);
  await deleteServer(ctx.db, row.accountId, row.id);
  ctx.note({ target: row.id, details: { name: row.name, tokens: tokens.length } });
  for (const id of tokens) ctx.changed(`key:${id}`);
  ctx.changed(`server:${row.id}`);
  return { message: 'Server deleted', serverId: row.id };
};

const rotateToken: Handler<Routes['rotateToken']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.serverId });
  const row = await lockServer(ctx.db, ctx.principal.accountId, params.serverId);
  const overlapSeconds = body?.overlapSeconds ?? 0;
  const ended = await endServerTokens(ctx.db, row.accountId, row.id, overlapSeconds);
  const { row: token, token: accessToken } = await mint(ctx, row, body?.expiresInDays);
  ctx.note({ target: row.id, details: { token_id: token.id, ended: ended.length, overlap_seconds: overlapSeconds } });
  for (const id of ended) ctx.changed(`key:${id}`);
  ctx.changed(`server:${row.id}`);
  return {
    accessToken,
    accessUrl: `${urlOf(ctx, row.id)}/${accessToken}`,
    tokenExpiresAt: token.expiresAt?.toISOString() ?? null,
  };
};

export const serverHandlers = { create, list, get, update, delete: remove, rotateToken } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

// How people manage connectors: register, look, change, delete, and ask the upstream for its lists. Never shows a header or a secret.
// `refresh` and `actions` reach the upstream, `list` and `get` ask what was seen of it: they hold no transaction meanwhile.
import type { Connector, Contract, RouteReply } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import { closePage, openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import { getUser } from '../users/store.ts';
import { type Definition, mergeDefinition } from './definition.ts';
import {
  type ConnectorRow,
  definitionOf,
  deleteConnector,
  getConnector,
  insertConnector,
  listConnectors,
  lockConnector,
  updateConnector,
} from './store.ts';

type Routes = Contract['connectors'];
type Action = RouteReply<Routes['actions']>['actions'][number];

const textOr = (value: unknown, fallback: string) => (typeof value === 'string' && value !== '' ? value : fallback);

/** An upstream's tool as people see it. The list reader has checked name and schema; the rest is whatever the upstream said. */
function shownAction(tool: Readonly<Record<string, unknown>>): Action {
  const id = String(tool['name']);
  const annotations = (tool['annotations'] ?? {}) as Record<string, unknown>;
  return {
    id,
    name: textOr(tool['title'], textOr(annotations['title'], id)),
    description: textOr(tool['description'], ''),
    readOnly: annotations['readOnlyHint'] === true,
    inputSchema: tool['inputSchema'] as Record<string, unknown>,
  };
}

/** A definition that is new or changed has not been tried: whatever was seen before was seen of something else. */
const untried = { status: 'disconnected', toolsAge: null } as const;

function shown(row: ConnectorRow, state: Pick<Connector, 'status' | 'lastError' | 'toolsAge'>): Connector {
  const { status, lastError, toolsAge } = state;
  const { config, inject } = definitionOf(row);
  return {
    connectorId: row.id,
    name: row.name,
    description: row.description,
    category: row.category,
    kind: row.kind,
    url: config.url,
    secretNames: row.secretNames,
    inject,
    timeoutMs: row.timeoutMs,
    status,
    ...(lastError !== undefined && { lastError }),
    toolsAge,
    enabled: row.enabled,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

const checkUrl = (ctx: Ctx) => (url: string) => ctx.parts.egress.check(url);

/** Only names: a template or header value may hold what somebody should not have put there. */
const told = (ctx: Ctx, row: ConnectorRow) => {
  const { headers = {} } = definitionOf(row).config;
  ctx.note({
    target: row.id,
    details: { kind: row.kind, enabled: row.enabled, headers: Object.keys(headers), secrets: row.secretNames },
  });
};

/** Connector and user of a request, read before the upstream is asked. */
async function look(
  ctx: Ctx,
  connectorId: string,
  ref: string | undefined,
): Promise<{ row: ConnectorRow; userId: string | null }> {
  const { accountId } = ctx.principal;
  return ctx.scoped(async (tx) => {
    const row = await getConnector(tx, accountId, connectorId);
    const user = ref === undefined ? undefined : await getUser(tx, accountId, ref);
    return { row, userId: user?.id ?? null };
  });
}

/** What was last seen of the upstream. Reads through caches with scopes of their own, hence never inside a transaction. */
async function stateOf(
  ctx: Ctx,
  row: ConnectorRow,
  userId: string | null,
): Promise<Pick<Connector, 'status' | 'lastError' | 'toolsAge'>> {
  try {
    return await ctx.parts.upstreams.state(row.accountId, row.id, userId);
  } catch (error) {
    // Deleted since it was read, on another replica: shown as what it was, once.
    if (error instanceof Refusal) return untried;
    throw error;
  }
}

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  const { connectorId, kind: _kind, ...sent } = body;
  ctx.note({ target: connectorId });
  const blank: Definition = {
    name: connectorId,
    description: null,
    category: [],
    config: { url: body.url },
    inject: null,
    secretNames: [],
    timeoutMs: null,
    enabled: true,
  };
  const definition = mergeDefinition(blank, sent, checkUrl(ctx));
  const row = await insertConnector(ctx.db, ctx.principal.accountId, connectorId, definition);
  told(ctx, row);
  ctx.changed(`connectors:${row.accountId}`);
  return shown(row, untried);
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const page = openPage('connectors', ['text'], query);
  const { rows: read, total } = await ctx.scoped((tx) => listConnectors(tx, ctx.principal.accountId, page));
  const { rows, facts } = closePage(page, read, total, (row) => [row.id]);
  const connectors = await Promise.all(rows.map(async (row) => shown(row, await stateOf(ctx, row, null))));
  return { connectors, ...facts };
};

const get: Handler<Routes['get']> = async ({ params, query }, ctx) => {
  const { row, userId } = await look(ctx, params.connectorId, query.userId);
  return shown(row, await stateOf(ctx, row, userId));
};

const update: Handler<Routes['update']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.connectorId });
  const before = await lockConnector(ctx.db, ctx.principal.accountId, params.connectorId);
  const definition = mergeDefinition(definitionOf(before), body, checkUrl(ctx));
  const row = await updateConnector(ctx.db, before.accountId, before.id, definition);
  told(ctx, row);
  ctx.changed(`connectors:${row.accountId}`);
  return shown(row, untried);
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.connectorId });
  const row = await lockConnector(ctx.db, ctx.principal.accountId, params.connectorId);
  const gone = await deleteConnector(ctx.db, row.accountId, row.id);
  ctx.note({ target: row.id, details: { credentials: gone.credentials, users: gone.users } });
  // Cached credentials depend on this topic too.
  ctx.changed(`connectors:${row.accountId}`);
  return { message: 'Connector deleted', connectorId: row.id };
};

const refresh: Handler<Routes['refresh']> = async ({ params, query }, ctx) => {
  ctx.note({ target: params.connectorId });
  const { row, userId } = await look(ctx, params.connectorId, query.userId);
  ctx.note({ target: row.id, ...(userId !== null && { userId }) });
  try {
    const tools = await ctx.parts.upstreams.tools(row.accountId, row.id, userId, {
      fresh: true,
      requestId: ctx.requestId,
    });
    ctx.note({ target: row.id, ...(userId !== null && { userId }), details: { tools: tools.length } });
  } catch (error) {
    // That the upstream does not answer is what was asked: the reply's status and lastError tell it.
    if (!(error instanceof Refusal)) throw error;
    ctx.note({ target: row.id, ...(userId !== null && { userId }), details: { code: error.code } });
  }
  return shown(row, await stateOf(ctx, row, userId));
};

const actions: Handler<Routes['actions']> = async ({ params, query }, ctx) => {
  const { row, userId } = await look(ctx, params.connectorId, query.userId);
  const tools = await ctx.parts.upstreams.tools(row.accountId, row.id, userId, {
    fresh: false,
    requestId: ctx.requestId,
  });
  const found = tools.map(shownAction);
  return { connectorId: row.id, actions: found, count: found.length };
};

export const connectorHandlers = { create, list, get, update, delete: remove, refresh, actions } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

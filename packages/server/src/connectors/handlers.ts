// How people manage connectors: register, look, change, delete, and ask the upstream for its lists. Never shows a header or a secret.
// `refresh` and `actions` reach the upstream, `list` and `get` ask what was seen of it: they hold no transaction meanwhile.
import type { Connector, Contract, RouteReply } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import { saveOAuthClient } from '../credentials/oauth/client-store.ts';
import type { KindConfig } from '../identity/records.ts';
import { closePage, openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import { getUser } from '../users/store.ts';
import { blankDefinition, mergeDefinition, type SentFields, type Surroundings } from './definition.ts';
import { type ImportedDocument, readSentDocument, saveDocument } from './documents.ts';
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
  const { config, inject, oauth } = definitionOf(row);
  return {
    connectorId: row.id,
    name: row.name,
    description: row.description,
    category: row.category,
    kind: row.kind,
    ...shownConfig(config),
    oauth,
    secretNames: row.secretNames,
    inject,
    timeoutMs: row.timeoutMs,
    allowShared: row.allowShared,
    requires: row.requires,
    status,
    ...(lastError !== undefined && { lastError }),
    toolsAge,
    enabled: row.enabled,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

/** Fixed headers and the transport are settings of the operator's, not of interest to who lists connectors. */
function shownConfig({ url, entry, baseUrl, auth, openapi }: KindConfig): Partial<Connector> {
  return {
    ...(url !== undefined && { url }),
    ...(entry !== undefined && { entry }),
    ...(baseUrl !== undefined && { baseUrl }),
    ...(auth !== undefined && { auth }),
    ...(openapi !== undefined && { openapi }),
  };
}

const around = ({ parts }: Ctx): Surroundings => ({
  checkUrl: (url) => parts.egress.check(url),
  entryEnv: (name) => parts.stdioCatalog.get(name)?.env,
});

/** What `prepare` made of the sent document, by the body that it came in. */
const prepared = new WeakMap<object, ImportedDocument>();

/** Fetching and compiling a document takes its time: done before the transaction, which would hold everybody else up. */
async function prepareDocument(
  body: object & { openapi?: unknown },
  { parts, principal }: Pick<Ctx, 'parts' | 'principal'>,
): Promise<void> {
  if (body.openapi !== undefined)
    prepared.set(body, await readSentDocument(body.openapi, parts.egress, principal.accountId));
}

/** A document's own OAuth endpoints stand in for those that the settings leave out. */
function withEndpoints(sent: SentFields, document: ImportedDocument | undefined): SentFields {
  const { oauth } = sent;
  if (!oauth || document === undefined || oauth.issuer !== undefined || oauth.tokenUrl !== undefined) return sent;
  for (const scheme of Object.values(document.compiled.securitySchemes)) {
    const flows = scheme.kind === 'oauth2' ? scheme.flows : [];
    for (const { authorizationUrl, tokenUrl } of flows)
      if (authorizationUrl !== undefined && tokenUrl !== undefined)
        return { ...sent, oauth: { ...oauth, authorizationUrl, tokenUrl } };
  }
  return sent;
}

/** The client's secret and the document follow their connector into its transaction. */
async function storeBeside(
  ctx: Ctx,
  row: ConnectorRow,
  sent: SentFields,
  document: ImportedDocument | undefined,
): Promise<void> {
  if (document !== undefined) await saveDocument(ctx.db, row.accountId, row.id, document.bytes);
  const { clientId, clientSecret } = sent.oauth ?? {};
  if (clientId !== undefined && clientSecret !== undefined)
    await saveOAuthClient(ctx.db, ctx.parts.keyring, {
      accountId: row.accountId,
      connectorId: row.id,
      clientId,
      clientSecret,
    });
}

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
  const { connectorId, kind, ...rest } = body;
  ctx.note({ target: connectorId });
  const document = prepared.get(body);
  const sent = withEndpoints({ ...rest, imported: document?.facts }, document);
  const row = await insertConnector(
    ctx.db,
    ctx.principal.accountId,
    connectorId,
    mergeDefinition(blankDefinition(connectorId, kind), sent, around(ctx)),
  );
  await storeBeside(ctx, row, sent, document);
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
  const document = prepared.get(body);
  const sent = withEndpoints({ ...body, imported: document?.facts }, document);
  const definition = mergeDefinition(definitionOf(before), sent, around(ctx));
  const row = await updateConnector(ctx.db, before.accountId, before.id, definition);
  await storeBeside(ctx, row, sent, document);
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

create.prepare = ({ body }, ctx) => prepareDocument(body, ctx);
update.prepare = ({ body }, ctx) => prepareDocument(body, ctx);

export const connectorHandlers = { create, list, get, update, delete: remove, refresh, actions } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};

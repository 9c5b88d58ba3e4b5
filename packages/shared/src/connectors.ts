// Connectors: what servers can reach, and how a user's secret gets into a call.
import * as z from 'zod/mini';
import {
  connectorId,
  jsonObject,
  opaqueId,
  pageQuery,
  pageReply,
  secretName,
  text,
  timestamp,
  userRef,
} from './primitives.ts';
import { route } from './route.ts';

const headerName = z
  .string()
  .check(z.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, { error: 'Must be an HTTP header name' }));
const template = text(4096, 1);

/** Where secrets go: templates with `{{SECRET_NAME}}`, `{{user.username}}`, `{{user.id}}`. `args: "all"` merges every secret into the arguments. */
export const inject = z.strictObject({
  headers: z.optional(z.record(headerName, template)),
  query: z.optional(z.record(text(128, 1), template)),
  args: z.optional(z.union([z.literal('all'), z.record(text(128, 1), template)])),
});
export type Inject = z.output<typeof inject>;

const fields = {
  name: z.optional(text(100, 1)),
  description: z.optional(z.nullable(text(2000))),
  category: z.optional(z.array(text(64, 1)).check(z.maxLength(20))),
  /** Address of the upstream MCP server (Streamable HTTP). No secret belongs into it. */
  url: z.optional(text(2048, 1)),
  /** Fixed, non-secret request headers. `Authorization`, `Host`, `Cookie` and MCP headers are refused: use `inject`. */
  headers: z.optional(z.record(headerName, text(4096))),
  /** `sse` for the deprecated HTTP+SSE transport; default `streamable-http`. */
  transport: z.optional(z.enum(['streamable-http', 'sse'])),
  inject: z.optional(z.nullable(inject)),
  /** Secrets that a user must have before a call. Empty: none needed. */
  secretNames: z.optional(z.array(secretName).check(z.maxLength(100))),
  timeoutMs: z.optional(z.nullable(z.int().check(z.minimum(1000), z.maximum(300_000)))),
  enabled: z.optional(z.boolean()),
};

export const connectorCreate = z.strictObject({
  connectorId,
  kind: z.literal('mcp-http'),
  ...fields,
  url: text(2048, 1),
});
export const connectorUpdate = z.strictObject(fields);

export const connector = z.object({
  connectorId: z.string(),
  name: z.string(),
  description: z.nullable(z.string()),
  category: z.array(z.string()),
  kind: z.literal('mcp-http'),
  url: z.string(),
  secretNames: z.array(z.string()),
  /** Templates, never values. */
  inject: z.nullable(inject),
  timeoutMs: z.nullable(z.int()),
  /** What the gateway last saw of the upstream. */
  status: z.enum(['connected', 'connecting', 'disconnected', 'error']),
  lastError: z.optional(z.string()),
  /** Milliseconds since the tool list was read, null before the first time. */
  toolsAge: z.nullable(z.int()),
  enabled: z.boolean(),
  createdAt: timestamp,
  updatedAt: timestamp,
});
export type Connector = z.output<typeof connector>;

/** What one action of a connector is, as the upstream describes it. */
export const action = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  readOnly: z.boolean(),
  inputSchema: jsonObject,
});

const params = z.object({ connectorId: opaqueId });
const asUser = z.strictObject({ userId: z.optional(userRef) });

export const connectorRoutes = {
  /** Registers an upstream. Throws CONFLICT when the id is taken, INVALID_REQUEST for an address that the egress guard refuses. */
  create: route({
    method: 'POST',
    path: '/api/connectors',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Register a connector',
    body: connectorCreate,
    status: 201,
    reply: connector,
    errors: ['CONFLICT', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'connector.create',
  }),
  /** The account's connectors, by id. */
  list: route({
    method: 'GET',
    path: '/api/connectors',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List connectors',
    query: z.strictObject(pageQuery),
    status: 200,
    reply: z.object({ connectors: z.array(connector), ...pageReply }),
    errors: [],
    audit: null,
    items: 'connectors',
    db: 'plain',
  }),
  /** One connector with the state of its upstream as last seen. `userId` chooses whose credential that state is about. */
  get: route({
    method: 'GET',
    path: '/api/connectors/{connectorId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Get a connector',
    params,
    query: asUser,
    status: 200,
    reply: connector,
    errors: ['NOT_FOUND', 'USER_NOT_FOUND'],
    audit: null,
    db: 'plain',
  }),
  /** Changes the fields that are sent; `inject` and `headers` are replaced whole. */
  update: route({
    method: 'PUT',
    path: '/api/connectors/{connectorId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Update a connector',
    params,
    body: connectorUpdate,
    status: 200,
    reply: connector,
    errors: ['NOT_FOUND'],
    audit: 'connector.update',
  }),
  /** Deletes the connector with every user's credentials and secrets for it. */
  delete: route({
    method: 'DELETE',
    path: '/api/connectors/{connectorId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Delete a connector',
    params,
    status: 200,
    reply: z.object({ message: z.literal('Connector deleted'), connectorId: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'connector.delete',
  }),
  /** Reads the upstream's tool list anew and tells its state. */
  refresh: route({
    method: 'POST',
    path: '/api/connectors/{connectorId}/refresh',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Read the upstream’s lists again',
    params,
    query: asUser,
    status: 200,
    reply: connector,
    errors: ['NOT_FOUND', 'USER_NOT_FOUND'],
    audit: 'connector.refresh',
    db: 'plain',
    idempotent: true,
  }),
  /** The connector's actions. With `userId`, as that user's credential sees them; without, as nobody's. */
  actions: route({
    method: 'GET',
    path: '/api/connectors/{connectorId}/actions',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List a connector’s actions',
    params,
    query: asUser,
    status: 200,
    reply: z.object({ connectorId: z.string(), actions: z.array(action), count: z.int() }),
    errors: ['NOT_FOUND', 'USER_NOT_FOUND', 'UPSTREAM_ERROR', 'UPSTREAM_UNREACHABLE', 'UPSTREAM_TIMEOUT'],
    audit: null,
    db: 'plain',
  }),
};

// Connectors: what servers can reach, and how a user's secret gets into a call.
import * as z from 'zod/mini';
import {
  connectorId,
  jsonObject,
  opaqueId,
  pageQuery,
  pageReply,
  secretName,
  secretValue,
  text,
  timestamp,
  userRef,
} from './primitives.ts';
import { requirements } from './restrictions.ts';
import { route } from './route.ts';

const headerName = z
  .string()
  .check(z.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, { error: 'Must be an HTTP header name' }));
const template = text(4096, 1);
const url = text(2048, 1);

/** What an upstream is: an MCP server over HTTP, one that runs as a child process, or a REST API that an OpenAPI document describes. */
export const connectorKind = z.enum(['mcp-http', 'mcp-stdio', 'http']);
export type ConnectorKind = z.output<typeof connectorKind>;

/**
 * Where secrets go: templates with `{{SECRET_NAME}}`, `{{user.username}}`, `{{user.id}}`. `args: "all"` merges every secret into the arguments,
 * `env: "all"` gives a child process every secret that its catalogue entry declares.
 */
export const inject = z.strictObject({
  headers: z.optional(z.record(headerName, template)),
  query: z.optional(z.record(text(128, 1), template)),
  args: z.optional(z.union([z.literal('all'), z.record(text(128, 1), template)])),
  env: z.optional(z.union([z.literal('all'), z.record(secretName, template)])),
});
export type Inject = z.output<typeof inject>;

const oauthFields = {
  /** The authorization server; its endpoints are read from its metadata (RFC 8414, OpenID Connect Discovery). */
  issuer: z.optional(url),
  /** Endpoints, where the provider publishes no metadata. */
  authorizationUrl: z.optional(url),
  tokenUrl: z.optional(url),
  revocationUrl: z.optional(url),
  /** Our client at the provider. Without one the gateway registers itself (MCP upstreams: client id metadata document or RFC 7591). */
  clientId: z.optional(text(512, 1)),
  /** How the client signs in at the token endpoint; default `client_secret_basic` with a secret, `none` without. */
  tokenAuth: z.optional(z.enum(['client_secret_basic', 'client_secret_post', 'none'])),
  scopes: z.optional(z.array(text(256, 1)).check(z.maxLength(100))),
  /** Further parameters of the authorization request, such as `access_type: offline`. */
  authorizationParams: z.optional(z.record(text(64, 1), text(1024))),
};

/** How users sign in with OAuth 2.0. `{}` on an `mcp-http` connector: as the upstream's own metadata says (RFC 9728). */
export const oauthSettings = z.strictObject({
  ...oauthFields,
  /** Sealed, never shown. Left out of an update with the same client id: the stored one stays. */
  clientSecret: z.optional(secretValue),
});
export type OAuthSettings = z.output<typeof oauthSettings>;
const oauthShown = z.object({ ...oauthFields, hasClientSecret: z.boolean() });

/** Which secrets answer a security scheme of the document: scheme name -> part (`value`, `token`, `username`, `password`) -> secret name. */
const schemeSecrets = z.record(text(128, 1), z.record(text(64, 1), secretName));

const common = {
  name: z.optional(text(100, 1)),
  description: z.optional(z.nullable(text(2000))),
  category: z.optional(z.array(text(64, 1)).check(z.maxLength(20))),
  inject: z.optional(z.nullable(inject)),
  /** Secrets that a user must have before a call. Empty: none needed. */
  secretNames: z.optional(z.array(secretName).check(z.maxLength(100))),
  timeoutMs: z.optional(z.nullable(z.int().check(z.minimum(1000), z.maximum(300_000)))),
  /** Users without a credential of their own may use one that was stored as shared. Default false. */
  allowShared: z.optional(z.boolean()),
  /** Scopes and claims that its actions demand of their caller. */
  requires: z.optional(z.nullable(requirements)),
  enabled: z.optional(z.boolean()),
};
const oauth = z.optional(z.nullable(oauthSettings));

const httpMcpFields = {
  /** Address of the upstream MCP server (Streamable HTTP). No secret belongs into it. */
  url: z.optional(url),
  /** Fixed, non-secret request headers. `Authorization`, `Host`, `Cookie` and MCP headers are refused: use `inject`. */
  headers: z.optional(z.record(headerName, text(4096))),
  /** `sse` for the deprecated HTTP+SSE transport; default `streamable-http`. */
  transport: z.optional(z.enum(['streamable-http', 'sse'])),
};
/** Name of an entry in the operator's catalogue (`VALET_STDIO_CATALOG`). A command never travels. */
const entry = text(64, 1);
const restFields = {
  /** The OpenAPI document (2.0, 3.0 or 3.1): an object, its JSON or YAML text, or an https URL, read once through the egress guard. */
  openapi: z.optional(z.union([jsonObject, z.string().check(z.minLength(1))])),
  /** Where the API is, when not where the document says. */
  baseUrl: z.optional(z.nullable(url)),
  auth: z.optional(z.nullable(schemeSecrets)),
};

export const connectorCreate = z.discriminatedUnion('kind', [
  z.strictObject({ connectorId, kind: z.literal('mcp-http'), ...common, oauth, ...httpMcpFields, url }),
  z.strictObject({ connectorId, kind: z.literal('mcp-stdio'), ...common, entry }),
  z.strictObject({
    connectorId,
    kind: z.literal('http'),
    ...common,
    oauth,
    ...restFields,
    openapi: z.union([jsonObject, z.string().check(z.minLength(1))]),
  }),
]);
export const connectorUpdate = z.strictObject({
  ...common,
  oauth,
  ...httpMcpFields,
  entry: z.optional(entry),
  ...restFields,
});

/** Where a document is wrong: a JSON pointer and a sentence. */
const place = z.object({ path: z.string(), message: z.string() });

export const connector = z.object({
  connectorId: z.string(),
  name: z.string(),
  description: z.nullable(z.string()),
  category: z.array(z.string()),
  kind: connectorKind,
  /** Of `mcp-http`. */
  url: z.optional(z.string()),
  /** Of `mcp-stdio`. */
  entry: z.optional(z.string()),
  /** Of `http`: where calls go. */
  baseUrl: z.optional(z.string()),
  /** Of `http`: what was imported, and what of it cannot be called (at most 20 places). */
  openapi: z.optional(
    z.object({ title: z.string(), version: z.string(), operations: z.int(), warnings: z.array(place) }),
  ),
  auth: z.optional(schemeSecrets),
  oauth: z.nullable(oauthShown),
  secretNames: z.array(z.string()),
  /** Templates, never values. */
  inject: z.nullable(inject),
  timeoutMs: z.nullable(z.int()),
  allowShared: z.boolean(),
  requires: z.nullable(requirements),
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
    largeBody: true,
    status: 201,
    reply: connector,
    errors: ['CONFLICT', 'UNPROCESSABLE', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
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
    largeBody: true,
    status: 200,
    reply: connector,
    errors: ['NOT_FOUND', 'UNPROCESSABLE'],
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

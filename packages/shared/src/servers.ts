// Servers: the MCP endpoints that an account publishes, and their tokens.
import * as z from 'zod/mini';
import { connectorId, opaqueId, pageQuery, pageReply, serverName, text, timestamp } from './primitives.ts';
import { requirements, restrictions } from './restrictions.ts';
import { route } from './route.ts';

const rateLimit = z.strictObject({
  max: z.int().check(z.minimum(1), z.maximum(1_000_000)),
  windowSeconds: z.int().check(z.minimum(1), z.maximum(3600)),
});

const fields = {
  description: z.optional(z.nullable(text(2000))),
  /** Sent to MCP clients as `instructions`. */
  customInstructions: z.optional(z.nullable(text(20_000))),
  isPublic: z.optional(z.boolean()),
  restrictions: z.optional(z.nullable(restrictions)),
  /** `connectivity`: the eight `*_alloy` tools. `direct`: the connectors' own tools, resources and prompts. */
  mode: z.optional(z.enum(['connectivity', 'direct'])),
  /** Ids of the connectors it reaches; absent or null: all of the account. */
  connectors: z.optional(z.nullable(z.array(connectorId).check(z.maxLength(1000)))),
  /** Direct mode: `connector` names tools `{connector}__{tool}`; `none` keeps names and needs exactly one connector. */
  prefix: z.optional(z.enum(['connector', 'none'])),
  /** Whether `initialize` of a 2025-era client mints a session. */
  sessions: z.optional(z.enum(['auto', 'always', 'never'])),
  /** What a call for an unknown user does: `reject` it, or run in the account's default context and say so. */
  onUnknownUser: z.optional(z.enum(['reject', 'fallback'])),
  /** Gives out large results of REST connectors whole instead of cut for a model. Default false. */
  fullResults: z.optional(z.boolean()),
  /** Scopes and claims that its tools demand of their caller, beside what their connectors demand. */
  requires: z.optional(z.nullable(requirements)),
  /** A limit per user on this server; it can only lower the account's. */
  rateLimit: z.optional(z.nullable(rateLimit)),
};

export const serverCreate = z.strictObject({
  name: serverName,
  ...fields,
  /** Life of the access token in days; absent: it does not expire. */
  tokenExpiresInDays: z.optional(z.int().check(z.minimum(1), z.maximum(365))),
});

export const serverUpdate = z.strictObject({ name: z.optional(serverName), ...fields });

export const server = z.object({
  serverId: z.string(),
  name: z.string(),
  description: z.nullable(z.string()),
  mode: z.enum(['connectivity', 'direct']),
  url: z.string(),
  /** The tokenized URL, only at creation and rotation; otherwise null. */
  accessUrl: z.nullable(z.string()),
  tokenPrefix: z.nullable(z.string()),
  tokenExpiresAt: z.nullable(timestamp),
  restrictions: z.nullable(restrictions),
  hasRestrictions: z.boolean(),
  connectors: z.nullable(z.array(z.string())),
  requires: z.nullable(requirements),
  prefix: z.enum(['connector', 'none']),
  sessions: z.enum(['auto', 'always', 'never']),
  onUnknownUser: z.enum(['reject', 'fallback']),
  isPublic: z.boolean(),
  fullResults: z.boolean(),
  customInstructions: z.nullable(z.string()),
  rateLimit: z.nullable(rateLimit),
  createdAt: timestamp,
  updatedAt: timestamp,
});
export type Server = z.output<typeof server>;

const params = z.object({ serverId: opaqueId });

export const serverRoutes = {
  /** Publishes an MCP endpoint. `accessToken` and `accessUrl` are shown here and never again. Throws CONFLICT when the name is taken. */
  create: route({
    method: 'POST',
    path: '/api/servers',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Create a server and its access token',
    body: serverCreate,
    status: 201,
    reply: z.extend(server, { accessToken: z.optional(z.string()) }),
    errors: ['CONFLICT', 'UNPROCESSABLE', 'USER_NOT_FOUND', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'server.create',
    oneTime: ['accessToken', 'accessUrl'],
  }),
  /** The account's servers, newest first; `x-alloy-userid` narrows the list to one owner. */
  list: route({
    method: 'GET',
    path: '/api/servers',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List servers',
    query: z.strictObject(pageQuery),
    status: 200,
    reply: z.object({ servers: z.array(server), count: z.int(), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'servers',
  }),
  /** One server. `accessUrl` is always null here. */
  get: route({
    method: 'GET',
    path: '/api/servers/{serverId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Get a server',
    params,
    status: 200,
    reply: server,
    errors: ['NOT_FOUND'],
    audit: null,
  }),
  /** Changes the fields that are sent; `restrictions` replaces the whole object. */
  update: route({
    method: 'PUT',
    path: '/api/servers/{serverId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Update a server',
    params,
    body: serverUpdate,
    status: 200,
    reply: server,
    errors: ['NOT_FOUND', 'CONFLICT', 'UNPROCESSABLE'],
    audit: 'server.update',
  }),
  /** Deletes the server; its tokens answer 401 from then on. */
  delete: route({
    method: 'DELETE',
    path: '/api/servers/{serverId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Delete a server',
    params,
    status: 200,
    reply: z.object({ message: z.literal('Server deleted'), serverId: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'server.delete',
  }),
  /** A new access token; the old ones end after `overlapSeconds` (default 0: at once). The text is shown here and never again. */
  rotateToken: route({
    method: 'POST',
    path: '/api/servers/{serverId}/token',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Rotate a server’s access token',
    params,
    body: z.optional(
      z.strictObject({
        expiresInDays: z.optional(z.int().check(z.minimum(1), z.maximum(365))),
        overlapSeconds: z.optional(z.int().check(z.minimum(0), z.maximum(86_400))),
      }),
    ),
    status: 201,
    reply: z.object({
      accessToken: z.optional(z.string()),
      accessUrl: z.nullable(z.string()),
      tokenExpiresAt: z.nullable(timestamp),
    }),
    errors: ['NOT_FOUND', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'server.rotate_token',
    oneTime: ['accessToken', 'accessUrl'],
  }),
};

// Users and what they may reach. Wire names are snake_case here because the seed system fixed them.
import * as z from 'zod/mini';
import { apiKeySummary } from './api-keys.ts';
import { connectorId, jsonObject, text, timestamp, username, userRef } from './primitives.ts';
import { route } from './route.ts';

export const user = z.object({
  username: z.string(),
  user_id: z.string(),
  email: z.nullable(z.string()),
  description: z.nullable(z.string()),
  enabled: z.boolean(),
  created_at: timestamp,
  mcp_allowed: z.array(z.string()),
  mcp_blocked: z.array(z.string()),
  metadata: jsonObject,
});

const params = z.object({ username: userRef });
const access = z.array(connectorId).check(z.maxLength(1000));

export const userRoutes = {
  /** Creates a user. Throws CONFLICT when the username is taken in this account. */
  create: route({
    method: 'POST',
    path: '/users',
    access: ['adm', 'ent'],
    dialect: 'users',
    summary: 'Create a user',
    body: z.strictObject({
      username,
      email: z.optional(z.nullable(text(320))),
      description: z.optional(z.nullable(text(2000))),
      metadata: z.optional(jsonObject),
    }),
    status: 201,
    reply: z.extend(user, { status: z.literal('created') }),
    errors: ['CONFLICT', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'user.create',
  }),
  /** The account's users, by username. */
  list: route({
    method: 'GET',
    path: '/users',
    access: ['adm', 'ent'],
    dialect: 'users',
    summary: 'List users',
    query: z.strictObject({
      limit: z.optional(z.coerce.number<number>().check(z.int(), z.minimum(1), z.maximum(1000))),
      offset: z.optional(z.coerce.number<number>().check(z.int(), z.minimum(0), z.maximum(1_000_000_000))),
      cursor: z.optional(text(512, 1)),
    }),
    status: 200,
    reply: z.object({
      users: z.array(user),
      count: z.int(),
      total: z.int(),
      limit: z.int(),
      offset: z.int(),
      has_more: z.boolean(),
      next_cursor: z.nullable(z.string()),
    }),
    errors: [],
    audit: null,
    items: 'users',
  }),
  /** One user with its keys (never their text). A standard key may read its own user only. */
  get: route({
    method: 'GET',
    path: '/users/{username}',
    access: ['adm', 'ent', 'std'],
    dialect: 'users',
    summary: 'Get a user',
    params,
    status: 200,
    reply: z.extend(user, { api_keys: z.array(apiKeySummary) }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
  }),
  /** Deletes the user with its keys, credentials and data key in one transaction. The user `default` stays. */
  delete: route({
    method: 'DELETE',
    path: '/users/{username}',
    access: ['adm', 'ent'],
    dialect: 'users',
    summary: 'Delete a user',
    params,
    status: 200,
    reply: z.object({ status: z.literal('deleted'), username: z.string() }),
    errors: ['USER_NOT_FOUND', 'CONFLICT'],
    audit: 'user.delete',
  }),
  /** Enables or disables the user; without `enabled` it toggles. A disabled user's keys and calls are refused. */
  setEnabled: route({
    method: 'PATCH',
    path: '/users/{username}/enable',
    access: ['adm', 'ent'],
    dialect: 'users',
    summary: 'Enable or disable a user',
    params,
    body: z.optional(z.strictObject({ enabled: z.optional(z.boolean()) })),
    status: 200,
    reply: z.object({ status: z.enum(['enabled', 'disabled']), username: z.string(), enabled: z.boolean() }),
    errors: ['USER_NOT_FOUND', 'CONFLICT'],
    audit: 'user.set_enabled',
  }),
  /** Replaces both lists of connectors; an absent list is empty. Empty lists allow everything, blocked always wins. */
  setAccess: route({
    method: 'PUT',
    path: '/users/{username}/mcp-access',
    access: ['adm', 'ent'],
    dialect: 'users',
    summary: 'Set which connectors a user may reach',
    params,
    body: z.strictObject({ allowed_mcps: z.optional(access), blocked_mcps: z.optional(access) }),
    status: 200,
    reply: z.object({
      status: z.literal('updated'),
      username: z.string(),
      mcp_allowed: z.array(z.string()),
      mcp_blocked: z.array(z.string()),
    }),
    errors: ['USER_NOT_FOUND'],
    audit: 'user.set_access',
  }),
};

// Users and what they may reach. Wire names are snake_case here because the seed system fixed them.
import * as z from 'zod/mini';
import { apiKeySummary } from './api-keys.ts';
import { auditEvent } from './audit.ts';
import { callRecord } from './calls.ts';
import { connectorId, jsonObject, pageQuery, pageReply, text, timestamp, username, userRef } from './primitives.ts';
import { accessRules, access as accessView } from './restrictions.ts';
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
  /** What the user may reach by rules of its own: connectors and actions, and the groups that add to them. */
  getAccess: route({
    method: 'GET',
    path: '/api/users/{username}/access',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Get what a user may reach',
    params,
    status: 200,
    reply: z.extend(accessView, { userId: z.string(), username: z.string(), groupIds: z.array(z.string()) }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
  }),
  /** Replaces the user's own rules: connectors as `mcp-access` does, and permissions down to actions. What is left out is empty. */
  replaceAccess: route({
    method: 'PUT',
    path: '/api/users/{username}/access',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Set what a user may reach, down to actions',
    params,
    body: accessRules,
    status: 200,
    reply: z.extend(accessView, { userId: z.string(), username: z.string(), groupIds: z.array(z.string()) }),
    errors: ['USER_NOT_FOUND'],
    audit: 'user.set_access',
  }),
  /**
   * Ends the user's access everywhere within 5 seconds: keys, delegated tokens, user tokens issued before now, sessions, open streams, child
   * processes, sign-in links, credentials (grants are revoked at their providers) and the data key. The user stays, disabled. Again: the same
   * receipt's form, with what was left to end.
   */
  offboard: route({
    method: 'POST',
    path: '/api/users/{username}/offboard',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'End a user’s access everywhere',
    params,
    status: 200,
    reply: z.object({
      status: z.literal('offboarded'),
      userId: z.string(),
      username: z.string(),
      /** When it was done first. */
      offboardedAt: timestamp,
      keysRevoked: z.int(),
      tokensRevoked: z.int(),
      linksEnded: z.int(),
      credentialsDeleted: z.int(),
      dataKeysDestroyed: z.int(),
      /** What became of each oauth2 grant at its provider. */
      grants: z.array(
        z.object({
          credentialId: z.string(),
          connectorId: z.string(),
          outcome: z.enum(['revoked', 'not_offered', 'failed']),
        }),
      ),
      /** The audit event that is the receipt. */
      eventId: z.string(),
    }),
    errors: ['USER_NOT_FOUND', 'CONFLICT'],
    audit: 'user.offboard',
    idempotent: true,
    db: 'plain',
  }),
  /**
   * What the user did and what was done to it: calls and audit events as one list, newest first. Never arguments, results or values. With
   * `Accept: application/x-ndjson` all of it, a line each. `total` counts up to 10,000 of each.
   */
  history: route({
    method: 'GET',
    path: '/api/users/{username}/history',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'List what a user did and what was done to it',
    params,
    query: z.strictObject({
      ...pageQuery,
      offset: z.optional(z.coerce.number<number>().check(z.int(), z.minimum(0), z.maximum(10_000))),
      from: z.optional(timestamp),
      to: z.optional(timestamp),
    }),
    status: 200,
    reply: z.object({
      history: z.array(
        z.discriminatedUnion('type', [
          z.object({ type: z.literal('call'), id: z.string(), at: timestamp, call: callRecord }),
          z.object({ type: z.literal('event'), id: z.string(), at: timestamp, event: auditEvent }),
        ]),
      ),
      ...pageReply,
    }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'history',
    ndjson: true,
  }),
  /** Refuses every user token issued before now, at once; keys stay. For "sign out everywhere". */
  signOut: route({
    method: 'POST',
    path: '/api/users/{username}/sign-out',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Refuse the user’s tokens issued until now',
    params,
    status: 200,
    reply: z.object({ userId: z.string(), username: z.string(), tokensNotBefore: timestamp }),
    errors: ['USER_NOT_FOUND'],
    audit: 'user.sign_out',
    idempotent: true,
  }),
};

// API keys: minted per user, shown once, kept as a keyed hash.
import * as z from 'zod/mini';
import { opaqueId, pageQuery, pageReply, scope, text, timestamp, userRef } from './primitives.ts';
import { route } from './route.ts';

/** The kinds of bearer tokens, strongest first; a key mints only weaker kinds than its own. */
export const keyKinds = ['adm', 'ent', 'std', 'url', 'usr'] as const;
export type KeyKind = (typeof keyKinds)[number];

/**
 * What a narrowed key may do: `tools:call`, `<noun>:read`, `<noun>:write` (nouns as in the contract), and any scope that a tool demands.
 * `orders:*` stands for every scope that begins so, `*` for all. A key without scopes does all that its kind may, but holds no tool's scope.
 */
export const keyScopes = z.array(scope).check(z.maxLength(100));
/** Users whom the key may name; none others. */
export const keyUsers = z.array(userRef).check(z.minLength(1), z.maxLength(1000));

/** A key as user management shows it. */
export const apiKeySummary = z.object({
  key_id: z.string(),
  key_name: z.string(),
  prefix: z.string(),
  created_at: timestamp,
  expires_at: z.nullable(timestamp),
  last_used_at: z.nullable(timestamp),
  revoked: z.boolean(),
});

/** A key as `/api/keys` shows it. */
export const apiKey = z.object({
  keyId: z.string(),
  name: z.string(),
  kind: z.enum(keyKinds),
  prefix: z.string(),
  userId: z.nullable(z.string()),
  username: z.nullable(z.string()),
  serverId: z.nullable(z.string()),
  /** Null: not narrowed. */
  scopes: z.nullable(z.array(z.string())),
  /** Ids of the users whom it may name; null: every user that its kind may. */
  allowedUsers: z.nullable(z.array(z.string())),
  /** The key that this one replaces. */
  rotatedFrom: z.nullable(z.string()),
  createdAt: timestamp,
  expiresAt: z.nullable(timestamp),
  lastUsedAt: z.nullable(timestamp),
  revoked: z.boolean(),
});
export type ApiKey = z.output<typeof apiKey>;

export const keyRoutes = {
  /** Mints a key for the user. Its text is shown here and never again. Only an admin key mints `enterprise` keys. */
  create: route({
    method: 'POST',
    path: '/users/{username}/keys',
    access: ['adm', 'ent'],
    dialect: 'users',
    summary: 'Create an API key for a user',
    params: z.object({ username: userRef }),
    body: z.strictObject({
      key_name: text(100, 1),
      ttl_days: z.optional(z.nullable(z.int().check(z.minimum(1), z.maximum(3650)))),
      kind: z.optional(z.enum(['standard', 'enterprise'])),
      scopes: z.optional(z.nullable(keyScopes)),
      /** Enterprise keys only. */
      allowed_users: z.optional(z.nullable(keyUsers)),
    }),
    status: 201,
    reply: z.object({
      status: z.literal('created'),
      username: z.string(),
      key_id: z.string(),
      key_name: z.string(),
      api_key: z.optional(z.string()),
      expires_at: z.nullable(timestamp),
      note: z.string(),
    }),
    errors: ['USER_NOT_FOUND', 'CONFLICT', 'INSUFFICIENT_SCOPE', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'api_key.create',
    oneTime: ['api_key'],
  }),
  /** Revokes a key by its text or its id, at once, with the delegated tokens that it minted. Revoking it again is fine; an unknown key is NOT_FOUND. */
  revoke: route({
    method: 'POST',
    path: '/keys/revoke',
    access: ['adm', 'ent'],
    dialect: 'users',
    summary: 'Revoke an API key',
    body: z.union([z.strictObject({ api_key: text(512, 1) }), z.strictObject({ key_id: opaqueId })]),
    status: 200,
    reply: z.object({ status: z.literal('revoked'), key_id: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'api_key.revoke',
    idempotent: true,
  }),
  /** The account's keys, newest first, tokens of server URLs included. */
  list: route({
    method: 'GET',
    path: '/api/keys',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List API keys',
    query: z.strictObject({ ...pageQuery, userId: z.optional(userRef), serverId: z.optional(opaqueId) }),
    status: 200,
    reply: z.object({ keys: z.array(apiKey), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'keys',
  }),
  /** One key, never its text. */
  get: route({
    method: 'GET',
    path: '/api/keys/{keyId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Get an API key',
    params: z.object({ keyId: opaqueId }),
    status: 200,
    reply: apiKey,
    errors: ['NOT_FOUND'],
    audit: null,
  }),
  /** Changes what is sent: the name, the scopes, the users it may name, or when it ends (never later than it would have). In force at once. */
  update: route({
    method: 'PATCH',
    path: '/api/keys/{keyId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Change an API key',
    params: z.object({ keyId: opaqueId }),
    body: z.strictObject({
      name: z.optional(text(100, 1)),
      scopes: z.optional(z.nullable(keyScopes)),
      allowedUsers: z.optional(z.nullable(keyUsers)),
      expiresAt: z.optional(timestamp),
    }),
    status: 200,
    reply: apiKey,
    errors: ['NOT_FOUND', 'USER_NOT_FOUND', 'INSUFFICIENT_SCOPE', 'UNPROCESSABLE'],
    audit: 'api_key.update',
  }),
  /**
   * A new key in place of this one, with the same rights and the same length of life. The old one ends after `overlapSeconds` (default 0: at
   * once). `apiKey` is shown here and never again.
   */
  rotate: route({
    method: 'POST',
    path: '/api/keys/{keyId}/rotate',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Rotate an API key',
    params: z.object({ keyId: opaqueId }),
    body: z.optional(z.strictObject({ overlapSeconds: z.optional(z.int().check(z.minimum(0), z.maximum(86_400))) })),
    status: 201,
    reply: z.extend(apiKey, { apiKey: z.optional(z.string()), oldKeyEndsAt: timestamp }),
    errors: [
      'NOT_FOUND',
      'CONFLICT',
      'INSUFFICIENT_SCOPE',
      'UNPROCESSABLE',
      'IDEMPOTENCY_MISMATCH',
      'IDEMPOTENCY_IN_PROGRESS',
    ],
    audit: 'api_key.rotate',
    oneTime: ['apiKey'],
  }),
  /** Revokes a key by id; it stays listed as revoked. */
  delete: route({
    method: 'DELETE',
    path: '/api/keys/{keyId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Revoke an API key by id',
    params: z.object({ keyId: opaqueId }),
    status: 200,
    reply: z.object({ status: z.literal('revoked'), keyId: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'api_key.revoke',
  }),
};

// Delegation: tokens for one user, narrow and short-lived, safe to hand to a browser or a sub-agent.
import * as z from 'zod/mini';
import { opaqueId, pageQuery, pageReply, scope, text, timestamp, userRef } from './primitives.ts';
import { permission, permissions } from './restrictions.ts';
import { route } from './route.ts';

export const token = z.object({
  tokenId: z.string(),
  userId: z.string(),
  username: z.string(),
  label: z.nullable(z.string()),
  prefix: z.string(),
  /** The servers it opens; null: every server, the aggregate endpoint and direct tool calls. */
  servers: z.nullable(z.array(z.string())),
  /** What it may call; null: all that its user may. */
  permissions: z.nullable(z.array(permission)),
  scopes: z.array(z.string()),
  /** Calls that it may make in all; null: any number. */
  maxCalls: z.nullable(z.int()),
  callsUsed: z.int(),
  /** The key that minted it. */
  mintedBy: z.nullable(z.string()),
  createdAt: timestamp,
  expiresAt: timestamp,
  lastUsedAt: z.nullable(timestamp),
  revoked: z.boolean(),
});
export type DelegatedToken = z.output<typeof token>;

const params = z.object({ tokenId: opaqueId });

export const tokenRoutes = {
  /**
   * Mints a token for one user. `token` is its text, shown here and never again. It can call tools and nothing else, no more than its user, and
   * no longer than the key that minted it.
   */
  create: route({
    method: 'POST',
    path: '/api/tokens',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Mint a token for one user',
    body: z.strictObject({
      userId: userRef,
      label: z.optional(z.nullable(text(100))),
      servers: z.optional(z.nullable(z.array(opaqueId).check(z.minLength(1), z.maxLength(100)))),
      permissions: z.optional(z.nullable(permissions)),
      /** Scopes of tools that it shall hold; of a narrowed key only its own. */
      scopes: z.optional(z.array(scope).check(z.maxLength(50))),
      /** Default 900, at most 86400. */
      ttlSeconds: z.optional(z.int().check(z.minimum(1), z.maximum(86_400))),
      maxCalls: z.optional(z.nullable(z.int().check(z.minimum(1), z.maximum(1_000_000)))),
    }),
    status: 201,
    reply: z.extend(token, { token: z.optional(z.string()) }),
    errors: [
      'NOT_FOUND',
      'USER_NOT_FOUND',
      'USER_DISABLED',
      'CONFLICT',
      'INSUFFICIENT_SCOPE',
      'IDEMPOTENCY_MISMATCH',
      'IDEMPOTENCY_IN_PROGRESS',
    ],
    audit: 'token.create',
    oneTime: ['token'],
  }),
  /** The account's delegated tokens, newest first; ended ones too. */
  list: route({
    method: 'GET',
    path: '/api/tokens',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List delegated tokens',
    query: z.strictObject({ ...pageQuery, userId: z.optional(userRef) }),
    status: 200,
    reply: z.object({ tokens: z.array(token), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'tokens',
  }),
  /** One token, never its text. */
  get: route({
    method: 'GET',
    path: '/api/tokens/{tokenId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Get a delegated token',
    params,
    status: 200,
    reply: token,
    errors: ['NOT_FOUND'],
    audit: null,
  }),
  /** Revokes a token: refused everywhere within 5 seconds. It stays listed as revoked. */
  delete: route({
    method: 'DELETE',
    path: '/api/tokens/{tokenId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Revoke a delegated token',
    params,
    status: 200,
    reply: z.object({ status: z.literal('revoked'), tokenId: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'token.revoke',
  }),
};

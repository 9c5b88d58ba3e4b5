// Credentials: what signs one user in to one connector. Values go in and never come out.
import * as z from 'zod/mini';
import {
  connectorId,
  credentialId,
  opaqueId,
  pageQuery,
  pageReply,
  secretName,
  secretValue,
  text,
  timestamp,
  userRef,
} from './primitives.ts';
import { route } from './route.ts';

export const authenticationType = z.enum(['api_key', 'secrets', 'oauth2']);
export const credentialStatus = z.enum(['valid', 'pending', 'expiring', 'reauth_required', 'unreachable']);

export const credential = z.object({
  credentialId: z.string(),
  userId: z.string(),
  username: z.string(),
  connectorId: z.string(),
  authenticationType,
  label: z.nullable(z.string()),
  status: credentialStatus,
  isDefault: z.boolean(),
  /** Whether users of the account without one of their own may use it, where the connector allows that. */
  shared: z.boolean(),
  /** Where it is shared with some groups only: their ids. */
  groupIds: z.nullable(z.array(z.string())),
  /** Names of its secrets. */
  secretNames: z.array(z.string()),
  /** Of oauth2: what was granted, as far as the provider told. */
  scopes: z.optional(z.array(z.string())),
  /** Of oauth2: when the access token ends; it is renewed by itself while the grant lasts. */
  tokenExpiresAt: z.optional(z.nullable(timestamp)),
  /** Why it is not valid, in a sentence of ours. */
  lastError: z.optional(z.string()),
  /** Of a new or renewed oauth2 credential: where its user signs in. Single use. */
  oauthUrl: z.optional(z.string()),
  /** When `oauthUrl` ends. */
  expiresAt: z.optional(timestamp),
  createdAt: timestamp,
  updatedAt: timestamp,
});
export type Credential = z.output<typeof credential>;

const fieldValues = z
  .record(secretName, secretValue)
  .check(z.refine((v) => Object.keys(v).length <= 100, { error: 'At most 100 fields' }));
const params = z.object({ credentialId: opaqueId });
const redirectUri = text(2048, 1);
const groupIds = z.optional(z.nullable(z.array(opaqueId).check(z.minLength(1), z.maxLength(100))));

/** Tokens that a backend already holds: stored without a browser, renewed by the gateway from then on. */
export const tokenDeposit = z.strictObject({
  accessToken: secretValue,
  refreshToken: z.optional(secretValue),
  /** Seconds that the access token still lives; absent: unknown. */
  expiresIn: z.optional(z.int().check(z.minimum(0), z.maximum(315_360_000))),
  scopes: z.optional(z.array(text(256, 1)).check(z.maxLength(100))),
});

export const credentialRoutes = {
  /** Stores a user's credential. The first one of a user for a connector is the default. Throws CONFLICT when the chosen id is taken. */
  create: route({
    method: 'POST',
    path: '/api/credentials',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Store a credential for a user',
    body: z.strictObject({
      /** Whose it is; a standard key may leave it out or name its own user. */
      userId: z.optional(userRef),
      connectorId,
      authenticationType,
      credentialId: z.optional(credentialId),
      /** Secret name -> value. */
      fields: z.optional(fieldValues),
      /** oauth2 only: instead of a sign-in by browser. */
      tokens: z.optional(tokenDeposit),
      /** oauth2 only: where the browser returns to; one of the account's `redirectUris`. Also as header `x-redirect-uri`. */
      redirectUri: z.optional(redirectUri),
      label: z.optional(z.nullable(text(100))),
      isDefault: z.optional(z.boolean()),
      /** For users of the account who have none of their own; admin and enterprise keys only. */
      shared: z.optional(z.boolean()),
      /** With `shared`: for members of these groups only. */
      groupIds,
    }),
    status: 201,
    reply: credential,
    errors: [
      'NOT_FOUND',
      'USER_NOT_FOUND',
      'CONFLICT',
      'UNPROCESSABLE',
      'IDEMPOTENCY_MISMATCH',
      'IDEMPOTENCY_IN_PROGRESS',
    ],
    audit: 'credential.create',
    oneTime: ['oauthUrl'],
  }),
  /** Makes a new sign-in link for an oauth2 credential, to renew a grant that ended or to widen it. The stored tokens stay until it succeeds. */
  connect: route({
    method: 'POST',
    path: '/api/credentials/{credentialId}/connect',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Make a sign-in link for a credential',
    params,
    body: z.optional(z.strictObject({ redirectUri: z.optional(redirectUri) })),
    status: 201,
    reply: credential,
    errors: ['NOT_FOUND', 'UNPROCESSABLE', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'credential.connect',
    oneTime: ['oauthUrl'],
  }),
  /**
   * A one-time ticket (60 s) that proves on the connect page who opens it. For backends: put `url` into a page of yours on which that user is
   * signed in, or redirect the user's browser to it. Never send it by mail or chat.
   */
  ticket: route({
    method: 'POST',
    path: '/api/connect/tickets',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Vouch for the user who opens a sign-in link',
    body: z.strictObject({ connectUrl: text(2048, 1), userId: userRef }),
    status: 201,
    /** `url` is shown once: the repetition of a request under its Idempotency-Key is answered without it. */
    reply: z.object({ url: z.optional(z.string()), expiresAt: timestamp }),
    errors: ['NOT_FOUND', 'USER_NOT_FOUND', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'credential.ticket',
    oneTime: ['url'],
  }),
  /** Credentials without values; a standard key sees its own user's. */
  list: route({
    method: 'GET',
    path: '/api/credentials',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'List credentials',
    query: z.strictObject({ ...pageQuery, userId: z.optional(userRef), connectorId: z.optional(connectorId) }),
    status: 200,
    reply: z.object({ credentials: z.array(credential), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'credentials',
  }),
  /** One credential, without values. */
  get: route({
    method: 'GET',
    path: '/api/credentials/{credentialId}',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Get a credential',
    params,
    status: 200,
    reply: credential,
    errors: ['NOT_FOUND'],
    audit: null,
  }),
  /** Changes label, default flag or values; `fields` sets the named secrets and keeps the others. */
  update: route({
    method: 'PATCH',
    path: '/api/credentials/{credentialId}',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Update a credential',
    params,
    body: z.strictObject({
      label: z.optional(z.nullable(text(100))),
      isDefault: z.optional(z.boolean()),
      fields: z.optional(fieldValues),
      /** oauth2 only: replaces the stored grant. */
      tokens: z.optional(tokenDeposit),
      /** Admin and enterprise keys only. */
      shared: z.optional(z.boolean()),
      groupIds,
    }),
    status: 200,
    reply: credential,
    errors: ['NOT_FOUND', 'CONFLICT'],
    audit: 'credential.update',
  }),
  /** Deletes the credential with its secrets; an oauth2 grant is first revoked at its provider, where that offers it. */
  delete: route({
    method: 'DELETE',
    path: '/api/credentials/{credentialId}',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Delete a credential',
    params,
    status: 200,
    reply: z.object({
      message: z.literal('Credential deleted'),
      credentialId: z.string(),
      /** Of oauth2: whether the provider confirmed the end of the grant; null where it offers no revocation. */
      revokedUpstream: z.optional(z.nullable(z.boolean())),
    }),
    errors: ['NOT_FOUND'],
    audit: 'credential.delete',
  }),
};

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
  /** Names of its secrets. */
  secretNames: z.array(z.string()),
  createdAt: timestamp,
  updatedAt: timestamp,
});
export type Credential = z.output<typeof credential>;

const fieldValues = z
  .record(secretName, secretValue)
  .check(z.refine((v) => Object.keys(v).length <= 100, { error: 'At most 100 fields' }));
const params = z.object({ credentialId: opaqueId });

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
      authenticationType: z.enum(['api_key', 'secrets']),
      credentialId: z.optional(credentialId),
      /** Secret name -> value. */
      fields: z.optional(fieldValues),
      label: z.optional(z.nullable(text(100))),
      isDefault: z.optional(z.boolean()),
    }),
    status: 201,
    reply: credential,
    errors: ['NOT_FOUND', 'USER_NOT_FOUND', 'CONFLICT', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'credential.create',
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
    }),
    status: 200,
    reply: credential,
    errors: ['NOT_FOUND', 'CONFLICT'],
    audit: 'credential.update',
  }),
  /** Deletes the credential with its secrets. */
  delete: route({
    method: 'DELETE',
    path: '/api/credentials/{credentialId}',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Delete a credential',
    params,
    status: 200,
    reply: z.object({ message: z.literal('Credential deleted'), credentialId: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'credential.delete',
  }),
};

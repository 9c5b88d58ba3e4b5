// Named secrets of a user for one connector, in the seed system's form: the connector is called `serverName` there.
import * as z from 'zod/mini';
import { connectorId, secretName, secretValue, timestamp, userRef } from './primitives.ts';
import { route } from './route.ts';

export const secretInfo = z.object({
  name: z.string(),
  version: z.int(),
  updatedAt: timestamp,
  /** 8 hex digits of a keyed digest: tells whether two values are equal, never what they are. */
  fingerprint: z.string(),
});
/** A named secret of a user, without its value. */
export type SecretInfo = z.output<typeof secretInfo>;

const named = {
  /** Whose secret: an assertion that the credential must allow. Absent: the key's own user, or `default`. */
  username: z.optional(userRef),
  serverName: connectorId,
  secretName,
};

export const secretRoutes = {
  /** Stores a secret of the user for the connector; an existing one is replaced. The connector must exist. */
  set: route({
    method: 'POST',
    path: '/secrets/set',
    access: ['adm', 'ent', 'std'],
    dialect: 'secrets',
    summary: 'Set a user’s secret for a connector',
    body: z.strictObject({ ...named, secretValue }),
    status: 200,
    reply: z.object({ success: z.literal(true), secret: secretInfo }),
    errors: ['NOT_FOUND', 'USER_NOT_FOUND', 'CONFLICT', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'secret.set',
    idempotent: true,
  }),
  /** Deletes it. Throws NOT_FOUND (`secret_not_found`) when there is none. */
  delete: route({
    method: 'POST',
    path: '/secrets/delete',
    access: ['adm', 'ent', 'std'],
    dialect: 'secrets',
    summary: 'Delete a user’s secret for a connector',
    body: z.strictObject(named),
    status: 200,
    reply: z.object({ success: z.literal(true) }),
    errors: ['NOT_FOUND', 'USER_NOT_FOUND', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'secret.delete',
    idempotent: true,
  }),
  /** Names, versions and fingerprints of a user's secrets for a connector; never values. */
  list: route({
    method: 'GET',
    path: '/secrets',
    access: ['adm', 'ent', 'std'],
    dialect: 'secrets',
    summary: 'List a user’s secrets for a connector',
    query: z.strictObject({ username: z.optional(userRef), serverName: connectorId }),
    status: 200,
    reply: z.object({ success: z.literal(true), secrets: z.array(secretInfo) }),
    errors: ['NOT_FOUND', 'USER_NOT_FOUND'],
    audit: null,
    items: 'secrets',
  }),
};

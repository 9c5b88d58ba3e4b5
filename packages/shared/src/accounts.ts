// Accounts: the tenants of one gateway. Only an admin key of the account `default` manages them.
import * as z from 'zod/mini';
import { opaqueId, pageQuery, pageReply, text, timestamp } from './primitives.ts';
import { route } from './route.ts';

/** Null: the gateway's own limit. */
const perMinute = z.nullable(z.int().check(z.minimum(1), z.maximum(1_000_000)));

export const account = z.object({
  accountId: z.string(),
  name: z.string(),
  /** A disabled account signs nobody in. */
  enabled: z.boolean(),
  /** Calls that each user of the account may make per minute; what users, groups and servers say can only narrow it. */
  callsPerMinute: perMinute,
  createdAt: timestamp,
});
export type Account = z.output<typeof account>;

const accountName = text(100, 1).check(
  z.regex(/^[A-Za-z0-9][A-Za-z0-9 ._-]*$/, { error: 'Must be letters, digits, space, . _ or -' }),
);
const params = z.object({ accountId: opaqueId });

export const accountRoutes = {
  /** Creates an account with its user `default` and its first admin key. `apiKey` is shown here and never again. */
  create: route({
    method: 'POST',
    path: '/api/accounts',
    access: ['adm'],
    dialect: 'api',
    summary: 'Create an account',
    body: z.strictObject({ name: accountName, callsPerMinute: z.optional(perMinute) }),
    status: 201,
    reply: z.extend(account, { keyId: z.string(), apiKey: z.optional(z.string()) }),
    errors: ['CONFLICT', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'account.create',
    oneTime: ['apiKey'],
  }),
  /** All accounts of this gateway, by name. */
  list: route({
    method: 'GET',
    path: '/api/accounts',
    access: ['adm'],
    dialect: 'api',
    summary: 'List accounts',
    query: z.strictObject(pageQuery),
    status: 200,
    reply: z.object({ accounts: z.array(account), ...pageReply }),
    errors: [],
    audit: null,
    items: 'accounts',
  }),
  /** One account. */
  get: route({
    method: 'GET',
    path: '/api/accounts/{accountId}',
    access: ['adm'],
    dialect: 'api',
    summary: 'Get an account',
    params,
    status: 200,
    reply: account,
    errors: ['NOT_FOUND'],
    audit: null,
  }),
  /** Changes what is sent. Disabling ends every use of the account within 5 seconds; the account `default` cannot be disabled. */
  update: route({
    method: 'PATCH',
    path: '/api/accounts/{accountId}',
    access: ['adm'],
    dialect: 'api',
    summary: 'Change an account',
    params,
    body: z.strictObject({
      name: z.optional(accountName),
      enabled: z.optional(z.boolean()),
      callsPerMinute: z.optional(perMinute),
    }),
    status: 200,
    reply: account,
    errors: ['NOT_FOUND', 'CONFLICT'],
    audit: 'account.update',
  }),
  /** Deletes a disabled account with everything in it but its journal and trail. */
  delete: route({
    method: 'DELETE',
    path: '/api/accounts/{accountId}',
    access: ['adm'],
    dialect: 'api',
    summary: 'Delete an account',
    params,
    status: 200,
    reply: z.object({ status: z.literal('deleted'), accountId: z.string() }),
    errors: ['NOT_FOUND', 'CONFLICT'],
    audit: 'account.delete',
  }),
};

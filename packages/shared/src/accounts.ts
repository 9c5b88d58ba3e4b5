// Accounts: the tenants of one gateway. Only an admin key of the account `default` manages them.
import * as z from 'zod/mini';
import { pageQuery, pageReply, text, timestamp } from './primitives.ts';
import { route } from './route.ts';

export const account = z.object({ accountId: z.string(), name: z.string(), createdAt: timestamp });
export type Account = z.output<typeof account>;

export const accountRoutes = {
  /** Creates an account with its user `default` and its first admin key. `apiKey` is shown here and never again. */
  create: route({
    method: 'POST',
    path: '/api/accounts',
    access: ['adm'],
    dialect: 'api',
    summary: 'Create an account',
    body: z.strictObject({
      name: text(100, 1).check(
        z.regex(/^[A-Za-z0-9][A-Za-z0-9 ._-]*$/, { error: 'Must be letters, digits, space, . _ or -' }),
      ),
    }),
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
};

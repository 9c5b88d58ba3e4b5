// Limits and quotas of an account's own: rules that narrow what the gateway and the account allow, and what has been used.
import * as z from 'zod/mini';
import { actionId, connectorId, opaqueId, pageQuery, pageReply, timestamp, userRef } from './primitives.ts';
import { route } from './route.ts';

const max = z.int().check(z.minimum(0), z.maximum(1_000_000_000));
/** Seconds of a sliding window, or `day`: a quota that begins anew at midnight UTC and survives restarts. */
const window = z.union([z.int().check(z.minimum(1), z.maximum(3600)), z.literal('day')]);

/** What a rule is about: a call counts where all that are set fit. */
const selectors = {
  userId: z.optional(userRef),
  groupId: z.optional(opaqueId),
  serverId: z.optional(opaqueId),
  connectorId: z.optional(connectorId),
  /** An action of `connectorId`, which must be given too. */
  action: z.optional(actionId),
};

export const limitRule = z.object({
  limitId: z.string(),
  userId: z.nullable(z.string()),
  groupId: z.nullable(z.string()),
  serverId: z.nullable(z.string()),
  connectorId: z.nullable(z.string()),
  action: z.nullable(z.string()),
  max: z.int(),
  window,
  /** True: all users together have `max`; false: each user has. */
  shared: z.boolean(),
  createdAt: timestamp,
  updatedAt: timestamp,
});
export type LimitRule = z.output<typeof limitRule>;

const params = z.object({ limitId: opaqueId });

export const limitRoutes = {
  /** Adds a limit or a daily quota. It can only narrow: whichever rule is met first refuses. */
  create: route({
    method: 'POST',
    path: '/api/limits',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Create a limit or quota',
    body: z.strictObject({ ...selectors, max, window, shared: z.optional(z.boolean()) }),
    status: 201,
    reply: limitRule,
    errors: [
      'NOT_FOUND',
      'USER_NOT_FOUND',
      'UNPROCESSABLE',
      'CONFLICT',
      'IDEMPOTENCY_MISMATCH',
      'IDEMPOTENCY_IN_PROGRESS',
    ],
    audit: 'limit.create',
  }),
  /** The account's limits and quotas, oldest first. */
  list: route({
    method: 'GET',
    path: '/api/limits',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List limits and quotas',
    query: z.strictObject({ ...pageQuery, userId: z.optional(userRef), groupId: z.optional(opaqueId) }),
    status: 200,
    reply: z.object({ limits: z.array(limitRule), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'limits',
  }),
  /** Changes how much, how long or for whom together; what it is about stays. */
  update: route({
    method: 'PATCH',
    path: '/api/limits/{limitId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Change a limit or quota',
    params,
    body: z.strictObject({ max: z.optional(max), window: z.optional(window), shared: z.optional(z.boolean()) }),
    status: 200,
    reply: limitRule,
    errors: ['NOT_FOUND'],
    audit: 'limit.update',
  }),
  /** Ends a limit or quota. */
  delete: route({
    method: 'DELETE',
    path: '/api/limits/{limitId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Delete a limit or quota',
    params,
    status: 200,
    reply: z.object({ status: z.literal('deleted'), limitId: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'limit.delete',
  }),
};

export const usageRow = z.object({
  userId: z.nullable(z.string()),
  username: z.nullable(z.string()),
  serverId: z.nullable(z.string()),
  connectorId: z.nullable(z.string()),
  tool: z.nullable(z.string()),
  /** `YYYY-MM-DD`, UTC. */
  day: z.nullable(z.string()),
  calls: z.int(),
  ok: z.int(),
  refused: z.int(),
  failed: z.int(),
  /** Mean of the calls that ran; null: none did. */
  meanLatencyMs: z.nullable(z.number()),
});

const dimension = z.enum(['user', 'server', 'connector', 'tool', 'day']);

export const usageRoutes = {
  /** Calls counted from the journal, by what `by` names (default `user,tool`): columns that are not named are null. Most calls first. Pages by cursor tell of one moment: calls made meanwhile are in none of them. */
  list: route({
    method: 'GET',
    path: '/api/usage',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Count calls per user, tool, server or day',
    query: z.strictObject({
      ...pageQuery,
      /** Names with commas between: `user,tool`. */
      by: z.optional(
        z.string().check(
          z.regex(/^(user|server|connector|tool|day)(,(user|server|connector|tool|day)){0,4}$/, {
            error: 'Must be user, server, connector, tool, day with commas between',
          }),
        ),
      ),
      userId: z.optional(userRef),
      serverId: z.optional(opaqueId),
      connectorId: z.optional(opaqueId),
      /** Default: 30 days before `to`. */
      from: z.optional(timestamp),
      to: z.optional(timestamp),
    }),
    status: 200,
    reply: z.object({ usage: z.array(usageRow), by: z.array(dimension), from: timestamp, to: timestamp, ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'usage',
  }),
};

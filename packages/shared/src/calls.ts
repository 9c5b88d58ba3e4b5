// The direct tool call of the seed system, and the journal of calls.
import * as z from 'zod/mini';
import { actionId, connectorId, jsonObject, opaqueId, pageQuery, pageReply, timestamp, userRef } from './primitives.ts';
import { route } from './route.ts';

/** What became of a call: it ran, the tool said no, we refused it, it failed, or nobody knows. */
export const callOutcome = z.enum(['ok', 'tool_error', 'refused', 'failed', 'unknown']);

export const callRecord = z.object({
  callId: z.string(),
  at: timestamp,
  userId: z.nullable(z.string()),
  username: z.nullable(z.string()),
  attemptedUser: z.nullable(z.string()),
  actorKeyId: z.nullable(z.string()),
  /** Who called: a key's kind, `jwt` for a user token alone; null for rows from before this was kept. */
  actorKind: z.nullable(z.string()),
  /** Of a delegated token: the key that minted it. */
  mintedBy: z.nullable(z.string()),
  /** Whether policy let it run. */
  decision: z.enum(['allowed', 'refused']),
  serverId: z.nullable(z.string()),
  connectorId: z.nullable(z.string()),
  tool: z.string(),
  credentialId: z.nullable(z.string()),
  /** Keyed digest of the arguments, hex: equal arguments have equal digests within this installation. */
  argsDigest: z.nullable(z.string()),
  /** Null while it runs. */
  outcome: z.nullable(callOutcome),
  reason: z.nullable(z.string()),
  upstreamStatus: z.nullable(z.int()),
  latencyMs: z.nullable(z.int()),
  lane: z.string(),
  requestId: z.string(),
  idempotencyKey: z.nullable(z.string()),
});
export type CallRecord = z.output<typeof callRecord>;

export const toolRoutes = {
  /** Calls a connector's tool as the user, with the user's secrets merged in. A tool's own failure is a success with `data.isError`. */
  call: route({
    method: 'POST',
    path: '/mcp/tool/call',
    access: ['adm', 'ent', 'std'],
    dialect: 'secrets',
    summary: 'Call a tool directly',
    body: z.strictObject({
      username: z.optional(userRef),
      serverName: connectorId,
      methodName: actionId,
      args: z.optional(jsonObject),
    }),
    status: 200,
    reply: z.object({
      success: z.literal(true),
      data: z.looseObject({ content: z.array(z.looseObject({ type: z.string() })) }),
    }),
    errors: [
      'NOT_FOUND',
      'USER_NOT_FOUND',
      'CREDENTIALS_REQUIRED',
      'REAUTH_REQUIRED',
      'USER_DISABLED',
      'IDEMPOTENCY_MISMATCH',
      'IDEMPOTENCY_IN_PROGRESS',
      'OUTCOME_UNKNOWN',
      'ANSWER_NOT_KEPT',
      'PAYLOAD_TOO_LARGE',
      'UPSTREAM_ERROR',
      'UPSTREAM_UNREACHABLE',
      'UPSTREAM_TIMEOUT',
    ],
    // The journal's intent row is the trail of a call; the binder has nothing to add.
    audit: null,
    plane: 'call',
  }),
};

export const callRoutes = {
  /**
   * The journal, newest first; a standard key sees its own user's calls. Never arguments or results. With `Accept: application/x-ndjson` all of
   * them, a line each. `total` counts up to 10,000.
   */
  list: route({
    method: 'GET',
    path: '/api/calls',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'List calls',
    query: z.strictObject({
      ...pageQuery,
      userId: z.optional(userRef),
      serverId: z.optional(opaqueId),
      connectorId: z.optional(opaqueId),
      tool: z.optional(opaqueId),
      outcome: z.optional(callOutcome),
      actorKeyId: z.optional(opaqueId),
      reason: z.optional(opaqueId),
      requestId: z.optional(opaqueId),
      idempotencyKey: z.optional(opaqueId),
      from: z.optional(timestamp),
      to: z.optional(timestamp),
    }),
    status: 200,
    reply: z.object({ calls: z.array(callRecord), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'calls',
    ndjson: true,
  }),
};

// The audit trail: who did what to whom, allowed or refused. Never values.
import * as z from 'zod/mini';
import { jsonObject, opaqueId, pageQuery, pageReply, text, timestamp, userRef } from './primitives.ts';
import { route } from './route.ts';

export const auditEvent = z.object({
  eventId: z.string(),
  seq: z.int(),
  at: timestamp,
  actor: z.object({ keyId: z.nullable(z.string()), kind: z.nullable(z.string()), userId: z.nullable(z.string()) }),
  action: z.string(),
  userId: z.nullable(z.string()),
  attemptedUser: z.nullable(z.string()),
  target: z.nullable(z.string()),
  outcome: z.enum(['ok', 'refused', 'failed']),
  reason: z.nullable(z.string()),
  requestId: z.nullable(z.string()),
  address: z.nullable(z.string()),
  details: jsonObject,
});
export type AuditEvent = z.output<typeof auditEvent>;

/** A signed statement about all rows that were committed between two transaction horizons, chained to the one before. */
export const checkpoint = z.object({
  checkpointId: z.int(),
  segment: z.int(),
  at: timestamp,
  /** The two horizons: transaction ids, decimal. */
  h0: z.string(),
  h1: z.string(),
  /** Rows that it covers: events, intents and outcomes. */
  count: z.int(),
  firstSeq: z.nullable(z.int()),
  lastSeq: z.nullable(z.int()),
  root: z.string(),
  previous: z.string(),
  signature: z.string(),
  /** A closing checkpoint stands for rows that retention deleted. */
  closing: z.boolean(),
});
export type Checkpoint = z.output<typeof checkpoint>;

export const verification = z.object({
  ok: z.boolean(),
  checkpoints: z.int(),
  rows: z.int(),
  /** Rows that are newer than the last checkpoint: not sealed yet. */
  unsealed: z.int(),
  /** The first thing that does not hold. */
  firstBad: z.nullable(
    z.object({
      checkpointId: z.nullable(z.int()),
      table: z.nullable(z.enum(['calls', 'audit_events', 'checkpoints'])),
      seq: z.nullable(z.int()),
      id: z.nullable(z.string()),
      problem: z.string(),
    }),
  ),
});

export const auditRoutes = {
  /**
   * The account's audit events, newest first. With `Accept: application/x-ndjson` all of them, a line each. `total` counts up to 10,000.
   */
  list: route({
    method: 'GET',
    path: '/api/audit',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List audit events',
    query: z.strictObject({
      ...pageQuery,
      action: z.optional(opaqueId),
      userId: z.optional(userRef),
      /** The user as the caller wrote it, where one was named. */
      attemptedUser: z.optional(opaqueId),
      actorKeyId: z.optional(opaqueId),
      actorUserId: z.optional(userRef),
      target: z.optional(opaqueId),
      reason: z.optional(opaqueId),
      /** Text that stands anywhere in action, target, reason or attempted user, without regard to case. */
      search: z.optional(text(100, 1)),
      outcome: z.optional(z.enum(['ok', 'refused', 'failed'])),
      requestId: z.optional(opaqueId),
      from: z.optional(timestamp),
      to: z.optional(timestamp),
    }),
    status: 200,
    reply: z.object({ events: z.array(auditEvent), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'events',
    ndjson: true,
  }),
  /**
   * Checks the chain of signed checkpoints against the rows of the whole installation, and says where it breaks first. Only for admin keys of the
   * account `default`. `mcp-valet audit verify` does the same beside the gateway, and compares with checkpoints kept elsewhere.
   */
  verify: route({
    method: 'GET',
    path: '/api/audit/verify',
    access: ['adm'],
    dialect: 'api',
    summary: 'Verify that the trail was not tampered with',
    status: 200,
    reply: verification,
    errors: [],
    audit: null,
    db: 'plain',
  }),
  /** The newest checkpoints, newest first: what to keep outside of the database. Only for admin keys of the account `default`. */
  checkpoints: route({
    method: 'GET',
    path: '/api/audit/checkpoints',
    access: ['adm'],
    dialect: 'api',
    summary: 'List signed checkpoints of the trail',
    query: z.strictObject(pageQuery),
    status: 200,
    reply: z.object({ checkpoints: z.array(checkpoint), ...pageReply }),
    errors: [],
    audit: null,
    items: 'checkpoints',
    db: 'plain',
  }),
};

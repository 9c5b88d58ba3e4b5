// The audit trail: who did what to whom, allowed or refused. Never values.
import * as z from 'zod/mini';
import { jsonObject, opaqueId, pageQuery, pageReply, timestamp, userRef } from './primitives.ts';
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
  details: jsonObject,
});
export type AuditEvent = z.output<typeof auditEvent>;

export const auditRoutes = {
  /** The account's audit events, newest first. */
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
  }),
};

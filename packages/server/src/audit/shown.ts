// An event of the trail as people see it. Pure.
import type { AuditEvent } from '@mcp-valet/shared';
import type { AuditRow } from './store.ts';

export const shownEvent = (row: AuditRow): AuditEvent => ({
  eventId: row.id,
  seq: row.seq,
  at: row.at.toISOString(),
  actor: { keyId: row.actorKeyId, kind: row.actorKind, userId: row.actorUserId },
  action: row.action,
  userId: row.userId,
  attemptedUser: row.attemptedUser,
  target: row.target,
  outcome: row.outcome,
  reason: row.reason,
  requestId: row.requestId,
  address: row.address,
  details: row.details,
});

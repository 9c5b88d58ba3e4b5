// Events of the call plane for the audit trail, with what every one of them says about the caller. The journal tells about calls; this
// tells about attempts to act for somebody, refusals and limits.
import type { AuditEntry } from '../audit/record.ts';
import { attemptedText } from '../identity/effective-user.ts';
import { Refusal } from '../refusal.ts';
import type { CallRequest, UserCall } from './request.ts';

/**
 * An attempt to act for somebody that was allowed and then led to no row of the journal: planning failed, or an earlier call answers. One that
 * fell back has its event already.
 */
export function noteOverride(call: UserCall, error?: unknown): void {
  const { record, attempted, fallback } = call.user;
  if (attempted === null || fallback !== null) return;
  const reason = error instanceof Refusal ? error.reason : error === undefined ? 'replayed' : 'not_planned';
  noteEvent(call, { action: 'user.override', outcome: 'ok', userId: record.id, attemptedUser: attempted, reason });
}

type Event = Pick<AuditEntry, 'action' | 'outcome' | 'userId' | 'attemptedUser' | 'reason' | 'target' | 'details'>;

/** Writes the event soon; the caller does not wait for it, since nothing was done that it would have to precede. */
export function noteEvent(request: CallRequest, event: Event): void {
  const { principal, parts, requestId, address, server } = request;
  const attemptedUser = event.attemptedUser === undefined ? undefined : attemptedText(event.attemptedUser);
  void parts.trail.refused({
    ...event,
    attemptedUser,
    accountId: principal.accountId,
    actor: { keyId: principal.keyId, kind: principal.kind, userId: principal.userId },
    requestId,
    address,
    details: { ...event.details, ...(server && { serverId: server.id }) },
  });
}

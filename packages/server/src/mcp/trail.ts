// Events of the call plane for the audit trail, with what every one of them says about the caller. The journal tells about calls; this
// tells about attempts to act for somebody, refusals and limits.
import type { AuditEntry } from '../audit/record.ts';
import { attemptedText } from '../identity/effective-user.ts';
import type { CallRequest } from './request.ts';

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

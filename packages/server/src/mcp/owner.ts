// Whose a request is, as sessions, streams and running calls remember it. Pure.
import type { Owner } from '../live-use.ts';
import type { UserCall } from './request.ts';

export const ownerOf = ({ principal, user, server }: UserCall): Owner => ({
  accountId: principal.accountId,
  userId: user.record.id,
  keyId: principal.keyId,
  kind: principal.kind,
  keyUserId: principal.userId,
  mintedBy: principal.delegation?.mintedBy ?? null,
  serverId: server?.id ?? null,
  issuerId: principal.proof?.issuerId ?? (principal.kind === 'jwt' ? principal.keyId : null),
  tokenId: principal.proof?.tokenId ?? null,
  expiresAt: endOf(principal.expiresAt, principal.proof?.expiresAt),
  since: Date.now(),
});

function endOf(...ends: (Date | null | undefined)[]): number | null {
  const times = ends.flatMap((end) => (end == null ? [] : [end.getTime()]));
  return times.length === 0 ? null : Math.min(...times);
}

/** What was opened by one and is asked for by the other belongs to the same. */
export const isSameOwner = (a: Owner, b: Owner): boolean =>
  a.accountId === b.accountId && a.userId === b.userId && a.keyId === b.keyId && a.serverId === b.serverId;

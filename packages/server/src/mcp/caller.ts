// First verb of every call: whose identity it runs with. Refused attempts to act for somebody get their audit event here; an allowed one
// has its trail in the journal's intent row, or, where nothing is journaled, in an event of its own.
import { headers } from '@mcp-valet/shared';
import { effectiveUser } from '../identity/effective-user.ts';
import { Refusal } from '../refusal.ts';
import { decideServerUser, type Rules } from '../restrictions/decide.ts';
import type { CallRequest, UserCall } from './request.ts';
import { noteEvent } from './trail.ts';

/** The rules that bind this user here. */
export function rulesOf({ server, user }: UserCall): Rules {
  const { record } = user;
  return {
    server: server === null ? null : { connectors: server.connectors, restrictions: server.restrictions },
    user: { id: record.id, username: record.username, allowed: record.allowed, blocked: record.blocked },
  };
}

/** Adds the effective user. Throws the refusal after recording it. `isJournaled`: an intent row will be the trail. */
export async function resolveCaller(request: CallRequest, isJournaled: boolean): Promise<UserCall> {
  const { parts, principal, sources, server, strict } = request;
  const named = sources.header ?? sources.body;
  try {
    const isRest = request.lane === 'rest';
    const onUnknownUser = isRest ? 'reject' : (server?.onUnknownUser ?? parts.config.onUnknownUser);
    const user = await effectiveUser(principal, sources, { onUnknownUser, strict }, parts.directory);
    const call: UserCall = { ...request, user };
    const admission = decideServerUser(rulesOf(call));
    if (!admission.allowed)
      throw new Refusal('FORBIDDEN', admission.message, { reason: admission.reason, word: 'not_allowed' });
    if (user.fallback !== null) request.replyHeaders[headers.userFallback] = user.fallback.fallback;
    if (named !== undefined && (!isJournaled || user.fallback !== null)) {
      noteEvent(request, {
        action: 'user.override',
        outcome: 'ok',
        userId: user.record.id,
        attemptedUser: named,
        ...(user.fallback !== null && { reason: 'fallback' }),
      });
    }
    return call;
  } catch (error) {
    if (error instanceof Refusal) {
      noteEvent(request, {
        action: named === undefined ? 'call.refuse' : 'user.override',
        outcome: 'refused',
        attemptedUser: named,
        reason: error.reason,
        details: { code: error.code },
      });
    }
    throw error;
  }
}

// The limits of one call, in the two places where a call meets them: before it is planned, and once it was decided upon. Whatever refuses is
// told to the trail, with whom the caller named, and gives back what was counted before.
import type { ConnectorRecord } from '../identity/records.ts';
import { tighter } from '../rate-limits/permit.ts';
import { type CallFacts, type CallPermit, type Permit, refusedHeaders, type ServerLimit } from '../rate-limits/take.ts';
import { Refusal } from '../refusal.ts';
import type { UserCall } from './request.ts';
import { noteEvent } from './trail.ts';

/** The server's own limit, where the call comes by a server that has one. */
export const serverLimitOf = ({ server }: Pick<UserCall, 'server'>): ServerLimit | null =>
  server?.rateLimit ? { serverId: server.id, ...server.rateLimit } : null;

/** The call as limits see it. Without a target it is not planned yet. */
export function factsOf(call: UserCall, target?: { connector: ConnectorRecord; action?: string } | null): CallFacts {
  const { principal, user, server } = call;
  return {
    accountId: principal.accountId,
    user: user.record,
    serverId: server?.id ?? null,
    ...(target && { connectorId: target.connector.id, action: target.action ?? null }),
  };
}

async function told<T>(call: UserCall, work: Promise<T>, undo?: () => void): Promise<T> {
  try {
    return await work;
  } catch (error) {
    undo?.();
    if (error instanceof Refusal) {
      Object.assign(call.replyHeaders, refusedHeaders(error));
      noteEvent(call, {
        action: 'call.refuse',
        outcome: 'refused',
        userId: call.user.record.id,
        attemptedUser: call.user.attempted ?? undefined,
        reason: error.reason,
      });
    }
    throw error;
  }
}

/** One permit of the user, unless a rule of the account refuses the call whatever it touches. */
export async function takePermit(call: UserCall): Promise<CallPermit> {
  const { limits } = call.parts;
  await told(call, limits.checkRules(factsOf(call)));
  return told(call, limits.call(call.principal.accountId, call.user.record.id, serverLimitOf(call)));
}

/** Counts the decided call against the account's own limits; gives the tightest permit of all. */
export async function takeRules(
  call: UserCall,
  target: { connector: ConnectorRecord; action?: string } | null,
  held: CallPermit,
): Promise<Permit> {
  const own = await told(call, call.parts.limits.takeRules(factsOf(call, target)), () => held.giveBack());
  return own === undefined ? held : tighter(held, own);
}

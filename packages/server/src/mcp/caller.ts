// First verb of every call: whose identity it runs with. Refused attempts to act for somebody get their audit event here; an allowed one
// has its trail in the journal's intent row, or, where nothing is journaled, in an event of its own.
import { headers } from '@mcp-valet/shared';
import { effectiveUser, notAllowed } from '../identity/effective-user.ts';
import { holdsScope, type Principal, toolScopes } from '../identity/principal.ts';
import type { ConnectorRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { type Decision, type Denial, decide, decideEntry, type Rules, type Target } from '../restrictions/decide.ts';
import type { CallRequest, UserCall } from './request.ts';
import { noteEvent } from './trail.ts';

/** Scopes of a user token or a delegated one are the tools'; a key that was narrowed must have been given the right to call. */
function mayCall({ kind, scopes }: Principal): boolean {
  return kind === 'usr' || kind === 'jwt' || scopes === null || holdsScope(scopes, 'tools:call');
}

/** The rules that bind this caller here. */
export function rulesOf({ server, user, principal }: UserCall): Rules {
  const { delegation, proof } = principal;
  return {
    server,
    user: user.record,
    groups: user.record.groups,
    key: {
      id: principal.keyId,
      mayCall: mayCall(principal),
      servers: delegation?.servers ?? null,
      permissions: delegation?.permissions ?? null,
    },
    caller: { scopes: toolScopes(principal), claims: proof?.claims ?? null },
  };
}

/** What a decision is about: with what the connector itself demands. */
export const targetOf = (connector: ConnectorRecord, action?: string): Target => ({
  connector: connector.id,
  action,
  requires: connector.requires,
});

/** The decision about a connector, or about one of its tools, prompts or resources. */
export const decideOn = (rules: Rules, connector: ConnectorRecord, action?: string): Decision =>
  decide(rules, targetOf(connector, action));

/** A denial as the refusal that the caller hears. */
export function forbidden({ message, reason, scopes }: Denial): Refusal {
  if (scopes === undefined) return new Refusal('FORBIDDEN', message, { reason, word: 'not_allowed' });
  const { required, missing } = scopes;
  return new Refusal('INSUFFICIENT_SCOPE', message, { reason, details: { requiredScopes: required, missing } });
}

/** Adds the effective user, without a trace in the trail. */
export async function findCaller(request: CallRequest): Promise<UserCall> {
  const { parts, principal, sources, server, strict } = request;
  const isRest = request.lane === 'rest';
  const onUnknownUser = isRest ? 'reject' : (server?.onUnknownUser ?? parts.config.onUnknownUser);
  const user = await effectiveUser(principal, sources, { onUnknownUser, strict }, parts.directory);
  return { ...request, user };
}

/** Whether the caller may use this endpoint at all. */
export const admission = (call: UserCall): Decision => decideEntry(rulesOf(call));

/** Adds the effective user. Throws the refusal after recording it. `isJournaled`: an intent row will be the trail. */
export async function resolveCaller(request: CallRequest, isJournaled: boolean): Promise<UserCall> {
  const { sources } = request;
  const named = sources.header ?? sources.body;
  try {
    const call = await findCaller(request);
    const { user } = call;
    const decision = admission(call);
    if (!decision.allowed) throw forbidden(decision);
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
    if (error instanceof Refusal) noteRefusedCaller(request, error);
    throw error;
  }
}

/** The event of a refused caller: of an attempt to act for somebody, where somebody was named. */
export function noteRefusedCaller(request: CallRequest, error: Refusal): void {
  const { sources, principal } = request;
  // A user token beside somebody else's key names a user too.
  const proven = error.reason === notAllowed ? principal.proof?.userId : undefined;
  const attemptedUser = sources.header ?? sources.body ?? proven;
  noteEvent(request, {
    action: attemptedUser === undefined ? 'call.refuse' : 'user.override',
    outcome: 'refused',
    attemptedUser,
    reason: error.reason,
    details: { code: error.code },
  });
}

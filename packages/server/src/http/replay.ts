// What an idempotent management POST keeps and what its repetition is answered with. One-time fields are neither stored nor replayed: a key
// text exists in one reply only.
import { limits, type RouteDefinition, type RouteInput } from '@mcp-valet/shared';
import { keepAnswer, type ManagementClaim, type StoredAnswer, takeClaim } from '../calls/claim.ts';
import type { Keyring } from '../crypto/keyring.ts';
import type { Db } from '../db/scope.ts';
import { managedUser, type Principal } from '../identity/principal.ts';
import { canonicalJson } from '../mcp/jsonrpc.ts';
import { Refusal } from '../refusal.ts';

export interface KeyedRequest {
  route: RouteDefinition;
  principal: Principal;
  key: string;
  input: RouteInput<RouteDefinition>;
  namedUser: string | undefined;
}

/** The claim of a request: whoever asks for another thing, for another user or with another strength under the same key is told so. */
export function claimOf(keyring: Keyring, { route, principal, key, input, namedUser }: KeyedRequest): ManagementClaim {
  const managed = managedUser(principal);
  const asked = canonicalJson({
    params: input.params,
    query: input.query,
    body: input.body ?? null,
    kind: principal.kind,
    user: managed,
    named: namedUser ?? null,
  });
  const scope = `${route.method} ${route.path}`;
  return {
    accountId: principal.accountId,
    // A key that is kept to some users stores under one of them: the scope that it works in sees no other rows.
    userId: managed === '*' ? '_account' : (managed.split(' ')[0] as string),
    scope,
    key,
    fingerprint: keyring.digest('management', scope, asked),
  };
}

const placeOf = (claim: ManagementClaim) =>
  ['management', claim.accountId, claim.userId, claim.scope, claim.key] as const;

/** What is stored. `leftOut`: what the first reply showed once, so that a client can tell that it is gone from that it never was. */
interface KeptReply {
  reply: unknown;
  leftOut: string[];
}

/** The stored reply, or undefined when this request is the first under its key and now holds it. */
export async function claimOrReplay(
  tx: Db,
  keyring: Keyring,
  claim: ManagementClaim,
): Promise<{ status: number; reply: unknown; leftOut: string } | undefined> {
  const stored: StoredAnswer | undefined = await takeClaim(tx, claim);
  if (stored === undefined) return undefined;
  if (stored.answer === null) {
    throw new Refusal(
      'ANSWER_NOT_KEPT',
      'The first request with this Idempotency-Key was carried out; its answer was not kept',
    );
  }
  const bytes = keyring.openState(stored.answer, ...placeOf(claim));
  const { reply, leftOut } = JSON.parse(bytes.toString('utf8')) as KeptReply;
  return { status: stored.status, reply, leftOut: leftOut.join(', ') };
}

/** Keeps the reply for a repetition, in the transaction of what it tells about. */
export async function keepReply(
  tx: Db,
  keyring: Keyring,
  claim: ManagementClaim,
  route: RouteDefinition,
  reply: unknown,
): Promise<void> {
  const shown = Object(reply) as Record<string, unknown>;
  const leftOut = (route.oneTime ?? []).filter((name) => typeof shown[name] === 'string');
  const kept: KeptReply = { reply: withoutOneTime(route, reply), leftOut };
  const bytes = Buffer.from(JSON.stringify(kept), 'utf8');
  const sealed = bytes.length <= limits.storedAnswerBytes ? keyring.sealState(bytes, ...placeOf(claim)) : null;
  await keepAnswer(tx, claim, { status: route.status, sealed });
}

/** The reply without what is shown once: left out where the contract allows it, else null. */
export function withoutOneTime(route: RouteDefinition, reply: unknown): unknown {
  if (route.oneTime === undefined || typeof reply !== 'object' || reply === null) return reply;
  const bare: Record<string, unknown> = { ...reply };
  for (const name of route.oneTime) delete bare[name];
  const parsed = route.reply.safeParse(bare);
  for (const issue of parsed.success ? [] : parsed.error.issues) {
    const name = String(issue.path[0]);
    if (route.oneTime.includes(name)) bare[name] = null;
  }
  return bare;
}

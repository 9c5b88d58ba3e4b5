// As whom a dry run asks: the asking key, another key or delegated token of the account, or the bearer of a user token that nobody sent.
// Proves nothing and signs nobody in: what comes of it is only told, to whoever manages the account.
import type { contract, RouteInput } from '@mcp-valet/shared';
import type { Ctx } from '../context.ts';
import type { FoundPrincipal } from '../db/hot-path.ts';
import { scopedQuery } from '../db/scope.ts';
import { defaultUsername } from '../identity/effective-user.ts';
import { principalOf } from '../identity/identify.ts';
import { managedUser, type Principal, type UserProof } from '../identity/principal.ts';
import { notFound } from '../refusal.ts';

export type Question = RouteInput<typeof contract.policy.explain>['body'];

export interface Asker {
  principal: Principal;
  /** Who would be named in `x-alloy-userid`. */
  named: string | undefined;
  /** Calls that a delegated token has made. */
  callsUsed: number;
}

const keySql = 'select hash, calls_used as "callsUsed" from api_keys where account_id = $1 and id = $2';

/** A key that the question names; its text is not known and not needed. */
export interface NamedKey {
  found: FoundPrincipal;
  callsUsed: number;
}

/** Throws NOT_FOUND alike for a key of another account, one of a user whom the asking key does not manage, and one that is not there. */
export async function findNamedKey({ parts, principal }: Ctx, keyId: string): Promise<NamedKey> {
  const { accountId } = principal;
  const scope = { account: accountId, user: managedUser(principal) };
  const [row] = await scopedQuery<{ hash: Uint8Array; callsUsed: number }>(parts.db, scope, keySql, [accountId, keyId]);
  const found = row && (await parts.directory.principal(row.hash));
  if (row === undefined || found === undefined) throw notFound('Key');
  return { found, callsUsed: row.callsUsed };
}

/** The user token as the question describes it; undefined: there is none. */
async function proofOf({ parts, principal }: Ctx, question: Question): Promise<UserProof | undefined> {
  const { userId: ref = defaultUsername, scopes, claims } = question;
  if (scopes === undefined && claims === undefined) return undefined;
  const user = await parts.directory.user(principal.accountId, ref);
  return {
    issuerId: 'explain',
    subject: user?.id ?? ref,
    tokenId: null,
    userId: user?.id ?? ref,
    claims: claims ?? {},
    scopes: scopes ?? [],
    expiresAt: null,
  };
}

/** Throws what a dead key would be refused with. */
export async function askerOf(ctx: Ctx, question: Question, key: NamedKey | undefined): Promise<Asker> {
  const proof = await proofOf(ctx, question);
  const callsUsed = key?.callsUsed ?? 0;
  const own = key && principalOf(key.found);
  if (proof === undefined) return { principal: own ?? ctx.principal, named: question.userId, callsUsed };
  // Who is proven is not named too.
  if (own !== undefined) return { principal: { ...own, proof }, named: undefined, callsUsed };
  const principal: Principal = {
    kind: 'jwt',
    accountId: ctx.principal.accountId,
    keyId: proof.issuerId,
    userId: proof.userId,
    serverId: null,
    mayActForUsers: false,
    expiresAt: null,
    scopes: null,
    allowedUsers: null,
    delegation: null,
    proof,
  };
  return { principal, named: undefined, callsUsed };
}

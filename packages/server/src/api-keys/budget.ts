// How often a delegated token may call. Counted in the token's own row by one statement that either takes a call or does not, so that calls
// on many replicas at once never get one too many.
import type { Parts } from '../context.ts';
import { scopedQuery } from '../db/scope.ts';
import type { Principal } from '../identity/principal.ts';
import { Refusal } from '../refusal.ts';

const takeSql = `update api_keys set calls_used = calls_used + 1
  where account_id = $1 and id = $2 and calls_used < (delegation->>'maxCalls')::int returning calls_used`;

/**
 * Takes one call from the budget of a delegated token; others have none. Throws FORBIDDEN when it is spent. A call costs when it is about to run:
 * what policy, limits or a missing credential refuse costs nothing, and neither does a repetition under the same idempotency key.
 */
export async function takeBudget(parts: Pick<Parts, 'db'>, principal: Principal): Promise<void> {
  const { delegation, accountId, userId, keyId } = principal;
  if (delegation === null || delegation.maxCalls === null || userId === null) return;
  const taken = await scopedQuery(parts.db, { account: accountId, user: userId }, takeSql, [accountId, keyId]);
  if (taken.length === 1) return;
  throw budgetSpent(delegation.maxCalls);
}

export const budgetSpent = (maxCalls: number): Refusal =>
  new Refusal(
    'FORBIDDEN',
    `This token has made all of its ${maxCalls} calls; ask whoever gave it to you for another one`,
    {
      reason: 'budget_spent',
      word: 'not_allowed',
      executed: 'no',
    },
  );

// Idempotency keys of management requests. Claim, work and stored answer are one transaction: a request that failed leaves no claim, one
// that is sent twice at a time waits for the first and is then answered with what that did. Calls claim in the journal, not here.
import { and, eq, lte, sql } from 'drizzle-orm';
import { asDatabaseError, DatabaseUnavailable } from '../db/errors.ts';
import { claims } from '../db/schema-trail.ts';
import type { Db } from '../db/scope.ts';
import { Refusal } from '../refusal.ts';

export interface ManagementClaim {
  accountId: string;
  /** `_account`, or the user of a key that manages one user only. */
  userId: string;
  /** `POST /route/{pattern}`. */
  scope: string;
  key: string;
  /** Keyed digest of what was asked, by whom. */
  fingerprint: Uint8Array;
}

/** What stands under a key that was used before. `answer` is null when it was too large to keep. */
export interface StoredAnswer {
  status: number;
  answer: Uint8Array | null;
}

const lockTimeout = '55P03';
const inProgress = () =>
  new Refusal('IDEMPOTENCY_IN_PROGRESS', 'The first request with this Idempotency-Key is still running', {
    retryAfterMs: 1000,
  });

const at = (claim: ManagementClaim) =>
  and(
    eq(claims.accountId, claim.accountId),
    eq(claims.userId, claim.userId),
    eq(claims.scope, claim.scope),
    eq(claims.key, claim.key),
  );

/**
 * Takes the key for this transaction, or answers with what the first request under it did. Throws IDEMPOTENCY_MISMATCH when that was
 * another request, IDEMPOTENCY_IN_PROGRESS when it is still running.
 */
export async function takeClaim(tx: Db, claim: ManagementClaim): Promise<StoredAnswer | undefined> {
  const taken = await insertOrTakeOver(tx, claim);
  if (taken) return undefined;
  const [first] = await tx
    .select({ fingerprint: claims.fingerprint, state: claims.state, status: claims.status, answer: claims.answer })
    .from(claims)
    .where(at(claim));
  // Expired or gone between the two statements: the next attempt takes it.
  if (first === undefined || first.state === 'running') throw inProgress();
  if (!Buffer.from(first.fingerprint).equals(claim.fingerprint)) {
    throw new Refusal('IDEMPOTENCY_MISMATCH', 'This Idempotency-Key was used for another request');
  }
  return { status: first.status ?? 200, answer: first.answer };
}

async function insertOrTakeOver(tx: Db, claim: ManagementClaim): Promise<boolean> {
  const fresh = {
    fingerprint: claim.fingerprint,
    state: 'running' as const,
    leaseUntil: sql`now() + interval '1 minute'`,
    expiresAt: sql`now() + interval '24 hours'`,
  };
  try {
    const rows = await tx
      .insert(claims)
      .values({ accountId: claim.accountId, userId: claim.userId, scope: claim.scope, key: claim.key, ...fresh })
      .onConflictDoUpdate({
        target: [claims.accountId, claims.userId, claims.scope, claims.key],
        set: { ...fresh, callId: null, status: null, answer: null, createdAt: sql`now()` },
        setWhere: lte(claims.expiresAt, sql`now()`),
      })
      .returning({ key: claims.key });
    return rows.length === 1;
  } catch (error) {
    const known = asDatabaseError(error);
    // Waited for the first request as long as any statement may wait.
    if (known instanceof DatabaseUnavailable && known.code === lockTimeout) throw inProgress();
    throw error;
  }
}

/** Keeps the answer for whoever sends the key again; null where it is too large. */
export async function keepAnswer(
  tx: Db,
  claim: ManagementClaim,
  answer: { status: number; sealed: Uint8Array | null },
): Promise<void> {
  await tx.update(claims).set({ state: 'done', status: answer.status, answer: answer.sealed }).where(at(claim));
}

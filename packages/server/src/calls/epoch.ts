// The promise of idempotency: the header by which every authenticated reply makes it, and the check that keeps it honest after a restore.
// A key that was first sent in another segment of the journal may have run there, where this database cannot see it: it is not executed here.
import { headers, limits } from '@mcp-valet/shared';
import { and, eq, gt, sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '../db/client.ts';
import { readEpoch } from '../db/epoch.ts';
import type { ClaimPlace } from '../db/hot-path.ts';
import { claims } from '../db/schema-trail.ts';
import { type Db, withScope } from '../db/scope.ts';
import { Refusal } from '../refusal.ts';

/** Where a claim lies. */
export interface ClaimAddress {
  accountId: string;
  userId: string;
  scope: string;
  key: string;
}

export const claimAddress = (accountId: string, { user, scope, key }: ClaimPlace): ClaimAddress => ({
  accountId,
  userId: user,
  scope,
  key,
});

export interface Epoch {
  /** Tells the caller of a reply that keys are honoured, for how long and in which segment. For identified callers only. */
  promise(reply: { header(name: string, value: string): unknown }): void;
  /**
   * Throws OUTCOME_UNKNOWN for a re-send from another segment whose first attempt left no claim here. `sent`: the header of the re-send.
   * Not inside a transaction: on the embedded database it would wait for itself.
   */
  refuseForeign(sent: string | string[] | undefined, claim: () => ClaimAddress): Promise<void>;
}

export async function createEpoch({ db, log }: { db: Database; log: Logger }): Promise<Epoch> {
  const headerOf = (epoch: string) =>
    `ttl=${limits.idempotencySeconds}, epoch="${epoch}"${db.isDurable ? ', durable' : ''}`;
  let header = headerOf(await readEpoch(db));
  const refresh = async (): Promise<string> => {
    const epoch = await readEpoch(db);
    header = headerOf(epoch);
    return epoch;
  };
  // The connection was lost and is back: it may be to a database that was put back meanwhile.
  db.changes.subscribe((topic) => {
    if (topic !== '*') return;
    refresh().catch((error: unknown) =>
      log.warn({ name: error instanceof Error ? error.name : typeof error }, 'epoch_unread'),
    );
  });
  return {
    promise: (reply) => void reply.header(headers.idempotency, header),
    async refuseForeign(sent, claim) {
      if (sent === undefined) return;
      // Not the one from the last header: only the database knows that it was put back just now.
      if (sent === (await refresh())) return;
      const address = claim();
      const scope = { account: address.accountId, user: address.userId };
      if (await withScope(db, scope, (tx) => hasClaim(tx, address))) return;
      throw new Refusal(
        'OUTCOME_UNKNOWN',
        'Outcome unknown: the first attempt was made before this database was put back or began anew, and is not repeated',
        { reason: 'other_epoch' },
      );
    },
  };
}

async function hasClaim(tx: Db, claim: ClaimAddress): Promise<boolean> {
  const rows = await tx
    .select({ key: claims.key })
    .from(claims)
    .where(
      and(
        eq(claims.accountId, claim.accountId),
        eq(claims.userId, claim.userId),
        eq(claims.scope, claim.scope),
        eq(claims.key, claim.key),
        gt(claims.expiresAt, sql`now()`),
      ),
    );
  return rows.length > 0;
}

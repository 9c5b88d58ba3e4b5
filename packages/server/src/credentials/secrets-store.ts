// Writes sealed secrets, in place of older versions of their names. Values come in and are sealed here; no function answers one.
// Whoever calls it holds the user's row and has chosen the versions.
import { sql } from 'drizzle-orm';
import { secrets } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import type { NewSecret, SecretPlace, Vault } from './vault.ts';

/** Seals and stores values of one credential: one look for the data key and one statement, however many there are. Each name at most once. */
export async function storeSecrets(
  tx: Db,
  vault: Vault,
  place: SecretPlace,
  values: readonly NewSecret[],
): Promise<void> {
  if (values.length === 0) return;
  const { account: accountId, user: userId, credential: credentialId } = place;
  const fresh = await vault.seal(tx, place, values);
  await tx
    .insert(secrets)
    .values(fresh.map((secret) => ({ accountId, userId, credentialId, ...secret })))
    .onConflictDoUpdate({
      target: [secrets.accountId, secrets.credentialId, secrets.name],
      set: {
        version: sql`excluded.version`,
        sealed: sql`excluded.sealed`,
        fingerprint: sql`excluded.fingerprint`,
        updatedAt: sql`now()`,
      },
    });
}

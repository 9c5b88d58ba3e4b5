// Where the wrapped keyring lies: three tables of the whole installation. Holds ciphertext only and knows nothing of keys.
import { sql } from 'drizzle-orm';
import type { Database } from './client.ts';
import { accounts, installation, keyring } from './schema.ts';
import { type MasterKeyState, masterKeys } from './schema-master-keys.ts';
import { type Db, installationScope, withScope } from './scope.ts';

interface StoredKeyring {
  installationId: string;
  masterKeys: readonly { version: number; keyId: string; state: MasterKeyState; keyCheck: Uint8Array | null }[];
  keys: readonly { purpose: string; version: number; kekVersion: number; wrapped: Uint8Array }[];
}

/** The store that `crypto/keyring` asks for; the shape is repeated here because neither folder imports the other. */
export function keyringStore(db: Database) {
  const load = async (tx: Db): Promise<StoredKeyring | undefined> => {
    const [row] = await tx.select().from(installation);
    if (!row) return undefined;
    return {
      installationId: row.id,
      masterKeys: await tx.select().from(masterKeys).orderBy(masterKeys.version),
      keys: await tx.select().from(keyring),
    };
  };
  return {
    load: () => withScope(db, installationScope, load),
    hasRows: () =>
      withScope(
        db,
        installationScope,
        async (tx) => (await tx.select({ id: accounts.id }).from(accounts).limit(1)).length > 0,
      ),
    /** Two replicas may start on an empty database at once: the lock decides, and the second one gets the first one's keys. */
    create: (fresh: StoredKeyring) =>
      withScope(db, installationScope, async (tx) => {
        await tx.execute(sql`select pg_advisory_xact_lock(7201925314)`);
        const existing = await load(tx);
        if (existing) return existing;
        const keyCheck = fresh.masterKeys[0]?.keyCheck ?? Buffer.alloc(0);
        await tx.insert(installation).values({ id: fresh.installationId, keyCheck });
        await tx.insert(masterKeys).values(fresh.masterKeys.map((key) => ({ ...key, live: key.version })));
        await tx.insert(keyring).values(fresh.keys.map((key) => ({ ...key })));
        return fresh;
      }),
  };
}

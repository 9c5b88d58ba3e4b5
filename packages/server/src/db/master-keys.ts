// The statements of a rotation: versions of the master key, who holds which, and what lies under each. Only reads and writes; the order of a
// rotation and every key belong to `rotation/`. Each wants a transaction in the scope of the installation.
import { and, asc, eq, gt, not, sql } from 'drizzle-orm';
import { dataKeys, installation, keyring } from './schema.ts';
import { type MasterKeyState, masterKeyHolders, masterKeys } from './schema-master-keys.ts';
import { type Db, rowsOf } from './scope.ts';

/** Any constants. One rotation at a time; and whoever says which keys it holds, against the moment in which the next one takes over. */
const rotationLock = 7_201_925_316;
const holdersLock = 7_201_925_317;
/** A process that has not been heard of for so long is gone, or finds out by itself when it wakes. */
const holderSeconds = 20;

const fresh = sql`seen_at > now() - ${sql.raw(String(holderSeconds))} * interval '1 second'`;

export const readMasterKeys = (tx: Db) => tx.select().from(masterKeys).orderBy(masterKeys.version);

/** Names the task for the wall; whether this transaction is the only one that rotates, until it ends. */
export async function beginRotation(tx: Db): Promise<boolean> {
  const [row] = rowsOf(
    await tx.execute(
      sql`select set_config('valet.task', 'rotation', true), pg_try_advisory_xact_lock(${sql.raw(String(rotationLock))}) as mine`,
    ),
  );
  return row?.mine === true;
}

export async function addMasterKey(
  tx: Db,
  key: { version: number; keyId: string; state: MasterKeyState; keyCheck: Uint8Array },
): Promise<void> {
  await tx.insert(masterKeys).values({ ...key, keyCheck: Buffer.from(key.keyCheck), live: key.version });
}

/** Retiring fails with a foreign key violation while anything is wrapped under the version. */
export async function setMasterKeyState(tx: Db, version: number, state: MasterKeyState): Promise<void> {
  const gone = state === 'retired' ? { keyCheck: null, live: null } : {};
  await tx
    .update(masterKeys)
    .set({ state, changedAt: sql`now()`, ...gone })
    .where(eq(masterKeys.version, version));
}

export interface Holder {
  replica: string;
  keyIds: string[];
  wrapsWith: number;
}

/** Says what a process holds and reads what is in use, so that no version takes over between the two. */
export async function sayHeld(
  tx: Db,
  holder: Holder,
  isAlone: boolean,
): Promise<Awaited<ReturnType<typeof readMasterKeys>>> {
  await tx.execute(sql`select pg_advisory_xact_lock_shared(${sql.raw(String(holdersLock))})`);
  if (isAlone) await tx.delete(masterKeyHolders).where(not(eq(masterKeyHolders.replica, holder.replica)));
  const said = { keyIds: holder.keyIds, wrapsWith: holder.wrapsWith, seenAt: sql`now()` };
  await tx
    .insert(masterKeyHolders)
    .values({ replica: holder.replica, ...said })
    .onConflictDoUpdate({ target: masterKeyHolders.replica, set: said });
  return readMasterKeys(tx);
}

export async function forgetHolder(tx: Db, replica: string): Promise<void> {
  await tx.delete(masterKeyHolders).where(eq(masterKeyHolders.replica, replica));
}

export async function freshHolders(tx: Db): Promise<Holder[]> {
  const { replica, keyIds, wrapsWith } = masterKeyHolders;
  return tx.select({ replica, keyIds, wrapsWith }).from(masterKeyHolders).where(fresh).orderBy(replica);
}

/** Waits for whoever is saying what it holds; nobody can say it any more until the transaction ends. */
export async function stopSaying(tx: Db): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${sql.raw(String(holdersLock))})`);
}

const wrappedKey = { id: dataKeys.id, accountId: dataKeys.accountId, userId: dataKeys.userId };

/** Data keys under a version, by id from after `after`; those that somebody else is at are passed over. Locked until the transaction ends. */
export async function dataKeysUnder(tx: Db, version: number, after: string, most: number) {
  return tx
    .select({ ...wrappedKey, kekVersion: dataKeys.kekVersion, wrapped: dataKeys.wrapped })
    .from(dataKeys)
    .where(and(eq(dataKeys.kekVersion, version), gt(dataKeys.id, after)))
    .orderBy(asc(dataKeys.id))
    .limit(most)
    .for('update', { skipLocked: true });
}

export async function storeDataKeys(
  tx: Db,
  from: number,
  to: number,
  rows: readonly { id: string; wrapped: Uint8Array }[],
): Promise<void> {
  const list = JSON.stringify(
    rows.map(({ id, wrapped }) => ({ id, wrapped: Buffer.from(wrapped).toString('base64') })),
  );
  await tx.execute(sql`update data_keys d set kek_version = ${to}, wrapped = decode(n.wrapped, 'base64')
    from json_to_recordset(${list}::json) as n(id text, wrapped text)
    where d.id = n.id and d.kek_version = ${from} and d.id in ${rows.map(({ id }) => id)}`);
}

export const ownKeysUnder = (tx: Db, version: number) =>
  tx.select().from(keyring).where(eq(keyring.kekVersion, version)).for('update');

export async function storeOwnKey(
  tx: Db,
  key: { purpose: string; version: number; kekVersion: number; wrapped: Buffer },
): Promise<void> {
  await tx
    .update(keyring)
    .set({ kekVersion: key.kekVersion, wrapped: key.wrapped })
    .where(and(eq(keyring.purpose, key.purpose), eq(keyring.version, key.version)));
}

export async function storeKeyCheck(tx: Db, keyCheck: Uint8Array): Promise<void> {
  await tx.update(installation).set({ keyCheck: Buffer.from(keyCheck) });
}

/** How many keys lie under each version, the keyring's own and users'. */
export async function countUnder(tx: Db): Promise<Map<number, number>> {
  const rows = rowsOf(
    await tx.execute(sql`select kek_version as version, count(*)::int as n from
      (select kek_version from data_keys union all select kek_version from keyring) as k group by 1 order by 1`),
  );
  return new Map(rows.map((row) => [Number(row.version), Number(row.n)]));
}

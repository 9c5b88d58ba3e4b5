// Many users with sealed secrets, straight into the database, as their routes would have made them: a hundred to a transaction, which is one
// statement. Every secret is really sealed, by the product's keyring and vault, under a data key of its user's own.
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { Vault } from '../../packages/server/src/credentials/vault.ts';
import { type Keyring, openKeyring } from '../../packages/server/src/crypto/keyring.ts';
import { masterKeySource } from '../../packages/server/src/crypto/master-key.ts';
import { type Database, internalsOf, openDatabase } from '../../packages/server/src/db/client.ts';
import { keyringStore } from '../../packages/server/src/db/keyring-store.ts';
import { accountScope, installationScope, scopedQuery, withScope } from '../../packages/server/src/db/scope.ts';
import { newId } from '../../packages/server/src/ids.ts';
import { connector } from './prepared.ts';

/** Far below the two seconds after which a transaction counts as slow. */
const usersPerTransaction = 100;

export interface FilledUser {
  username: string;
  /** Of the first name of `secretNames`. */
  secret: string;
}

export interface FillOrder {
  databaseUrl: string;
  masterKey: string;
  count: number;
  secretNames: readonly string[];
  /** How many of the users to answer with their secret, evenly spread over all, the first and the last among them. */
  samples?: number;
}

export interface Filled {
  seconds: number;
  slowestTransactionMs: number;
  samples: FilledUser[];
}

interface Place {
  db: Database;
  keyring: Keyring;
  vault: Vault;
  account: string;
  secretNames: readonly string[];
}

/** The connector and the account are there: a gateway has run on this database and none runs now. */
export async function fillUsers(order: FillOrder): Promise<Filled> {
  const { databaseUrl, masterKey, count, secretNames, samples = 0 } = order;
  const startedAt = performance.now();
  const filled: FilledUser[] = [];
  const step = samples < 2 ? Number.POSITIVE_INFINITY : (count - 1) / (samples - 1);
  const sampled = new Set(Array.from({ length: samples }, (_, i) => Math.round(i === 0 ? 0 : i * step)));
  let slowestTransactionMs = 0;
  const db = await openDatabase({ url: databaseUrl });
  try {
    const place = await openPlace(db, masterKey, secretNames);
    for (let done = 0; done < count; done += usersPerTransaction) {
      const length = Math.min(usersPerTransaction, count - done);
      const batch = Array.from({ length }, (_, i) => ({
        username: `user-${done + i}`,
        isSampled: sampled.has(done + i),
      }));
      const begunAt = performance.now();
      const first = await addBatch(place, batch);
      slowestTransactionMs = Math.max(slowestTransactionMs, performance.now() - begunAt);
      filled.push(...first);
      if (Number.isInteger(Math.log2(done / usersPerTransaction + 1))) await analyze(db);
      if (process.stdout.isTTY) process.stdout.write(`\r${done + length} users`);
    }
  } finally {
    await db.close();
  }
  return { seconds: (performance.now() - startedAt) / 1000, slowestTransactionMs, samples: filled };
}

/**
 * Tables that double faster than autovacuum looks. Plans that were made for empty ones, those of foreign keys among them, would read them whole for
 * every row; after this they are made anew.
 */
const analyze = (db: Database): Promise<unknown> =>
  internalsOf(db).driver.asOwner((owner) => owner.transaction((run) => run('analyze')));

async function openPlace(db: Database, masterKey: string, secretNames: readonly string[]): Promise<Place> {
  const { provider } = masterKeySource({ key: masterKey });
  const keyring = await openKeyring({ store: keyringStore(db), newInstallationId: () => newId('inst'), provider });
  const vault = new Vault({ keyring, now: () => performance.now() });
  const [account] = await withScope(db, installationScope, (tx) =>
    tx.query.accounts.findMany({ columns: { id: true } }),
  );
  if (account === undefined) throw new Error('the gateway has made no account');
  return { db, keyring, vault, account: account.id, secretNames };
}

/** One parameter for a table's rows: thousands of them would cost more than the rows. Foreign keys are checked when all is there. */
const insertAll = `
  with new_users as (
    insert into users (id, account_id, username)
    select "user", $1, username from json_to_recordset($3::text::json) as r("user" text, username text)
  ), new_credentials as (
    insert into credentials (id, account_id, user_id, connector_id, type, status, is_default)
    select credential, $1, "user", $2, 'secrets', 'valid', true
    from json_to_recordset($3::text::json) as r("user" text, credential text)
  ), new_keys as (
    insert into data_keys (id, account_id, user_id, kek_version, wrapped)
    select id, $1, "user", version, decode(wrapped, 'hex')
    from json_to_recordset($4::text::json) as r(id text, "user" text, version integer, wrapped text)
  )
  insert into secrets (account_id, user_id, credential_id, name, version, sealed, fingerprint)
  select $1, "user", credential, name, version, decode(sealed, 'hex'), print
  from json_to_recordset($5::text::json)
    as r("user" text, credential text, name text, version integer, sealed text, print text)`;

async function addBatch(
  { db, keyring, vault, account, secretNames }: Place,
  batch: readonly { username: string; isSampled: boolean }[],
): Promise<FilledUser[]> {
  const rows: { user: string; username: string; credential: string }[] = [];
  const keys: { id: string; user: string; version: number; wrapped: string }[] = [];
  const sealed: { user: string; credential: string; name: string; version: number; sealed: string; print: string }[] =
    [];
  const samples: FilledUser[] = [];
  for (const { username, isSampled } of batch) {
    const user = newId('usr');
    const credential = newId('cred');
    rows.push({ user, username, credential });
    const { id, wrapped, kekVersion } = await keyring.createDataKey(account, user);
    keys.push({ id, user, version: kekVersion, wrapped: wrapped.toString('hex') });
    const values = secretNames.map((name) => ({ name, version: 1, value: randomBytes(24).toString('hex') }));
    const key = { id, accountId: account, userId: user, kekVersion, wrapped };
    for (const one of await vault.sealUnder(key, { account, user, connector, credential }, values)) {
      const { name, version, fingerprint: print } = one;
      sealed.push({ user, credential, name, version, sealed: one.sealed.toString('hex'), print });
    }
    if (isSampled) samples.push({ username, secret: values[0]?.value ?? '' });
  }
  await scopedQuery(db, accountScope(account), insertAll, [
    account,
    connector,
    ...[rows, keys, sealed].map((list) => JSON.stringify(list)),
  ]);
  return samples;
}

// What sealing promises: a value opens at its place and nowhere else, one data key per user, nothing kept longer than said.
import { randomBytes } from 'node:crypto';
import { and, eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../../../../test/support/database.ts';
import { bootstrap } from '../bootstrap.ts';
import { SealError } from '../crypto/envelope.ts';
import { localKeyProvider } from '../crypto/key-provider.ts';
import { type DataKeyRow, type Keyring, openKeyring } from '../crypto/keyring.ts';
import { type Database, openDatabase } from '../db/client.ts';
import { keyringStore } from '../db/keyring-store.ts';
import { dataKeys } from '../db/schema.ts';
import { accountScope, type Db, withScope } from '../db/scope.ts';
import { newId } from '../ids.ts';
import { deleteUser, insertUser } from '../users/store.ts';
import { findCurrentDataKey } from './data-keys.ts';
import { type FreshSecret, type SealedSecret, type SecretCoords, Vault } from './vault.ts';

describe.each(testDatabases())('the vault on $kind', ({ open }) => {
  let db: Database;
  let keyring: Keyring;
  let account: string;
  let closeDatabase: () => Promise<void>;
  let unwrapped = 0;
  let now = 0;
  const inAccount = <T>(fn: (tx: Db) => Promise<T>) => withScope(db, accountScope(account), fn);
  const newUser = async (username: string) => (await inAccount((tx) => insertUser(tx, account, { username }))).id;
  const newVault = () => new Vault({ keyring, now: () => now });
  const coordsOf = (user: string): SecretCoords => ({
    account,
    user,
    connector: 'slack',
    credential: 'cred_1',
    name: 'TOKEN',
    version: 1,
  });

  async function sealed(vault: Vault, coords: SecretCoords, value: string): Promise<SealedSecret> {
    return inAccount(async (tx) => {
      const [record] = await vault.seal(tx, coords, [{ name: coords.name, version: coords.version, value }]);
      const key = (await findCurrentDataKey(tx, coords.account, coords.user)) as DataKeyRow;
      return {
        name: coords.name,
        version: coords.version,
        sealed: (record as FreshSecret).sealed,
        dataKeyId: key.id,
        wrappedDataKey: key.wrapped,
        kekVersion: key.kekVersion,
      };
    });
  }

  beforeAll(async () => {
    const database = await open();
    closeDatabase = database.close;
    db = await openDatabase({ url: database.url });
    const opened = await openKeyring({
      store: keyringStore(db),
      newInstallationId: () => newId('inst'),
      provider: localKeyProvider(randomBytes(32), 'test'),
    });
    keyring = {
      ...opened,
      openDataKey: (row) => {
        unwrapped++;
        return opened.openDataKey(row);
      },
    };
    account = (await bootstrap({ db, keyring, config: { apiKey: undefined } })).accountId;
  });
  afterAll(async () => {
    await db.close();
    await closeDatabase();
  });

  it('opens at its place what it sealed there, whatever the characters', async () => {
    const coords = coordsOf(await newUser('round-trip'));
    const value = 'pässwörd 😀 \n "quoted" {{TOKEN}}';
    const secret = await sealed(newVault(), coords, value);
    expect(Buffer.from(secret.sealed).includes('pässw')).toBe(false);
    expect(await newVault().open(coords, [secret])).toEqual(new Map([['TOKEN', value]]));
  });

  it.each([
    ['account', { account: 'acc_other' }],
    ['user', { user: 'usr_other' }],
    ['connector', { connector: 'github' }],
    ['credential', { credential: 'cred_2' }],
  ])('does not open under another %s', async (name, change) => {
    const coords = coordsOf(await newUser(`moved-${name}`));
    const secret = await sealed(newVault(), coords, 'value');
    const vault = newVault();
    // Opened once, so that the right data key is in the cache: it must not help the wrong place.
    await vault.open(coords, [secret]);
    await expect(vault.open({ ...coords, ...change }, [secret])).rejects.toThrow(SealError);
  });

  it('does not open under another name or version, nor a changed record', async () => {
    const coords = coordsOf(await newUser('swapped'));
    const secret = await sealed(newVault(), coords, 'value');
    const flipped = Buffer.from(secret.sealed);
    flipped.writeUInt8(flipped.readUInt8(flipped.length - 20) ^ 1, flipped.length - 20);
    for (const wrong of [{ name: 'OTHER' }, { version: 2 }, { sealed: flipped }]) {
      await expect(newVault().open(coords, [{ ...secret, ...wrong }])).rejects.toThrow(SealError);
    }
  });

  it('does not open a record beside the data key of somebody else', async () => {
    const [mine, theirs] = [coordsOf(await newUser('mine')), coordsOf(await newUser('theirs'))];
    const secret = await sealed(newVault(), mine, 'value');
    const foreign = await sealed(newVault(), theirs, 'value');
    const { dataKeyId, wrappedDataKey } = foreign;
    await expect(newVault().open(mine, [{ ...secret, dataKeyId, wrappedDataKey }])).rejects.toThrow(SealError);
    await expect(newVault().open(mine, [{ ...secret, wrappedDataKey }])).rejects.toThrow(SealError);
  });

  it('tells equal values of one user and no values of two users', async () => {
    const vault = newVault();
    expect(vault.fingerprint({ account, user: 'usr_a' }, 'same')).toBe(
      vault.fingerprint({ account, user: 'usr_a' }, 'same'),
    );
    expect(vault.fingerprint({ account, user: 'usr_a' }, 'same')).not.toBe(
      vault.fingerprint({ account, user: 'usr_b' }, 'same'),
    );
    expect(vault.fingerprint({ account, user: 'usr_a' }, 'same')).toMatch(/^[0-9a-f]{8}$/);
  });

  it('makes one data key for two first secrets at a time, and both open', async () => {
    const coords = coordsOf(await newUser('racing'));
    const names = ['A', 'B', 'C', 'D'];
    const vault = newVault();
    const secrets = await Promise.all(names.map((name) => sealed(vault, { ...coords, name }, name)));
    const ours = and(eq(dataKeys.accountId, account), eq(dataKeys.userId, coords.user));
    expect(await inAccount((tx) => tx.select().from(dataKeys).where(ours))).toHaveLength(1);
    expect([...(await newVault().open(coords, secrets)).values()]).toEqual(names);
  });

  it('seals several values of one credential under one data key, each for its own name and version', async () => {
    const coords = coordsOf(await newUser('several'));
    const values = [
      { name: 'A', version: 1, value: 'one' },
      { name: 'B', version: 7, value: 'two' },
    ];
    const { fresh, key } = await inAccount(async (tx) => ({
      fresh: await newVault().seal(tx, coords, values),
      key: (await findCurrentDataKey(tx, account, coords.user)) as DataKeyRow,
    }));
    const beside = { dataKeyId: key.id, wrappedDataKey: key.wrapped, kekVersion: key.kekVersion };
    const stored = fresh.map(({ name, version, sealed }) => ({ name, version, sealed, ...beside }));
    expect(await newVault().open(coords, stored)).toEqual(
      new Map([
        ['A', 'one'],
        ['B', 'two'],
      ]),
    );
    const moved = stored.map((one, i) => ({ ...one, sealed: fresh[1 - i]?.sealed as Buffer }));
    const aged = stored.map((one) => ({ ...one, version: one.version + 1 }));
    for (const wrong of [...moved, ...aged]) await expect(newVault().open(coords, [wrong])).rejects.toThrow(SealError);
  });

  it('unwraps a data key once a minute, and again after the user was changed', async () => {
    const coords = coordsOf(await newUser('cached'));
    const secret = await sealed(newVault(), coords, 'value');
    const vault = newVault();
    const countOf = async (fn: () => Promise<unknown>) => {
      const before = unwrapped;
      await fn();
      return unwrapped - before;
    };
    const openIt = () => vault.open(coords, [secret]);
    expect(await countOf(() => Promise.all([openIt(), openIt(), openIt()]))).toBe(1);
    now += 59_999;
    expect(await countOf(openIt)).toBe(0);
    now += 1;
    expect(await countOf(openIt)).toBe(1);
    vault.forget(coords.user);
    expect(await countOf(openIt)).toBe(1);
    vault.forget('usr_somebody_else');
    expect(await countOf(openIt)).toBe(0);
    vault.forgetAll();
    expect(await countOf(openIt)).toBe(1);
  });

  it('does not keep a key whose unwrapping began before the user was changed', async () => {
    const coords = coordsOf(await newUser('overtaken'));
    const secret = await sealed(newVault(), coords, 'value');
    const vault = newVault();
    const opening = vault.open(coords, [secret]);
    vault.forget(coords.user);
    await opening;
    const before = unwrapped;
    await vault.open(coords, [secret]);
    expect(unwrapped - before).toBe(1);
  });

  describe('stored answers', () => {
    const answer = Buffer.from('{"content":[]}');
    const placeOf = (user: string) => ({ account, user, scope: 'srv', key: 'k1' });
    const find = (user: string) => async (id: string) => {
      const row = await inAccount((tx) => findCurrentDataKey(tx, account, user));
      return row?.id === id ? row : undefined;
    };

    it('open for the same key of the same user only, with a data key and without', async () => {
      const user = await newUser('answers');
      await sealed(newVault(), coordsOf(user), 'value');
      const dataKey = await find(user)((await inAccount((tx) => findCurrentDataKey(tx, account, user)))?.id ?? '');
      const vault = newVault();
      for (const key of [dataKey, undefined]) {
        const record = await vault.sealAnswer(placeOf(user), answer, key);
        expect(await vault.openAnswer(placeOf(user), record, find(user))).toEqual(answer);
        await expect(vault.openAnswer({ ...placeOf(user), key: 'k2' }, record, find(user))).rejects.toThrow(SealError);
        await expect(vault.openAnswer({ ...placeOf(user), scope: 'other' }, record, find(user))).rejects.toThrow(
          SealError,
        );
      }
    });

    it('are gone with the user whose data key sealed them', async () => {
      const user = await newUser('leaver');
      await sealed(newVault(), coordsOf(user), 'value');
      const vault = newVault();
      const record = await vault.sealAnswer(
        placeOf(user),
        answer,
        await inAccount((tx) => findCurrentDataKey(tx, account, user)),
      );
      expect(await inAccount((tx) => deleteUser(tx, account, user))).toMatchObject({ dataKeys: 1 });
      expect(await vault.openAnswer(placeOf(user), record, find(user))).toBeUndefined();
    });
  });
});

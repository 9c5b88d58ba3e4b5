// The order of a rotation, step by step, with gateways that are rows of ours: no version takes over or retires while one of them is behind, and
// nobody slips in between. Under load and with kills it is tested in test/durability.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MasterKeyError } from '../../packages/server/src/crypto/key-provider.ts';
import { openKeyring } from '../../packages/server/src/crypto/keyring.ts';
import { masterKeySource } from '../../packages/server/src/crypto/master-key.ts';
import { type Database, openDatabase } from '../../packages/server/src/db/client.ts';
import { DatabaseError } from '../../packages/server/src/db/errors.ts';
import { keyringStore } from '../../packages/server/src/db/keyring-store.ts';
import { sayHeld } from '../../packages/server/src/db/master-keys.ts';
import { installationScope, scopedQuery, withScope } from '../../packages/server/src/db/scope.ts';
import { newId } from '../../packages/server/src/ids.ts';
import { holdMasterKeys } from '../../packages/server/src/rotation/follow.ts';
import { createRotation } from '../../packages/server/src/rotation/rotate.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

let test: TestDatabase;
let db: Database;
beforeAll(async () => {
  test = await openTestDatabase('postgres');
  db = await openDatabase({ url: test.url });
});
afterAll(async () => {
  await db?.close();
  await test?.close();
});

it('waits for every gateway before each step, and leaves nothing that could go on with the old key', async () => {
  const [key, nextKey] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
  const keyringOf = (keys: { key: string; nextKey?: string }) =>
    openKeyring({
      store: keyringStore(db),
      newInstallationId: () => newId('inst'),
      provider: masterKeySource(keys).provider,
    });
  const old = await keyringOf({ key });
  const both = await keyringOf({ key, nextKey });
  const rotation = createRotation({ db, keyring: both });
  const say = (keyIds: readonly string[], wrapsWith: number, meanwhile: () => Promise<void> = async () => undefined) =>
    withScope(db, installationScope, async (tx) => {
      await sayHeld(tx, { replica: 'a', keyIds: [...keyIds], wrapsWith }, false);
      await meanwhile();
    });
  const { keyIds } = both.wrapping;

  expect(await rotation.step()).toMatchObject({ state: 'announced', from: 1, to: 2 });
  // A gateway that says at this very moment that it lacks the next key is waited for.
  let step: ReturnType<typeof rotation.step> | undefined;
  await say(old.wrapping.keyIds, 1, async () => {
    step = rotation.step();
    await new Promise((resolve) => setTimeout(resolve, 150));
  });
  expect(await step).toMatchObject({ state: 'waiting', why: 'not_held', replicas: ['a'] });
  await say(keyIds, 1);
  expect(await rotation.step()).toMatchObject({ state: 'switched', from: 1, to: 2 });
  expect(await rotation.step()).toMatchObject({ state: 'rewrapped' });
  // It holds the key and does not wrap with it yet: what it stores may still lie under the old one.
  expect(await rotation.step()).toMatchObject({ state: 'waiting', why: 'not_followed', replicas: ['a'] });
  await say(keyIds, 2);
  expect(await rotation.step()).toMatchObject({ state: 'retired', from: 1, to: 2 });
  expect(await rotation.step()).toMatchObject({ state: 'idle', version: 2 });

  await expect(holdMasterKeys({ db, keyring: old })).rejects.toThrow(MasterKeyError);
  await expect(keyringOf({ key })).rejects.toThrow(MasterKeyError);
  const back = scopedQuery(db, installationScope, 'update keyring set kek_version = 1');
  await expect(back).rejects.toThrow(DatabaseError);
});

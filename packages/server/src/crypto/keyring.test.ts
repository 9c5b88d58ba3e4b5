// CRY-4: a start with a wrong, missing, short, sample or readable master key is refused before anything is written.
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { localKeyProvider, MasterKeyError, parseMasterKey, readMasterKeyFile } from './key-provider.ts';
import { type KeyringStore, openKeyring, type StoredKeyring } from './keyring.ts';
import { masterKeySource } from './master-key.ts';

/** A store in memory that counts its writes. */
function memoryStore(accounts = false) {
  const state = { stored: undefined as StoredKeyring | undefined, writes: 0 };
  const store: KeyringStore = {
    load: async () => state.stored,
    hasRows: async () => accounts,
    create: async (keyring) => {
      state.writes++;
      state.stored ??= keyring;
      return state.stored;
    },
  };
  return { state, store };
}

const newInstallationId = () => `inst_${randomBytes(4).toString('hex')}`;
const providerOf = (key: Buffer) => localKeyProvider(key, 'VALET_MASTER_KEY');
const key = randomBytes(32);

describe('openKeyring', () => {
  it('creates the keys once and opens the same ones at every later start', async () => {
    const { state, store } = memoryStore();
    const first = await openKeyring({ store, newInstallationId, provider: providerOf(key) });
    const second = await openKeyring({ store, newInstallationId, provider: providerOf(key) });
    expect(state.writes).toBe(1);
    expect(second.installationId).toBe(first.installationId);
    expect(second.hashToken('t').equals(first.hashToken('t'))).toBe(true);
    expect(second.fingerprint('v', 'usr')).toBe(first.fingerprint('v', 'usr'));
    expect(first.fingerprint('v', 'usr')).not.toBe(first.fingerprint('v', 'usr2'));
    expect(second.openState(first.sealState(Buffer.from('s'), 'a'), 'a').toString()).toBe('s');
    expect(() => second.openState(first.sealState(Buffer.from('s'), 'a'), 'b')).toThrow();
  });

  it('keeps nothing readable in the store', async () => {
    const { state, store } = memoryStore();
    const ring = await openKeyring({ store, newInstallationId, provider: providerOf(key) });
    const dataKey = await ring.createDataKey('acc', 'usr');
    const text = Buffer.concat((state.stored?.keys ?? []).map((k) => Buffer.from(k.wrapped)));
    expect(text.includes(key)).toBe(false);
    expect(dataKey.wrapped.includes(dataKey.key)).toBe(false);
  });

  it('refuses a wrong master key, names the installation and writes nothing', async () => {
    const { state, store } = memoryStore();
    await openKeyring({ store, newInstallationId, provider: providerOf(key) });
    const wrong = openKeyring({ store, newInstallationId, provider: providerOf(randomBytes(32)) });
    await expect(wrong).rejects.toThrow(MasterKeyError);
    await expect(wrong).rejects.toThrow(state.stored?.installationId);
    expect(state.writes).toBe(1);
  });

  it('refuses a missing master key where a keyring exists, without making one', async () => {
    const { state, store } = memoryStore();
    await openKeyring({ store, newInstallationId, provider: providerOf(key) });
    let made = 0;
    const makeProvider = async () => {
      made++;
      return providerOf(randomBytes(32));
    };
    await expect(openKeyring({ store, newInstallationId, provider: undefined, makeProvider })).rejects.toThrow(
      /VALET_MASTER_KEY/,
    );
    expect([made, state.writes]).toEqual([0, 1]);
  });

  it('refuses to make keys in a database that has accounts', async () => {
    const { state, store } = memoryStore(true);
    await expect(openKeyring({ store, newInstallationId, provider: providerOf(key) })).rejects.toThrow(MasterKeyError);
    expect(state.writes).toBe(0);
  });

  it('takes the keys of whoever was first when two start on one empty database', async () => {
    const { state, store } = memoryStore();
    const [one, two] = await Promise.all([
      openKeyring({ store, newInstallationId, provider: providerOf(key) }),
      openKeyring({ store, newInstallationId, provider: providerOf(key) }),
    ]);
    expect(state.writes).toBe(2);
    expect(one.hashToken('t').equals(two.hashToken('t'))).toBe(true);
  });

  it('refuses a keyring row that was moved to another purpose', async () => {
    const { state, store } = memoryStore();
    await openKeyring({ store, newInstallationId, provider: providerOf(key) });
    const keys = state.stored?.keys ?? [];
    const pepper = keys.find((k) => k.purpose === 'pepper');
    if (!state.stored || !pepper) throw new Error('no keyring');
    state.stored = {
      ...state.stored,
      keys: keys.map((k) => (k.purpose === 'state' ? { ...k, wrapped: pepper.wrapped } : k)),
    };
    await expect(openKeyring({ store, newInstallationId, provider: providerOf(key) })).rejects.toThrow(/state key/);
  });
});

describe('two master keys', () => {
  const next = randomBytes(32);
  const both = () => localKeyProvider(key, 'VALET_MASTER_KEY', { key: next, source: 'VALET_MASTER_KEY_NEXT' });
  const owner = { accountId: 'acc_a', userId: 'usr_a' };

  /** As in the middle of a rotation: version 2 is in use, half of what there is lies under it. */
  async function halfRotated() {
    const { state, store } = memoryStore();
    const ring = await openKeyring({ store, newInstallationId, provider: both() });
    const made = { ...(await ring.createDataKey(owner.accountId, owner.userId)), ...owner };
    const stored = state.stored as StoredKeyring;
    const [, keyId = ''] = both().keyIds;
    const [first] = stored.masterKeys;
    const second = { version: 2, keyId, state: 'current' as const, keyCheck: await ring.wrapping.makeCheck(keyId) };
    const masterKeys = [
      { ...first, state: 'old' as const } as typeof second | (typeof stored.masterKeys)[number],
      second,
    ];
    ring.wrapping.follow(masterKeys);
    const [pepper, ...others] = stored.keys;
    if (pepper === undefined) throw new Error('no pepper');
    const moved = { ...pepper, kekVersion: 2, wrapped: await ring.wrapping.rewrapOwn(pepper, 2) };
    state.stored = { ...stored, masterKeys, keys: [moved, ...others] };
    return { state, store, ring, made };
  }

  it('open what lies under either, and wrap what is new under the one in use', async () => {
    const { store, ring, made } = await halfRotated();
    expect((await ring.openDataKey(made)).equals(made.key)).toBe(true);
    const wrapped = await ring.wrapping.rewrapDataKey(made, 2);
    expect((await ring.openDataKey({ ...made, kekVersion: 2, wrapped })).equals(made.key)).toBe(true);
    await expect(ring.openDataKey({ ...made, wrapped })).rejects.toThrow();
    const again = await openKeyring({ store, newInstallationId, provider: both() });
    expect(again.hashToken('t').equals(ring.hashToken('t'))).toBe(true);
    expect((await again.createDataKey('acc_b', 'usr_b')).kekVersion).toBe(2);
  });

  it('are both needed until nothing is left under the old one, then the new one alone is', async () => {
    const { state, store } = await halfRotated();
    for (const [lonely, why] of [
      [key, /Version 2 of the master key is in use/],
      [next, /not finished: keys are still under version 1/],
      [randomBytes(32), /not the one of this database/],
    ] as const)
      await expect(openKeyring({ store, newInstallationId, provider: providerOf(lonely) })).rejects.toThrow(why);
    const { stored } = state;
    const ring = await openKeyring({ store, newInstallationId, provider: both() });
    const keys = await Promise.all(
      (stored?.keys ?? []).map(async (row) =>
        row.kekVersion === 2 ? row : { ...row, kekVersion: 2, wrapped: await ring.wrapping.rewrapOwn(row, 2) },
      ),
    );
    const masterKeys = (stored?.masterKeys ?? []).map((row) =>
      row.version === 1 ? { ...row, state: 'retired' as const, keyCheck: null } : row,
    );
    state.stored = { installationId: stored?.installationId ?? '', masterKeys, keys };
    const after = await openKeyring({ store, newInstallationId, provider: providerOf(next) });
    expect(after.hashToken('t').equals(ring.hashToken('t'))).toBe(true);
    await expect(openKeyring({ store, newInstallationId, provider: providerOf(key) })).rejects.toThrow(MasterKeyError);
  });

  it('must not be the same', () => {
    expect(() => localKeyProvider(key, 'a', { key, source: 'VALET_MASTER_KEY_NEXT' })).toThrow(/VALET_MASTER_KEY_NEXT/);
  });
});

describe('data keys', () => {
  it('open only for the account, user and id that they were made for', async () => {
    const ring = await openKeyring({ store: memoryStore().store, newInstallationId, provider: providerOf(key) });
    const made = await ring.createDataKey('acc_a', 'usr_a');
    const row = { ...made, accountId: 'acc_a', userId: 'usr_a' };
    expect((await ring.openDataKey(row)).equals(made.key)).toBe(true);
    await expect(ring.openDataKey({ ...row, accountId: 'acc_b' })).rejects.toThrow();
    await expect(ring.openDataKey({ ...row, userId: 'usr_b' })).rejects.toThrow();
    await expect(ring.openDataKey({ ...row, id: '0'.repeat(32) })).rejects.toThrow();
  });
});

describe('parseMasterKey', () => {
  it.each([
    ['short', 'c2hvcnQ='],
    ['all bytes equal', Buffer.alloc(32, 1).toString('base64')],
    ['counting', Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('base64')],
    ['a typed phrase', Buffer.from('correct horse battery staple 123').toString('base64')],
    ['not base64', '!'.repeat(44)],
  ])('refuses a key that is %s, without repeating it', (_name, text) => {
    expect(() => parseMasterKey(text, 'VALET_MASTER_KEY')).toThrow(MasterKeyError);
    expect(() => parseMasterKey(text, 'VALET_MASTER_KEY')).not.toThrow(text);
  });

  it('reads base64, base64url and hex', () => {
    for (const text of [
      key.toString('base64'),
      key.toString('base64url'),
      key.toString('hex'),
      `${key.toString('base64')}\n`,
    ]) {
      expect(parseMasterKey(text, 'x').equals(key)).toBe(true);
    }
  });
});

describe('the key file', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'valet-key-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it.each([0o400, 0o600])('is read with mode %o', (mode) => {
    const file = join(folder, 'key');
    writeFileSync(file, key.toString('base64'));
    chmodSync(file, mode);
    expect(readMasterKeyFile(file).equals(key)).toBe(true);
  });

  it.each([0o640, 0o604, 0o644, 0o660])('is refused with mode %o', (mode) => {
    const file = join(folder, 'key');
    writeFileSync(file, key.toString('base64'));
    chmodSync(file, mode);
    expect(() => readMasterKeyFile(file)).toThrow(/can be read by others/);
  });

  it('is refused when it is missing or a directory', () => {
    expect(() => readMasterKeyFile(join(folder, 'none'))).toThrow(MasterKeyError);
    chmodSync(folder, 0o700);
    expect(() => readMasterKeyFile(folder)).toThrow(MasterKeyError);
  });

  it('is made beside the data directory of an empty embedded database, once, readable by us alone', async () => {
    const dataDir = join(folder, 'data');
    const file = join(folder, 'master.key');
    const source = masterKeySource({ dataDir });
    expect([source.provider, existsSync(file)]).toEqual([undefined, false]);
    const { store } = memoryStore();
    const ring = await openKeyring({ store, newInstallationId, ...source });
    expect(source.generatedFile()).toBe(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = readFileSync(file, 'utf8');
    const again = masterKeySource({ dataDir });
    expect((await openKeyring({ store, newInstallationId, ...again })).installationId).toBe(ring.installationId);
    expect([again.generatedFile(), readFileSync(file, 'utf8')]).toEqual([undefined, before]);
  });

  it('is not made again for a database that lost it', async () => {
    const dataDir = join(folder, 'data');
    const { store } = memoryStore();
    await openKeyring({ store, newInstallationId, ...masterKeySource({ dataDir }) });
    rmSync(join(folder, 'master.key'));
    await expect(openKeyring({ store, newInstallationId, ...masterKeySource({ dataDir }) })).rejects.toThrow(
      MasterKeyError,
    );
    expect(existsSync(join(folder, 'master.key'))).toBe(false);
  });
});

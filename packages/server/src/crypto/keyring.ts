// The keys of this installation (pepper, digest, seal, state), each wrapped under the master key and tied to its purpose, and users' data keys.
// Guarantees: a wrong or missing master key is noticed before anything is written, and no master key is made where rows exist.
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { encodeAad, open, SealError, seal } from './envelope.ts';
import { type KeyProvider, MasterKeyError } from './key-provider.ts';
import { hashToken } from './token.ts';
import { type DataKeyRow, type MasterKeyRow, type WrappedKey, Wrapping } from './wrapping.ts';

export type { DataKeyRow } from './wrapping.ts';

export const keyPurposes = ['pepper', 'digest', 'seal', 'state'] as const;
export type KeyPurpose = (typeof keyPurposes)[number];

export interface StoredKeyring {
  installationId: string;
  masterKeys: readonly MasterKeyRow[];
  keys: readonly WrappedKey[];
}

/** What the keyring needs of the database; `db/keyring-store` implements it. */
export interface KeyringStore {
  load(): Promise<StoredKeyring | undefined>;
  /** Whether any account exists, that is: whether secrets or keys may depend on a master key that we do not have. */
  hasRows(): Promise<boolean>;
  /** Stores it unless another process was first; answers what is stored then. */
  create(keyring: StoredKeyring): Promise<StoredKeyring>;
}

export interface DataKey {
  /** 32 hex digits, the primary key of the row and the key id inside every record that it sealed. */
  id: string;
  key: Buffer;
  wrapped: Buffer;
  kekVersion: number;
}

export interface Keyring {
  readonly installationId: string;
  readonly pepperVersion: number;
  /** What lies under the master key, and which version of it. For rotation. */
  readonly wrapping: Wrapping;
  /** What the database keeps of a bearer token. */
  hashToken(token: string): Buffer;
  /** Keyed digest of labelled parts: argument digests, idempotency fingerprints. Equal inputs are recognised, contents are not revealed. */
  digest(label: string, ...parts: (string | Uint8Array)[]): Buffer;
  /** 8 hex digits that change when the value changes. `place` keeps equal secrets of two users from looking equal. */
  fingerprint(value: string | Uint8Array, ...place: string[]): string;
  /** Seals short-lived state that travels through clients (cursors, request state) under the state key. `place` must be given again to open it. */
  sealState(value: Uint8Array, ...place: string[]): Buffer;
  openState(record: Uint8Array, ...place: string[]): Buffer;
  /** Signs a checkpoint of the trail: HMAC-SHA-256 under the seal key, which is in no database row in the clear. */
  signSeal(bytes: Uint8Array): Buffer;
  createDataKey(accountId: string, userId: string): Promise<DataKey>;
  openDataKey(row: DataKeyRow): Promise<Buffer>;
  health(): Promise<boolean>;
}

const stateKeyId = Buffer.alloc(16);

/**
 * Opens the stored keyring, or creates it in an empty database. `provider` is undefined when no master key is configured; `makeProvider` may then
 * generate one, and is called only when nothing is stored yet.
 */
export async function openKeyring(options: {
  store: KeyringStore;
  newInstallationId: () => string;
  provider: KeyProvider | undefined;
  makeProvider?: (() => Promise<KeyProvider>) | undefined;
}): Promise<Keyring> {
  const { store } = options;
  let stored = await store.load();
  let provider = options.provider;
  if (!stored) {
    if (await store.hasRows())
      throw new MasterKeyError(
        'The database holds accounts but no keyring. Restore the keyring rows; a new key would not open anything.',
      );
    provider ??= await options.makeProvider?.();
    if (!provider)
      throw new MasterKeyError(
        'No master key. Set VALET_MASTER_KEY or VALET_MASTER_KEY_FILE (make one with "openssl rand -base64 32").',
      );
    stored = await store.create(await freshKeyring(provider, options.newInstallationId()));
  }
  if (!provider) {
    throw new MasterKeyError(
      `This database belongs to installation ${stored.installationId} and needs its master key. Set VALET_MASTER_KEY or VALET_MASTER_KEY_FILE.`,
    );
  }
  return unlock(stored, provider);
}

async function freshKeyring(provider: KeyProvider, installationId: string): Promise<StoredKeyring> {
  const wrapping = new Wrapping(provider, installationId);
  const keyId = wrapping.keyIds[0] as string;
  const keyCheck = await wrapping.makeCheck(keyId);
  const keys: WrappedKey[] = [];
  for (const purpose of keyPurposes) {
    const key = randomBytes(32);
    const wrapped = await wrapping.wrapOwn(key, purpose, 1);
    keys.push({ purpose, version: 1, kekVersion: wrapping.version, wrapped });
    key.fill(0);
  }
  return { installationId, masterKeys: [{ version: wrapping.version, keyId, state: 'current', keyCheck }], keys };
}

async function unlock(stored: StoredKeyring, provider: KeyProvider): Promise<Keyring> {
  const { installationId } = stored;
  const wrapping = new Wrapping(provider, installationId);
  await wrapping.verify(stored.masterKeys);
  const keys = new Map<KeyPurpose, { key: Buffer; version: number }>();
  for (const purpose of keyPurposes) {
    const row = stored.keys.filter((k) => k.purpose === purpose).sort((a, b) => b.version - a.version)[0];
    if (!row) throw new MasterKeyError(`The keyring of installation ${installationId} lacks its ${purpose} key.`);
    const key = await wrapping.openOwn(row).catch((cause: unknown) => {
      if (!(cause instanceof SealError)) throw cause;
      const damaged = `The ${purpose} key of installation ${installationId} does not open. Nothing was changed.`;
      throw new MasterKeyError(damaged, { cause });
    });
    keys.set(purpose, { key, version: row.version });
  }
  const keyOf = (purpose: KeyPurpose) => keys.get(purpose) as { key: Buffer; version: number };
  const pepper: KeyObject = createSecretKey(keyOf('pepper').key);
  const digestKey: KeyObject = createSecretKey(keyOf('digest').key);
  const sealKey: KeyObject = createSecretKey(keyOf('seal').key);
  const stateKey = keyOf('state').key;
  const digest = (label: string, ...parts: (string | Uint8Array)[]) =>
    createHmac('sha256', digestKey)
      .update(encodeAad([label, ...parts]))
      .digest();
  return {
    installationId,
    wrapping,
    pepperVersion: keyOf('pepper').version,
    hashToken: (token) => hashToken(pepper, token),
    digest,
    fingerprint: (value, ...place) => digest('mcpv/fingerprint/1', value, ...place).toString('hex', 0, 4),
    sealState: (value, ...place) =>
      seal(stateKey, stateKeyId, value, encodeAad(['mcpv/state/1', installationId, ...place])),
    openState: (record, ...place) => open(stateKey, record, encodeAad(['mcpv/state/1', installationId, ...place])),
    signSeal: (bytes) => createHmac('sha256', sealKey).update(bytes).digest(),
    createDataKey: async (accountId, userId) => {
      const idBytes = randomBytes(16);
      const id = idBytes.toString('hex');
      const key = randomBytes(32);
      const kekVersion = wrapping.version;
      const wrapped = await wrapping.wrapDataKey({ id, accountId, userId }, key, kekVersion);
      return { id, key, wrapped, kekVersion };
    },
    openDataKey: (row) => wrapping.openDataKey(row),
    health: () => wrapping.health(),
  };
}

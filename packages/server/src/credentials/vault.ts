// Seals users' secrets and opens them for one call.
//
// Guarantee: a sealed value opens only at the place it was sealed for. Its associated data names installation, account, user, connector,
// credential, secret name, version and data key, and is built here and nowhere else; a row copied or rolled back by SQL does not open.
// Order: the policy has agreed before `open` is called; only `mcp/call` and `connectors/forward` may call it. Opening needs no database:
// every sealed row is read together with its wrapped data key. Deleting a user deletes the data key, and with it what was sealed.
// Failure: SealError for a value that does not open here, MasterKeyError when the key provider is away. Nothing is ever half open.
import { encodeAad, open, SealError, seal, sealedBy } from '../crypto/envelope.ts';
import type { DataKeyRow, Keyring } from '../crypto/keyring.ts';
import type { Db } from '../db/scope.ts';
import { findCurrentDataKey, insertDataKey } from './data-keys.ts';

/** Whose secret of which credential. */
export interface SecretPlace {
  account: string;
  user: string;
  connector: string;
  credential: string;
}

/** Where one value lives: what its associated data names. */
export interface SecretCoords extends SecretPlace {
  name: string;
  version: number;
}

/** A value to be sealed as this version of its name. */
export interface NewSecret {
  name: string;
  version: number;
  value: string;
}

/** What a row of `secrets` keeps of it. */
export interface FreshSecret {
  name: string;
  version: number;
  sealed: Buffer;
  fingerprint: string;
}

/** A secret as stored, with the wrapped data key that opens it. */
export interface SealedSecret {
  name: string;
  version: number;
  sealed: Uint8Array;
  dataKeyId: string;
  wrappedDataKey: Uint8Array;
  kekVersion: number;
}

/** Where a stored answer belongs: whose idempotency key, on which server or route. */
export interface AnswerPlace {
  account: string;
  user: string;
  scope: string;
  key: string;
}

export interface VaultOptions {
  keyring: Keyring;
  /** Monotonic milliseconds. */
  now: () => number;
}

interface CachedKey {
  key: Buffer;
  user: string;
  until: number;
}

const keepMs = 60_000;
const maxKeys = 10_000;
/** The key id of records that the keyring sealed itself, under its state key. */
const stateKeyId = '0'.repeat(32);

export class Vault {
  readonly #keyring: Keyring;
  readonly #now: () => number;
  /** Unwrapped data keys. They are dropped, not overwritten: a call in flight may hold one. */
  readonly #keys = new Map<string, CachedKey>();
  readonly #loading = new Map<string, Promise<Buffer>>();
  /** Counts `forget`s: a key whose loading began before one is used once and not kept. */
  #forgotten = 0;

  constructor(options: VaultOptions) {
    this.#keyring = options.keyring;
    this.#now = options.now;
  }

  /** Seals values of one credential under the user's data key, found once; the first ones make that key, in the same transaction. */
  async seal(tx: Db, place: SecretPlace, values: readonly NewSecret[]): Promise<FreshSecret[]> {
    return this.sealUnder(await this.#currentDataKey(tx, place.account, place.user), place, values);
  }

  /** The same under a data key of that user's that the caller has at hand. Needs no database. */
  async sealUnder(row: DataKeyRow, place: SecretPlace, values: readonly NewSecret[]): Promise<FreshSecret[]> {
    const key = await this.#unwrapped(row);
    const keyId = Buffer.from(row.id, 'hex');
    return values.map(({ name, version, value }) => {
      const plain = Buffer.from(value, 'utf8');
      try {
        const sealed = seal(key, keyId, plain, this.#secretAad({ ...place, name, version }, row.id));
        return { name, version, sealed, fingerprint: this.fingerprint(place, value) };
      } finally {
        plain.fill(0);
      }
    });
  }

  /** Opens the secrets of one credential, for one call. All or none. */
  async open(place: SecretPlace, secrets: readonly SealedSecret[]): Promise<Map<string, string>> {
    const opened = new Map<string, string>();
    for (const secret of secrets) {
      const { name, version, sealed, dataKeyId: id } = secret;
      // The key id inside the record decides which key is right; a row joined to another key must not even be tried.
      if (sealedBy(sealed).toString('hex') !== id) throw new SealError();
      const row = {
        id,
        accountId: place.account,
        userId: place.user,
        kekVersion: secret.kekVersion,
        wrapped: secret.wrappedDataKey,
      };
      const key = await this.#unwrapped(row);
      const plain = open(key, sealed, this.#secretAad({ ...place, name, version }, id));
      opened.set(name, plain.toString('utf8'));
      plain.fill(0);
    }
    return opened;
  }

  /** 8 hex digits, equal for equal values of one user. Two users with one value look different. */
  fingerprint(owner: { account: string; user: string }, value: string): string {
    return this.#keyring.fingerprint(value, owner.account, owner.user);
  }

  /** Seals an answer that is kept for an idempotency key: under the user's data key where there is one, else under the state key. */
  async sealAnswer(place: AnswerPlace, answer: Uint8Array, dataKey: DataKeyRow | undefined): Promise<Buffer> {
    if (dataKey === undefined)
      return this.#keyring.sealState(answer, 'answer', place.account, place.user, place.scope, place.key);
    const key = await this.#unwrapped(dataKey);
    return seal(key, Buffer.from(dataKey.id, 'hex'), answer, this.#answerAad(place, dataKey.id));
  }

  /** The stored answer, or undefined when the key that sealed it is gone with its user. */
  async openAnswer(
    place: AnswerPlace,
    record: Uint8Array,
    findDataKey: (id: string) => Promise<DataKeyRow | undefined>,
  ): Promise<Buffer | undefined> {
    const id = sealedBy(record).toString('hex');
    if (id === stateKeyId)
      return this.#keyring.openState(record, 'answer', place.account, place.user, place.scope, place.key);
    const row = await findDataKey(id);
    if (row === undefined) return undefined;
    return open(await this.#unwrapped(row), record, this.#answerAad(place, id));
  }

  /** Drops the user's unwrapped keys; called when the user or a credential changed. */
  forget(userId: string): void {
    this.#forgotten++;
    for (const [place, cached] of this.#keys) if (cached.user === userId) this.#keys.delete(place);
  }

  forgetAll(): void {
    this.#forgotten++;
    this.#keys.clear();
  }

  #secretAad(coords: SecretCoords, dataKeyId: string): Buffer {
    const { account, user, connector, credential, name, version } = coords;
    const installation = this.#keyring.installationId;
    return encodeAad([
      'mcpv/secret/1',
      installation,
      account,
      user,
      connector,
      credential,
      name,
      String(version),
      dataKeyId,
    ]);
  }

  #answerAad(place: AnswerPlace, dataKeyId: string): Buffer {
    const { account, user, scope, key } = place;
    return encodeAad(['mcpv/answer/1', this.#keyring.installationId, account, user, scope, key, dataKeyId]);
  }

  async #currentDataKey(tx: Db, account: string, user: string): Promise<DataKeyRow> {
    const found = await findCurrentDataKey(tx, account, user);
    if (found !== undefined) return found;
    const { id, wrapped, kekVersion } = await this.#keyring.createDataKey(account, user);
    return insertDataKey(tx, { id, accountId: account, userId: user, kekVersion, wrapped });
  }

  async #unwrapped(row: DataKeyRow): Promise<Buffer> {
    // The owner is part of the name: a key row moved to another user must not find what was unwrapped for the first.
    const place = JSON.stringify([row.accountId, row.userId, row.id, row.kekVersion]);
    const cached = this.#keys.get(place);
    if (cached !== undefined && cached.until > this.#now()) return cached.key;
    const running = this.#loading.get(place);
    if (running !== undefined) return running;
    const loading = this.#load(place, row).finally(() => this.#loading.delete(place));
    this.#loading.set(place, loading);
    return loading;
  }

  async #load(place: string, row: DataKeyRow): Promise<Buffer> {
    const forgotten = this.#forgotten;
    const until = this.#now() + keepMs;
    const key = await this.#keyring.openDataKey(row);
    if (forgotten !== this.#forgotten) return key;
    if (this.#keys.size >= maxKeys) {
      const oldest = this.#keys.keys().next().value;
      if (oldest !== undefined) this.#keys.delete(oldest);
    }
    this.#keys.delete(place);
    this.#keys.set(place, { key, user: row.userId, until });
    return key;
  }
}

// Wraps keys under the versions of the master key: users' data keys and the keyring's own. Pure beside the key provider: stores nothing.
//
// Guarantee: what was wrapped opens only for its owner and under the version it names, since both are in its associated data. A key is wrapped anew
// only when the new record was opened again and gave the same bytes.
// Failure: SealError for a record that does not open here, MasterKeyError when a key is missing, wrong, or its provider is away.
import { timingSafeEqual } from 'node:crypto';
import { encodeAad, SealError, sealedBy } from './envelope.ts';
import { type KeyProvider, MasterKeyError } from './key-provider.ts';

/** A version of the master key, as the database knows it. */
export interface MasterKeyRow {
  version: number;
  keyId: string;
  state: 'next' | 'current' | 'old' | 'retired';
  /** A constant under the key; null when it is retired. */
  keyCheck: Uint8Array | null;
}

export interface WrappedKey {
  purpose: string;
  version: number;
  kekVersion: number;
  wrapped: Uint8Array;
}

export interface DataKeyRow {
  id: string;
  accountId: string;
  userId: string;
  kekVersion: number;
  wrapped: Uint8Array;
}

type Place = Pick<DataKeyRow, 'id' | 'accountId' | 'userId'>;

const checkText = Buffer.from('mcpv/key-check/1: this installation belongs to this master key');
const providerDeadlineMs = 2_000;

export class Wrapping {
  readonly #provider: KeyProvider;
  readonly #installationId: string;
  /** Key ids of the versions that are not retired. */
  #live = new Map<number, string>();
  #current = 1;
  #isLost = false;

  constructor(provider: KeyProvider, installationId: string) {
    this.#provider = provider;
    this.#installationId = installationId;
    // Before the first row is stored: the configured key is version 1.
    this.#live.set(1, provider.keyIds[0] as string);
  }

  /** What this process holds, for others to see. */
  get keyIds(): readonly string[] {
    return this.#provider.keyIds;
  }

  /** The version that wraps what is new. */
  get version(): number {
    return this.#current;
  }

  /** The database moved on to a key that this process does not hold: it can neither open all that is stored nor store what others open. */
  get isLost(): boolean {
    return this.#isLost;
  }

  holds(row: Pick<MasterKeyRow, 'keyId'>): boolean {
    return this.#provider.keyIds.includes(row.keyId);
  }

  /** Throws unless this process holds every key that something is wrapped under, and each is what the database knows under its id. */
  async verify(rows: readonly MasterKeyRow[]): Promise<void> {
    const mismatch = `The master key from ${this.#provider.source} is not the one of this database (installation ${this.#installationId}). Nothing was changed.`;
    if (!rows.some((row) => row.state !== 'retired' && row.state !== 'next' && this.holds(row)))
      throw new MasterKeyError(mismatch);
    this.follow(rows);
    for (const { keyCheck, keyId } of rows) {
      if (keyCheck === null || !this.holds({ keyId })) continue;
      const text = await this.#unwrap(keyCheck, this.#checkAad()).catch((cause: unknown) => {
        throw cause instanceof SealError ? new MasterKeyError(mismatch, { cause }) : cause;
      });
      if (!text.equals(checkText) || sealedBy(keyCheck).toString('hex') !== keyId) throw new MasterKeyError(mismatch);
    }
  }

  /** Takes over what the database says now. Throws when it moved on to a key that this process does not hold. */
  follow(rows: readonly MasterKeyRow[]): void {
    const missing = rows.find((row) => (row.state === 'current' || row.state === 'old') && !this.holds(row));
    this.#isLost = missing !== undefined;
    if (missing !== undefined)
      throw new MasterKeyError(
        missing.state === 'current'
          ? `Version ${missing.version} of the master key is in use since a rotation, and is not configured here. Set VALET_MASTER_KEY_NEXT or VALET_MASTER_KEY_NEXT_FILE, or make it the master key.`
          : `A rotation of the master key is not finished: keys are still under version ${missing.version}, which is not configured here. Configure it as the master key and the new one as VALET_MASTER_KEY_NEXT (or _FILE).`,
      );
    const live = rows.filter(({ state }) => state !== 'retired');
    this.#live = new Map(live.map(({ version, keyId }) => [version, keyId]));
    this.#current = rows.find(({ state }) => state === 'current')?.version ?? this.#current;
  }

  makeCheck(keyId: string): Promise<Buffer> {
    return withDeadline(this.#provider.wrap(keyId, checkText, this.#checkAad()));
  }

  wrapDataKey(place: Place, key: Uint8Array, version = this.#current): Promise<Buffer> {
    return this.#wrap(key, version, this.#dataKeyAad(place, version));
  }

  openDataKey(row: DataKeyRow): Promise<Buffer> {
    return this.#unwrap(row.wrapped, this.#dataKeyAad(row, row.kekVersion));
  }

  wrapOwn(key: Uint8Array, purpose: string, keyVersion: number, version = this.#current): Promise<Buffer> {
    return this.#wrap(key, version, this.#ownAad(purpose, keyVersion, version));
  }

  openOwn({ purpose, version, kekVersion, wrapped }: WrappedKey): Promise<Buffer> {
    return this.#unwrap(wrapped, this.#ownAad(purpose, version, kekVersion));
  }

  async rewrapDataKey(row: DataKeyRow, version: number): Promise<Buffer> {
    const wrapped = (key: Buffer) => this.wrapDataKey(row, key, version);
    return rewrapped(await this.openDataKey(row), wrapped, (blob) =>
      this.openDataKey({ ...row, kekVersion: version, wrapped: blob }),
    );
  }

  async rewrapOwn(row: WrappedKey, version: number): Promise<Buffer> {
    const wrapped = (key: Buffer) => this.wrapOwn(key, row.purpose, row.version, version);
    return rewrapped(await this.openOwn(row), wrapped, (blob) =>
      this.openOwn({ ...row, kekVersion: version, wrapped: blob }),
    );
  }

  health(): Promise<boolean> {
    return withDeadline(this.#provider.health()).catch(() => false);
  }

  async #wrap(key: Uint8Array, version: number, aad: Buffer): Promise<Buffer> {
    const keyId = this.#live.get(version);
    if (keyId === undefined) throw new MasterKeyError(`Version ${version} of the master key is not in use.`);
    return withDeadline(this.#provider.wrap(keyId, key, aad));
  }

  #unwrap(blob: Uint8Array, aad: Buffer): Promise<Buffer> {
    return withDeadline(this.#provider.unwrap(blob, aad));
  }

  #checkAad(): Buffer {
    return encodeAad(['mcpv/key-check/1', this.#installationId]);
  }

  #ownAad(purpose: string, keyVersion: number, version: number): Buffer {
    return encodeAad(['mcpv/keyring/1', this.#installationId, purpose, String(keyVersion), String(version)]);
  }

  #dataKeyAad({ accountId, userId, id }: Place, version: number): Buffer {
    return encodeAad(['mcpv/dek/1', this.#installationId, accountId, userId, id, String(version)]);
  }
}

async function rewrapped(
  key: Buffer,
  wrap: (key: Buffer) => Promise<Buffer>,
  openAgain: (blob: Buffer) => Promise<Buffer>,
): Promise<Buffer> {
  const blob = await wrap(key);
  const again = await openAgain(blob);
  const isSame = again.length === key.length && timingSafeEqual(again, key);
  key.fill(0);
  again.fill(0);
  if (!isSame) throw new MasterKeyError('A key that was wrapped anew did not open to the same. Nothing was stored.');
  return blob;
}

/** A key service that hangs must not hang a call: two seconds, then an error. */
async function withDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new MasterKeyError('The key provider did not answer within 2 s.')),
      providerDeadlineMs,
    );
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

// Where the master key (KEK) lives and how it wraps other keys. Reads a key file or takes bytes from the environment; never logs or prints a key.
// Cloud key services fit the same methods, which is why they are asynchronous. Which key is which version is the keyring's to know.
import { createHmac, randomBytes } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { open, SealError, seal, sealedBy } from './envelope.ts';

export interface KeyProvider {
  /** Where the key comes from, for messages: a path or a variable name, never the key. */
  readonly source: string;
  /** Ids of the keys that this process holds, 32 hex digits each; the configured one first, then the next one. Records carry them. */
  readonly keyIds: readonly string[];
  wrap(keyId: string, key: Uint8Array, aad: Uint8Array): Promise<Buffer>;
  /** Finds the key by the id that the record carries. SealError when it is none of these. */
  unwrap(blob: Uint8Array, aad: Uint8Array): Promise<Buffer>;
  health(): Promise<boolean>;
}

/** The master key is absent, unusable or not this database's. The start must end; nothing may be written. */
export class MasterKeyError extends Error {
  override readonly name = 'MasterKeyError';
}

/** 32 bytes in base64 (or base64url, or 64 hex digits). Sample values and constant bytes are refused: they are no secret. */
export function parseMasterKey(text: string, source: string): Buffer {
  const trimmed = text.trim();
  const key = /^[0-9a-fA-F]{64}$/.test(trimmed)
    ? Buffer.from(trimmed, 'hex')
    : /^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)
      ? Buffer.from(trimmed, 'base64')
      : Buffer.alloc(0);
  if (key.length !== 32)
    throw new MasterKeyError(
      `${source} must hold 32 bytes in base64, for example the output of "openssl rand -base64 32".`,
    );
  if (isGuessable(key))
    throw new MasterKeyError(`${source} holds a sample or guessable key. Make one with "openssl rand -base64 32".`);
  return key;
}

function isGuessable(key: Buffer): boolean {
  const steps = new Set<number>();
  for (let i = 1; i < key.length; i++) steps.add(((key[i] as number) - (key[i - 1] as number) + 256) % 256);
  // One step: all bytes equal, or 00 01 02 …. Printable throughout: a typed phrase; 32 random bytes are that once in 10^14.
  return steps.size === 1 || key.every((byte) => byte >= 0x20 && byte < 0x7f);
}

/** Reads a key file once. Refuses one that group or others may read, a directory, and a file that is too large to be a key. */
export function readMasterKeyFile(path: string): Buffer {
  const file = openKeyFile(path);
  try {
    // The opened descriptor is checked, not the path: nobody can swap the file between check and read.
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > 4096) throw new MasterKeyError(`The master key file ${path} is not a key file.`);
    if (process.platform !== 'win32' && (stat.mode & 0o077) !== 0) {
      throw new MasterKeyError(
        `The master key file ${path} can be read by others (mode ${(stat.mode & 0o777).toString(8)}). Run: chmod 600 ${path}`,
      );
    }
    return parseMasterKey(readFileSync(file, 'utf8'), `The master key file ${path}`);
  } finally {
    closeSync(file);
  }
}

function openKeyFile(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    throw new MasterKeyError(`The master key file ${path} cannot be read (${code}).`, { cause });
  }
}

/** Writes a fresh key with mode 0600. Fails when the file exists: a key is never overwritten. */
export async function createMasterKeyFile(path: string): Promise<Buffer> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const key = randomBytes(32);
  writeFileSync(path, `${key.toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  return key;
}

export interface LocalKey {
  key: Buffer;
  source: string;
}

/** A provider over keys in memory: the built-in kinds (environment, file) differ only in where the bytes came from. */
export function localKeyProvider(key: Buffer, source: string, next?: LocalKey): KeyProvider {
  const keys = new Map([[keyIdOf(key), key]]);
  if (next !== undefined) {
    if (keys.has(keyIdOf(next.key)))
      throw new MasterKeyError(`The next master key (${next.source}) is the one that is in use. Make another one.`);
    keys.set(keyIdOf(next.key), next.key);
  }
  const held = (id: string): Buffer => {
    const found = keys.get(id);
    if (found === undefined) throw new SealError('None of the configured master keys made this record.');
    return found;
  };
  return {
    source,
    keyIds: [...keys.keys()],
    wrap: async (id, plain, aad) => seal(held(id), Buffer.from(id, 'hex'), plain, aad),
    unwrap: async (blob, aad) => open(held(sealedBy(blob).toString('hex')), blob, aad),
    health: async () => true,
  };
}

function keyIdOf(key: Buffer): string {
  return createHmac('sha256', key).update('mcpv/kek-id/1').digest().subarray(0, 16).toString('hex');
}

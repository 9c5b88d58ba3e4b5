// Authenticated encryption of one value: AES-256-GCM, record `0x01 | key id 16 | nonce 12 | ciphertext | tag 16`.
// The associated data ties a record to its place: a record moved to another account, user, credential, name or version does not open.
// Pure: no I/O, no key storage. Associated data is built by its two owners only, `credentials/vault` and `crypto/keyring`.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const format = 0x01;
const keyIdBytes = 16;
const nonceBytes = 12;
const tagBytes = 16;
const headerBytes = 1 + keyIdBytes + nonceBytes;

/** A record that does not open: wrong key, wrong place, damaged, or not a record. Says nothing about which, nor about the content. */
export class SealError extends Error {
  override readonly name = 'SealError';
  constructor(message = 'The sealed value does not open here.') {
    super(message);
  }
}

/**
 * Each item as a 4-byte big-endian length and its UTF-8 bytes. Lengths, not separators: with a separator `a|b`,`c` and `a`,`b|c` collide.
 * Text that is not well-formed is refused, since UTF-8 would silently turn two different strings into one.
 */
export function encodeAad(items: readonly (string | Uint8Array)[]): Buffer {
  let total = 0;
  for (const item of items) {
    if (typeof item === 'string' && /\p{Surrogate}/u.test(item))
      throw new SealError('Associated data must be well-formed text.');
    total += 4 + (typeof item === 'string' ? Buffer.byteLength(item, 'utf8') : item.length);
  }
  const encoded = Buffer.allocUnsafe(total);
  let at = 0;
  for (const item of items) {
    let length: number;
    if (typeof item === 'string') length = encoded.write(item, at + 4, 'utf8');
    else {
      encoded.set(item, at + 4);
      length = item.length;
    }
    encoded.writeUInt32BE(length, at);
    at += 4 + length;
  }
  return encoded;
}

export function seal(key: Uint8Array, keyId: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Buffer {
  if (key.length !== 32 || keyId.length !== keyIdBytes)
    throw new SealError('A sealing key has 32 bytes and its id 16.');
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  // The header is authenticated too, so that a changed format byte or key id is damage and not a choice.
  const header = Buffer.concat([Buffer.of(format), keyId, nonce]);
  cipher.setAAD(Buffer.concat([header, aad]));
  return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

export function open(key: Uint8Array, record: Uint8Array, aad: Uint8Array): Buffer {
  if (key.length !== 32 || record.length < headerBytes + tagBytes || record[0] !== format) throw new SealError();
  const header = record.subarray(0, headerBytes);
  const nonce = record.subarray(1 + keyIdBytes, headerBytes);
  // Without authTagLength a 4-byte tag would be accepted.
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.concat([header, aad]));
  decipher.setAuthTag(record.subarray(record.length - tagBytes));
  const start = decipher.update(record.subarray(headerBytes, record.length - tagBytes));
  try {
    return Buffer.concat([start, decipher.final()]);
  } catch (cause) {
    throw Object.assign(new SealError(), { cause });
  } finally {
    start.fill(0);
  }
}

/** The id of the key that sealed this record, so that the right one can be fetched. Unverified until `open` succeeds. */
export function sealedBy(record: Uint8Array): Buffer {
  if (record.length < headerBytes + tagBytes || record[0] !== format) throw new SealError();
  return Buffer.from(record.subarray(1, 1 + keyIdBytes));
}

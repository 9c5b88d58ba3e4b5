// CRY-1: what is sealed opens only with its key, in its place, and with not one bit changed.
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { encodeAad, open, SealError, seal, sealedBy } from './envelope.ts';

const key = randomBytes(32);
const keyId = randomBytes(16);
const aad = encodeAad(['mcpv/secret/1', 'inst', 'acc', 'usr', 'slack', 'cred', 'TOKEN', '1', keyId.toString('hex')]);

describe('seal and open', () => {
  it('gives back every value from 0 to 64 KiB, in another record each time', () => {
    for (const size of [0, 1, 15, 16, 17, 1_000, 65_536]) {
      const value = randomBytes(size);
      const record = seal(key, keyId, value, aad);
      expect(record.length).toBe(1 + 16 + 12 + size + 16);
      expect(sealedBy(record).equals(keyId)).toBe(true);
      expect(open(key, record, aad).equals(value)).toBe(true);
      expect(seal(key, keyId, value, aad).equals(record)).toBe(false);
    }
  });

  it('refuses a record with any single bit flipped: format, key id, nonce, text and tag', () => {
    const record = seal(key, keyId, Buffer.from('a secret value'), aad);
    let refused = 0;
    for (let bit = 0; bit < record.length * 8; bit++) {
      const damaged = Buffer.from(record);
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      try {
        open(key, damaged, aad);
      } catch (error) {
        if (error instanceof SealError) refused++;
      }
    }
    expect(refused).toBe(record.length * 8);
  });

  it('refuses another key, another place, and every truncation', () => {
    const record = seal(key, keyId, Buffer.from('a secret value'), aad);
    expect(() => open(randomBytes(32), record, aad)).toThrow(SealError);
    expect(() => open(key, record, encodeAad(['mcpv/secret/1', 'inst', 'acc', 'usr2']))).toThrow(SealError);
    for (let length = 0; length < record.length; length++) {
      expect(() => open(key, record.subarray(0, length), aad)).toThrow(SealError);
    }
  });

  it('tells nothing of key, place or content in its error', () => {
    const record = seal(key, keyId, Buffer.from('a secret value'), aad);
    expect(() => open(randomBytes(32), record, aad)).toThrow(/^The sealed value does not open here\.$/);
  });
});

describe('encodeAad', () => {
  it('keeps apart what a separator would merge', () => {
    expect(encodeAad(['a|b', 'c']).equals(encodeAad(['a', 'b|c']))).toBe(false);
    expect(encodeAad(['ab', '']).equals(encodeAad(['a', 'b']))).toBe(false);
    expect(encodeAad(['a']).equals(encodeAad(['a', '']))).toBe(false);
  });

  it('refuses text that UTF-8 would change', () => {
    expect(() => encodeAad(['\ud800'])).toThrow(SealError);
  });
});

// Bearer tokens: `mcpv_<kind>_<43 base62><6 base62>`, 256 random bits and a CRC32 that saves a look-up on junk.
// The CRC is not authentication. What is stored is a keyed hash; the text exists once, in the reply that hands it out.
import { createHmac, type KeyObject, randomFillSync } from 'node:crypto';
import { crc32 } from 'node:zlib';

export const tokenKinds = ['adm', 'ent', 'std', 'url', 'usr'] as const;
export type TokenKind = (typeof tokenKinds)[number];

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const grammar = /^mcpv_(adm|ent|std|url|usr)_[0-9A-Za-z]{49}$/;

export interface MintedToken {
  /** The whole text. Shown once; never stored, logged or put into a cache. */
  token: string;
  /** Kind and first four characters, kept for display. */
  prefix: string;
}

/** 43 characters by rejection sampling: 256 bits without bias. */
export function mintToken(kind: TokenKind): MintedToken {
  const bytes = Buffer.allocUnsafe(64);
  let body = '';
  while (body.length < 43) {
    randomFillSync(bytes);
    for (let i = 0; i < bytes.length && body.length < 43; i++) {
      const byte = bytes[i] as number;
      if (byte < 248) body += alphabet[byte % 62];
    }
  }
  bytes.fill(0);
  const head = `mcpv_${kind}_${body}`;
  const token = head + checksum(head);
  return { token, prefix: shownPrefix(token) };
}

/** The kind of a well-formed token, or undefined for anything else. Says nothing about whether the token is good. */
export function parseToken(text: string): TokenKind | undefined {
  // Length first: the expression never sees an 8 KB header.
  if (text.length !== 58) return undefined;
  const match = grammar.exec(text);
  if (!match || checksum(text.slice(0, 52)) !== text.slice(52)) return undefined;
  return match[1] as TokenKind;
}

/** `mcpv_ent_AbCd`. For a static key of another shape: its first four characters, nothing more. */
export function shownPrefix(token: string): string {
  return grammar.test(token) ? token.slice(0, 13) : token.slice(0, 4);
}

/** HMAC-SHA-256 under the pepper. A fast hash is right for 256 random bits; a slow one would be an attack on ourselves. */
export function hashToken(pepper: KeyObject, token: string): Buffer {
  return createHmac('sha256', pepper).update(token, 'utf8').digest();
}

function checksum(head: string): string {
  let value = crc32(head);
  let text = '';
  for (let i = 0; i < 6; i++) {
    text = alphabet[value % 62] + text;
    value = Math.floor(value / 62);
  }
  return text;
}

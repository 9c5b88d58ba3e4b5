// Tokens: 256 random bits, a grammar that costs nothing to check, and a stored form that reveals nothing.
import { createSecretKey, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashToken, mintToken, parseToken, shownPrefix, tokenKinds } from './token.ts';

describe('mintToken', () => {
  it.each(tokenKinds)('mints %s tokens that match the published grammar and parse back', (kind) => {
    const { token, prefix } = mintToken(kind);
    expect(token).toMatch(/^mcpv_(adm|ent|std|url|usr)_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$/);
    expect(parseToken(token)).toBe(kind);
    expect(prefix).toBe(token.slice(0, 13));
    expect(shownPrefix(token)).toBe(prefix);
  });

  it('never mints the same twice', () => {
    expect(new Set(Array.from({ length: 5_000 }, () => mintToken('std').token)).size).toBe(5_000);
  });
});

describe('parseToken', () => {
  it('refuses a token with any one character changed', () => {
    const { token } = mintToken('ent');
    for (let i = 0; i < token.length; i++) {
      const other = token[i] === 'x' ? 'y' : 'x';
      expect(parseToken(token.slice(0, i) + other + token.slice(i + 1))).toBeUndefined();
    }
  });

  it.each([
    '',
    'mcpv_ent_',
    `mcpv_root_${'a'.repeat(49)}`,
    `mcpv_ent_${'a'.repeat(5_000)}`,
    `mcpv_ent_${'-'.repeat(49)}`,
    'Bearer x',
  ])('refuses %j', (text) => {
    expect(parseToken(text)).toBeUndefined();
  });

  it('checks the CRC over the whole head: a token of another kind with the same body is refused', () => {
    const { token } = mintToken('std');
    expect(parseToken(token.replace('_std_', '_ent_'))).toBeUndefined();
  });
});

describe('hashToken', () => {
  it('depends on token and pepper', () => {
    const pepper = createSecretKey(randomBytes(32));
    const { token } = mintToken('std');
    expect(hashToken(pepper, token)).toHaveLength(32);
    expect(hashToken(pepper, token).equals(hashToken(pepper, token))).toBe(true);
    expect(hashToken(pepper, token).equals(hashToken(pepper, `${token}x`))).toBe(false);
    expect(hashToken(pepper, token).equals(hashToken(createSecretKey(randomBytes(32)), token))).toBe(false);
  });
});

describe('shownPrefix', () => {
  it('shows four characters of a key of another shape', () => {
    expect(shownPrefix('abcdefghijklmnopqrstuvwxyz0123456789')).toBe('abcd');
  });
});

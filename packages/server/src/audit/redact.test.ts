// What must never reach the audit trail or a log line, and what must survive redaction.
import { isStorableText } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { mintToken } from '../crypto/token.ts';
import { redactTokens } from '../redact-tokens.ts';
import { redactDetails, redactText } from './redact.ts';

describe('redactTokens', () => {
  it.each(['adm', 'ent', 'std', 'url', 'usr'] as const)('removes every random character of a %s token', (kind) => {
    const { token } = mintToken(kind);
    const text = redactTokens(`GET /mcp/main-00000000/${token} and again ${token}.`);
    expect(text).toBe(`GET /mcp/main-00000000/mcpv_${kind}_[redacted] and again mcpv_${kind}_[redacted].`);
  });

  it('removes Authorization values and JWTs', () => {
    expect(redactTokens('Authorization: Bearer abcdef123456')).toBe('Authorization: Bearer [redacted]');
    expect(redactTokens('t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl')).toBe('t=[redacted]');
  });

  it('leaves ids and ordinary words alone', () => {
    const text = 'usr_0123456789abcdefABCDEF key_1 acme-1a2b3c4d bearer of news';
    expect(redactTokens(text)).toBe(text);
  });
});

describe('redactText', () => {
  it('keeps one line: a line break cannot forge a second entry', () => {
    expect(redactText('alice\r\n{"level":30}\u2028x')).toBe('alice\\u000d\\u000a{"level":30}\\u2028x');
  });

  it('cuts to the limit and never leaves half of a token behind', () => {
    const { token } = mintToken('std');
    const cut = redactText(`${'x'.repeat(100)}${token} ${'y'.repeat(500)}`, 128);
    expect(cut).toHaveLength(128);
    expect(cut).not.toContain(token.slice(9, 20));
  });

  it('makes broken surrogates storable', () => {
    expect(isStorableText(redactText('a\ud800b'))).toBe(true);
    expect(isStorableText(redactText(`${'a'.repeat(126)}😀😀`, 128))).toBe(true);
  });
});

describe('redactDetails', () => {
  it('drops values under names that say secret, at any depth', () => {
    const details = redactDetails({
      secretValue: 'v1',
      nested: { api_key: 'v2', Authorization: 'v3' },
      list: [{ password: 'v4' }],
    });
    expect(JSON.stringify(details)).not.toMatch(/v[1-4]/);
  });

  it('keeps names, counts and ids', () => {
    const details = {
      connector: 'slack',
      secrets: 3,
      isDefault: true,
      names: ['A_TOKEN_NAME'],
      at: new Date(0),
      none: null,
    };
    expect(redactDetails(details)).toEqual({ ...details, at: '1970-01-01T00:00:00.000Z' });
  });

  it('bounds depth and breadth, so that no caller fills the trail', () => {
    const deep = { a: { b: { c: { d: { e: 1 } } } } };
    expect(JSON.stringify(redactDetails(deep))).not.toContain('"e"');
    const wide = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, 'v'.repeat(5000)]));
    expect(JSON.stringify(redactDetails(wide)).length).toBeLessThan(20_000);
  });
});

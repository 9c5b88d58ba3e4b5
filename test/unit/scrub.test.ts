// An upstream that sends a secret back, in any of the encodings it can think of, in any place of a result: the caller gets none of it.
// And what is no secret comes through unchanged.
import { isStorableText } from '@mcp-valet/shared';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createScrub, scrubValue } from '../../packages/server/src/connectors/scrub.ts';
import { holds } from '../support/holds.ts';
import { type Encoding, encodings } from '../support/secret-encodings.ts';

const names = Object.keys(encodings) as Encoding[];
const secretText = fc
  .oneof(
    fc.string({ minLength: 8, maxLength: 40, unit: fc.constantFrom(...'abcXYZ019-_./+=&%"\\ {}~') }),
    fc.string({ minLength: 8, maxLength: 40, unit: 'grapheme' }),
    fc.stringMatching(/^[A-Za-z0-9]{8,64}$/),
  )
  .filter((text) => isStorableText(text) && text.length >= 8);

describe('an encoded secret', () => {
  it.each(names)('is taken out of a text: %s', (name) => {
    holds(
      fc.property(secretText, fc.string(), fc.string(), (secret, before, after) => {
        const encoded = encodings[name](secret);
        // What base64 shares with its neighbours is not the secret's alone: the core must be gone.
        const core = name.startsWith('base64') ? encoded.replace(/=+$/, '').slice(4, -2) : encoded;
        const clean = createScrub([secret])(`${before} ${encoded} ${after}`);
        return core.length < 8 || !clean.includes(core);
      }),
      500,
    );
  });

  it('is taken out of longer base64 at every alignment, with neighbours on both sides', () => {
    const bytes = (minLength: number) => fc.uint8Array({ minLength, maxLength: minLength + 5 });
    holds(
      fc.property(secretText, bytes(0), bytes(0), fc.boolean(), (secret, before, after, isUrl) => {
        const whole = Buffer.concat([before, Buffer.from(secret), after]);
        const clean = createScrub([secret])(whole.toString(isUrl ? 'base64url' : 'base64'));
        // Whatever is left decodes, at no offset, to anything that holds the secret's inner bytes.
        const inner = Buffer.from(secret).subarray(3, -3);
        if (inner.length < 5) return clean.includes('[secret]');
        return (
          clean
            .split('[secret]')
            .every((rest) => [0, 1, 2, 3].every((skip) => !Buffer.from(rest.slice(skip), 'base64').includes(inner))) &&
          clean.includes('[secret]')
        );
      }),
      2_000,
    );
  });

  it('is taken out wherever a form contains another, the longest first', () => {
    const scrub = createScrub(['abcdefgh', 'abcdefgh-and-more']);
    expect(scrub('x abcdefgh-and-more y abcdefgh z')).toBe('x [secret] y [secret] z');
  });

  it('is taken out in escapes of either case', () => {
    const secret = 'ab/ü+"\u00ff jk\n';
    const scrub = createScrub([secret]);
    const percent = [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
    const unicode = Array.from(
      { length: secret.length },
      (_, i) => `\\u${secret.charCodeAt(i).toString(16).padStart(4, '0')}`,
    ).join('');
    const forms = [
      percent,
      percent.toUpperCase(),
      unicode,
      unicode.replace(/\\u..../g, (c) => `\\u${c.slice(2).toUpperCase()}`),
    ];
    forms.push(
      JSON.stringify(secret),
      JSON.stringify(secret).replaceAll('/', '\\/'),
      encodeURIComponent(secret).toLowerCase(),
    );
    forms.push(String(new URLSearchParams({ v: secret })));
    const ascii = JSON.stringify(secret).replace(
      /[^\x20-\x7e]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    forms.push(
      ascii,
      ascii.replace(/\\u..../g, (c) => `\\u${c.slice(2).toUpperCase()}`),
    );
    for (const form of forms) expect(scrub(form)).toContain('[secret]');
  });
});

describe('a result', () => {
  const secret = 'sk-live-4f9d8a7b6c5e';
  const scrub = createScrub([secret]);

  it('is scrubbed in every string and key, at any depth', () => {
    const value = {
      content: [{ type: 'text', text: `key=${secret}` }],
      [`x${secret}`]: { deep: [[`${secret}!`]] },
      n: 1,
      t: true,
      z: null,
    };
    const clean = scrubValue(value, scrub);
    expect(JSON.stringify(clean)).not.toContain(secret);
    expect(clean).toEqual({
      content: [{ type: 'text', text: 'key=[secret]' }],
      'x[secret]': { deep: [['[secret]!']] },
      n: 1,
      t: true,
      z: null,
    });
  });

  it('is the same object where nothing matched, and is never changed in place', () => {
    const clean = { a: [1, 'x', { b: null }], __proto__: null };
    expect(scrubValue(clean, scrub)).toBe(clean);
    const dirty = Object.freeze({ list: Object.freeze([secret, 'kept']) });
    expect(scrubValue(dirty, scrub)).toEqual({ list: ['[secret]', 'kept'] });
    expect(dirty.list[0]).toBe(secret);
  });

  it('keeps names that are weapons as ordinary keys', () => {
    const value = JSON.parse(`{"__proto__":"${secret}","constructor":{"a":"${secret}"}}`) as Record<string, unknown>;
    const clean = scrubValue(value, scrub);
    expect(Object.getPrototypeOf(clean)).toBe(Object.prototype);
    expect(Object.entries(clean)).toEqual([
      ['__proto__', '[secret]'],
      ['constructor', { a: '[secret]' }],
    ]);
  });

  it.each([
    ['12345678', '12345678'],
    ['12345678.25', '[12345678.25]'],
    ['-87654321', '{"n":-87654321}'],
    ['123456789012345678901', '{"n":123456789012345678901}'],
    ['1234567890123456789012345678', '1234567890123456789012345678'],
  ])('loses a secret of digits that comes back as a number: %s', (digits, json) => {
    const text = JSON.stringify(scrubValue(JSON.parse(json), createScrub([digits])));
    expect(text).toContain('[secret]');
    expect(text).not.toMatch(/\d/);
  });

  it('keeps other numbers as numbers', () => {
    expect(scrubValue([1, 1.5, 1e21, -0], createScrub(['12345678']))).toEqual([1, 1.5, 1e21, -0]);
  });
});

describe('what is no secret', () => {
  it('comes through unchanged', () => {
    holds(
      fc.property(fc.json(), (json) => {
        const value: unknown = JSON.parse(json);
        return scrubValue(value, createScrub(['5f1c0de5-no-such-value-anywhere'])) === value;
      }),
      2_000,
    );
  });

  it('is a value under 8 characters: it would match by accident', () => {
    expect(createScrub(['secret', '1234567'])('a secret 1234567')).toBe('a secret 1234567');
    const hex = Buffer.from('secret').toString('hex');
    expect(createScrub(['secret'])(hex)).toBe(hex);
    expect(createScrub(['12345678'])('a 12345678 b 12345678')).toBe('a [secret] b [secret]');
    expect(createScrub([])('anything')).toBe('anything');
  });
});

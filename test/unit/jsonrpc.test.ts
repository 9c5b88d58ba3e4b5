// NET-2: for everything under the limits `parseJson` is `JSON.parse`; depth and number of values are counted exactly, on the bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, JsonError, parseJson } from '../../packages/server/src/mcp/jsonrpc.ts';
import { holds } from '../support/holds.ts';

const faultOf = (bytes: Buffer, depth = 64, nodes = 200_000): string => {
  try {
    parseJson(bytes, depth, nodes);
    return 'none';
  } catch (error) {
    return error instanceof JsonError ? error.fault : `threw ${String(error)}`;
  }
};
const same = (a: unknown, b: unknown): boolean => {
  try {
    expect(a).toStrictEqual(b);
    return true;
  } catch {
    // Only the answer matters here: fast-check reports the values.
    return false;
  }
};

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('"', '\\', '\\"', '[{', ',', '__proto__', '\u2028', '\u0000', 'a\ud800', '\udc00\ud800'),
);
const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    text,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.constantFrom(true, false, null),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(text, tie('value'), { maxKeys: 5 }),
  ),
})).value;
/** The same value in the spellings that writers use: spaces, `\u` escapes, escaped slashes. */
const spelled = fc
  .tuple(value, fc.constantFrom(0, 1, '\t'), fc.constantFrom('plain', 'ascii', 'slashes'))
  .map(([v, space, style]) => {
    const json = JSON.stringify(v, null, space);
    if (style === 'ascii')
      return json.replace(/[^\x20-\x7e\n\t]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
    return style === 'slashes' ? json.replaceAll('/', '\\/') : json;
  });

const children = (v: unknown): unknown[] => (typeof v === 'object' && v !== null ? Object.values(v) : []);
const isContainer = (v: unknown): boolean => typeof v === 'object' && v !== null;
const depthOf = (v: unknown): number => (isContainer(v) ? 1 + Math.max(0, ...children(v).map(depthOf)) : 0);
/** Values, an empty container counting twice: the scan does not look whether something follows. */
const nodesOf = (v: unknown): number =>
  children(v).reduce<number>((sum, child) => sum + nodesOf(child), isContainer(v) && children(v).length === 0 ? 2 : 1);
const isBad = (s: string): boolean => s.includes('\u0000') || /\p{Surrogate}/u.test(s);
const hasBadText = (v: unknown): boolean =>
  typeof v === 'string'
    ? isBad(v)
    : isContainer(v) && (children(v).some(hasBadText) || (!Array.isArray(v) && Object.keys(v as object).some(isBad)));

describe('parseJson over generated JSON', () => {
  it('gives what JSON.parse gives, or refuses bad text', () => {
    let refused = 0;
    holds(
      fc.property(spelled, (json) => {
        const bytes = Buffer.from(json);
        const expected: unknown = JSON.parse(bytes.toString());
        if (hasBadText(expected)) {
          refused++;
          return faultOf(bytes) === 'bad_text';
        }
        return same(parseJson(bytes, 64, 200_000), expected);
      }),
      5_000,
    );
    expect(refused).toBeGreaterThan(50);
  });

  it('counts depth and values exactly', () => {
    holds(
      fc.property(spelled, (json) => {
        const bytes = Buffer.from(json);
        const parsed: unknown = JSON.parse(json);
        if (hasBadText(parsed)) return true;
        const depth = depthOf(parsed);
        const nodes = nodesOf(parsed);
        if (faultOf(bytes, depth, nodes) !== 'none') return false;
        if (depth > 0 && faultOf(bytes, depth - 1, nodes) !== 'too_deep') return false;
        return nodes === 1 || faultOf(bytes, depth, nodes - 1) === 'too_many_nodes';
      }),
      5_000,
    );
  });

  it('refuses what JSON.parse refuses, and throws nothing else, whatever the bytes', () => {
    const damage = fc.tuple(spelled, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 3 }));
    holds(
      fc.property(damage, ([json, at, bytes]) => {
        const whole = Buffer.from(json);
        const cut = at % (whole.length + 1);
        const damaged = Buffer.concat([whole.subarray(0, cut), bytes, whole.subarray(cut)]);
        const fault = faultOf(damaged);
        if (damaged.toString('utf8').includes('\ufffd') && fault === 'not_utf8') return true;
        try {
          const parsed: unknown = JSON.parse(damaged.toString('utf8'));
          return fault === (hasBadText(parsed) ? 'bad_text' : 'none');
        } catch {
          // JSON.parse refuses, so we must.
          return fault === 'not_json';
        }
      }),
      5_000,
    );
  });
});

describe('canonicalJson over generated values', () => {
  it('is equal exactly for equal values, whatever the order of keys', () => {
    const shuffled = (v: unknown): unknown => {
      if (Array.isArray(v)) return v.map(shuffled);
      if (!isContainer(v)) return v;
      return Object.fromEntries(
        Object.entries(v as object)
          .reverse()
          .map(([key, child]) => [key, shuffled(child)]),
      );
    };
    holds(
      fc.property(value, value, (a, b) => {
        if (canonicalJson(a) !== canonicalJson(shuffled(a))) return false;
        if (!same(JSON.parse(canonicalJson(a)), JSON.parse(JSON.stringify(a)))) return false;
        return (
          (canonicalJson(a) === canonicalJson(b)) === same(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)))
        );
      }),
      2_000,
    );
  });
});

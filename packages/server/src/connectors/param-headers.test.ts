// The `x-mcp-header` rules of revision 2026-07-28: which schemas may be listed, what must agree inbound, what is sent outbound.
import { describe, expect, it } from 'vitest';
import {
  decodeHeaderText,
  encodeHeaderText,
  mirroredParameters,
  type ParamHeader,
  paramHeaderMismatch,
  paramHeaders,
  scanParamHeaders,
} from './param-headers.ts';

const schema = (properties: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  type: 'object',
  properties,
  ...more,
});
const annotated = (type: unknown, header: unknown) => ({ type, 'x-mcp-header': header });
function declared(of: unknown): readonly ParamHeader[] {
  const scan = scanParamHeaders(of);
  if (!scan.valid) throw new Error(scan.reason);
  return scan.headers;
}

describe('a schema', () => {
  it('declares headers on properties at any depth of properties', () => {
    const nested = schema({
      a: annotated('string', 'Region'),
      b: schema({ c: annotated('integer', 'Depth'), d: annotated('boolean', 'Dry') }),
    });
    expect(scanParamHeaders(nested)).toEqual({
      valid: true,
      headers: [
        { header: 'Region', path: ['a'], type: 'string' },
        { header: 'Depth', path: ['b', 'c'], type: 'integer' },
        { header: 'Dry', path: ['b', 'd'], type: 'boolean' },
      ],
    });
    expect([...mirroredParameters(declared(nested))]).toEqual(['a', 'b']);
  });

  it('is fine without any, whatever it is', () => {
    for (const value of [schema({ a: { type: 'string' } }), true, undefined, null, 'x', []]) {
      expect(scanParamHeaders(value)).toEqual({ valid: true, headers: [] });
    }
  });

  it('may hold the word as a value', () => {
    const value = { 'x-mcp-header': 'Region' };
    const quoting = schema({ a: { type: 'object', default: value, examples: [value], const: value, enum: [value] } });
    expect(scanParamHeaders(quoting)).toEqual({ valid: true, headers: [] });
  });

  const wrong: Record<string, unknown> = {
    'an empty name': schema({ a: annotated('string', '') }),
    'a name that is no text': schema({ a: annotated('string', 1) }),
    'a name with a space': schema({ a: annotated('string', 'My Region') }),
    'a name with a line break': schema({ a: annotated('string', 'Region\r\nX-Evil: 1') }),
    'a name with a colon': schema({ a: annotated('string', 'Region:') }),
    'a name outside ASCII': schema({ a: annotated('string', 'Région') }),
    'two names equal but for case': schema({ a: annotated('string', 'Region'), b: annotated('string', 'REGION') }),
    'a number': schema({ a: annotated('number', 'Size') }),
    'an object': schema({ a: annotated('object', 'Size') }),
    'an array': schema({ a: annotated('array', 'Size') }),
    'no type': schema({ a: { 'x-mcp-header': 'Size' } }),
    'a list of types': schema({ a: annotated(['string', 'null'], 'Size') }),
    'the schema itself': schema({}, { 'x-mcp-header': 'All' }),
    'a schema that is a scalar itself': annotated('string', 'All'),
    'below items': schema({ a: { type: 'array', items: annotated('string', 'Item') } }),
    'below properties of items': schema({ a: { type: 'array', items: schema({ b: annotated('string', 'Item') }) } }),
    'below anyOf': schema({ a: { anyOf: [annotated('string', 'Any')] } }),
    'below oneOf of the schema': schema({}, { oneOf: [schema({ a: annotated('string', 'One') })] }),
    'below allOf': schema({}, { allOf: [schema({ a: annotated('string', 'All') })] }),
    'below not': schema({ a: { not: annotated('string', 'Not') } }),
    'below if': schema({}, { if: schema({ a: annotated('string', 'If') }) }),
    'in $defs that $ref reaches': schema({ a: { $ref: '#/$defs/r' } }, { $defs: { r: annotated('string', 'Ref') } }),
    'below additionalProperties': schema({ a: { type: 'object', additionalProperties: annotated('string', 'More') } }),
    'below patternProperties': schema({}, { patternProperties: { '^a': annotated('string', 'Pattern') } }),
  };
  it.each(Object.keys(wrong))('may not be listed with an annotation on: %s', (name) => {
    expect(scanParamHeaders(wrong[name])).toMatchObject({
      valid: false,
      reason: expect.stringContaining('x-mcp-header'),
    });
  });
});

describe('header text', () => {
  it('travels as it is when it is plain, else as base64, and comes back equal', () => {
    expect(encodeHeaderText('eu-west 1')).toBe('eu-west 1');
    for (const text of ['', ' a', 'a ', '\ta', 'ü', '😀', 'a\nb', 'a\r\nEvil: 1', '=?base64?QQ==?=', '\u007f']) {
      const encoded = encodeHeaderText(text);
      expect(encoded).toMatch(/^=\?base64\?[A-Za-z0-9+/]*={0,2}\?=$/);
      expect(decodeHeaderText(encoded)).toBe(text);
    }
  });

  it('loses spaces and tabs at its edges, and nothing else', () => {
    expect(decodeHeaderText(' \t eu \t')).toBe('eu');
    expect(decodeHeaderText(' =?base64?QQ==?=\t')).toBe('A');
    expect(decodeHeaderText('\u00a0eu')).toBe('\u00a0eu');
  });

  it.each(['QQ', 'QQ=', 'QQ===', 'Q', 'QR==', 'Q Q==', 'QQ==\n', '_w==', '-w==', '/w==', '7aCA', '!!!!'])(
    'is refused as a sentinel that is not canonical base64 of UTF-8: %s',
    (encoded) => {
      expect(decodeHeaderText(`=?base64?${encoded}?=`)).toBeUndefined();
    },
  );
});

describe('an inbound call', () => {
  const headers = declared(
    schema({
      region: annotated('string', 'Region'),
      size: annotated('integer', 'Size'),
      dry: annotated('boolean', 'Dry'),
    }),
  );
  const mismatch = (args: unknown, sent: Record<string, string>) =>
    paramHeaderMismatch(headers, args, (name) => sent[name])?.header;

  it('agrees when every value in the body is in its header', () => {
    const sent = { 'mcp-param-region': ' eu ', 'mcp-param-size': '42', 'mcp-param-dry': 'false' };
    expect(mismatch({ region: 'eu', size: 42, dry: false }, sent)).toBeUndefined();
    expect(mismatch({ region: 'ü' }, { 'mcp-param-region': '=?base64?w7w=?=' })).toBeUndefined();
  });

  it('needs no header for what is absent or null, and ignores one that is there', () => {
    expect(mismatch({}, {})).toBeUndefined();
    expect(mismatch({ region: null }, {})).toBeUndefined();
    expect(mismatch({ region: null }, { 'mcp-param-region': 'eu' })).toBeUndefined();
    expect(mismatch(undefined, { 'mcp-param-region': 'eu' })).toBeUndefined();
  });

  it.each([
    [{ region: 'eu' }, {}],
    [{ region: 'eu' }, { 'mcp-param-region': 'EU' }],
    [{ region: 'eu' }, { 'mcp-param-region': 'eu, eu' }],
    [{ region: '' }, {}],
    [{ region: 'eu' }, { 'mcp-param-region': '=?base64?ZXU?=' }],
  ])('disagrees: %j with %j', (args, sent) => {
    expect(mismatch(args, sent as Record<string, string>)).toBe('Mcp-Param-Region');
  });

  it('compares integers as numbers, written as strict decimals', () => {
    for (const text of ['42', '42.0', '42.00'])
      expect(mismatch({ size: 42 }, { 'mcp-param-size': text })).toBeUndefined();
    for (const text of ['042', '0x2a', '42e0', '+42', ' 4 2', '42.', '42.5', '4_2', '']) {
      expect(mismatch({ size: 42 }, { 'mcp-param-size': text })).toBe('Mcp-Param-Size');
    }
    expect(mismatch({ size: -7 }, { 'mcp-param-size': '-7' })).toBeUndefined();
    expect(mismatch({ size: '42' }, { 'mcp-param-size': '42.0' })).toBe('Mcp-Param-Size');
  });

  it('compares booleans in lower case', () => {
    expect(mismatch({ dry: true }, { 'mcp-param-dry': 'true' })).toBeUndefined();
    expect(mismatch({ dry: true }, { 'mcp-param-dry': 'True' })).toBe('Mcp-Param-Dry');
  });

  it('reads own values only', () => {
    const deep = declared(schema({ constructor: schema({ name: annotated('string', 'Name') }) }));
    expect(paramHeaderMismatch(deep, {}, () => undefined)).toBeUndefined();
    expect(paramHeaderMismatch(deep, { constructor: { name: 'x' } }, () => undefined)?.header).toBe('Mcp-Param-Name');
  });
});

describe('an outbound call', () => {
  const headers = declared(
    schema({
      region: annotated('string', 'Region'),
      box: schema({ size: annotated('integer', 'Size') }),
      dry: annotated('boolean', 'Dry'),
    }),
  );

  it('carries the final arguments in its headers', () => {
    expect(paramHeaders(headers, { region: 'São Paulo', box: { size: 3 }, dry: false })).toEqual({
      'mcp-param-region': '=?base64?U8OjbyBQYXVsbw==?=',
      'mcp-param-size': '3',
      'mcp-param-dry': 'false',
    });
  });

  it('carries nothing for what is absent, null, no scalar, or an integer without a reliable text', () => {
    expect(paramHeaders(headers, { region: null, box: { size: 1e21 }, dry: ['x'] })).toEqual({});
    expect(paramHeaders(headers, { box: 'text' })).toEqual({});
    expect(paramHeaders(headers, undefined)).toEqual({});
  });

  it('satisfies its own inbound check', () => {
    for (const args of [{ region: ' =?x', box: { size: 0 } }, { dry: true, region: '' }, { region: 'a\r\nb' }]) {
      const sent = paramHeaders(headers, args);
      expect(paramHeaderMismatch(headers, args, (name) => sent[name])).toBeUndefined();
    }
  });
});

// Generates requests that are almost right, quite wrong, or no requests at all: from the contract's own schemas and from a list of what
// has broken parsers before. Pure: fast-check arbitraries only.
import * as fc from 'fast-check';

const deep = (depth: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

export const nastyTexts = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '\udfff\ud800',
  '\u{1f511}',
  '\ufeff',
  '\u202e',
  '../../etc/passwd',
  '..',
  '.',
  '%00',
  '%zz',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  "'; drop table users; --",
  '"',
  '\\',
  `\${7*7}`,
  '{{TOKEN}}',
  '{{user.id}}',
  '<script>',
  'null',
  'undefined',
  'NaN',
  '1e400',
  '-0',
  '*',
  '%',
  'usr_',
  'usr_0000000000000000000000',
  'default',
  'a'.repeat(129),
  'a'.repeat(5_000),
  'é'.repeat(300),
  '\n',
  '\r\nx-evil: 1',
  '\u2028',
  'http://',
  'file:///etc/passwd',
  'http://169.254.169.254/',
  'https://user:pass@example.test/',
  'http://[::1',
  '1970-01-01T00:00:00.000Z',
  '9999-99-99',
  '+275760-09-13T00:00:00.001Z',
];
const nastyNumbers = [-1, 0, 1.5, 1e308, -1e308, 2 ** 31, 2 ** 53, Number.MIN_VALUE, -0, 86_401, 1001];

export const nasty: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(...nastyTexts),
  fc.constantFrom<unknown>(
    ...nastyNumbers,
    null,
    true,
    false,
    [],
    {},
    [[]],
    [null],
    deep(30),
    deep(70),
    Array.from({ length: 1_001 }, () => 'x'),
    { length: -1 },
    { toJSON: 1 },
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.jsonValue({ maxDepth: 3 }),
);

interface Schema {
  type?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minimum?: number;
  maximum?: number;
  format?: string;
}

/** Values that some field of the contract accepts, so that generated requests get past the first check now and then. */
const plausible = [
  'alice',
  'default',
  'demo',
  'TOKEN',
  'echo',
  'whoami',
  'name 1',
  'x',
  'https://example.test/mcp',
  '2026-01-01T00:00:00.000Z',
  'cred_x',
  'whoami*',
];

function fitting(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => almost(choice, depth)));
  switch (schema.type) {
    case 'string':
      return schema.format === 'date-time'
        ? fc.date({ noInvalidDate: true }).map((date) => date.toISOString())
        : fc.oneof(fc.constantFrom(...plausible), fc.string({ unit: 'grapheme', maxLength: 20 }));
    case 'integer':
    case 'number':
      return fc.integer({ min: Math.max(schema.minimum ?? -10, -1e6), max: Math.min(schema.maximum ?? 1e6, 1e6) });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(almost(schema.items ?? {}, depth + 1), { maxLength: 4 });
    case 'object': {
      const fields = Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, field]) => [name, almost(field, depth + 1)]),
      );
      const more =
        typeof schema.additionalProperties === 'object'
          ? fc.dictionary(
              fc.constantFrom('TOKEN', 'a', ...nastyTexts.slice(0, 24)),
              almost(schema.additionalProperties, depth + 1),
              { maxKeys: 3 },
            )
          : fc.constant({});
      // Most required fields are there most of the time; otherwise nothing but their absence would ever be tested.
      const named = fc.record(fields, { requiredKeys: schema.required ?? [] });
      return fc.tuple(named, more).map(([known, other]) => ({ ...other, ...known }));
    }
    default:
      return depth > 4 ? fc.constant(1) : fc.jsonValue({ maxDepth: 2 });
  }
}

/** A value of the schema with nasty ones sprinkled in. */
export function almost(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: depth === 0 ? 30 : 12, arbitrary: fitting(schema, depth) },
    { weight: 1, arbitrary: nasty },
  );
}

/** Whole bodies: JSON of a value, now and then with keys that no serializer would write, or no JSON at all. */
export function bodies(value: fc.Arbitrary<unknown>): fc.Arbitrary<Buffer> {
  const text = value.map((it) => JSON.stringify(it) ?? 'null');
  const spoilt = fc
    .tuple(text, fc.integer({ min: 0, max: 13 }), fc.nat(200))
    .map(([json, how, at]) => spoil(json, how, at));
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
  return fc.oneof(
    { weight: 14, arbitrary: text.map((json) => Buffer.from(json)) },
    { weight: 4, arbitrary: spoilt },
    { weight: 1, arbitrary: bytes },
  );
}

function spoil(json: string, how: number, at: number): Buffer {
  const inObject = (insert: string) =>
    json.startsWith('{') ? `{${insert}${json === '{}' ? '' : ','}${json.slice(1)}` : json;
  const variants: (() => string | Buffer)[] = [
    () => inObject('"__proto__":{"isAdmin":true}'),
    () => inObject('"constructor":{"prototype":{"isAdmin":true}}'),
    () => inObject(`"k${at}":1e400`),
    () => inObject(`"k${at}":${'9'.repeat(400)}`),
    () => json.slice(0, Math.max(0, json.length - 1 - (at % 5))),
    () => `${json}${json}`,
    () => `\ufeff${json}`,
    () => Buffer.from(json, 'utf16le'),
    () => Buffer.concat([Buffer.from(json.slice(0, at)), Buffer.from([0xc3, 0x28]), Buffer.from(json.slice(at))]),
    () => json.replace(/"([a-z])/i, '"\\ud800$1'),
    () => json.replace(/"([a-z])/i, '"\\u0000$1'),
    () => '['.repeat(at * 50) + ']'.repeat(at * 50),
    () => `[${'0,'.repeat(at * 20)}0]`,
    () => ' '.repeat(at),
  ];
  const made = (variants[how] as () => string | Buffer)();
  return typeof made === 'string' ? Buffer.from(made) : made;
}

const latin = (text: string) => text.replace(/[^\x20-\x7e\x80-\xff]/g, '?');
/** Header values that HTTP allows and nobody expects. */
const headerText = fc.oneof(fc.constantFrom(...nastyTexts).map(latin), fc.string({ maxLength: 150 }).map(latin));

const oddHeaders: fc.Arbitrary<string[]> = fc
  .array(
    fc.oneof(
      fc.tuple(
        fc.constantFrom(
          'x-alloy-userid',
          'x-credential-id',
          'x-mcp-server-id',
          'idempotency-key',
          'x-request-id',
          'traceparent',
          'x-valet-strict-user',
          'mcp-session-id',
          'x-forwarded-for',
          'x-http-method-override',
          'cookie',
          'range',
          'if-none-match',
          'last-event-id',
          'x-redirect-uri',
          'tracestate',
          'baggage',
        ),
        headerText,
      ),
      fc.tuple(
        fc.constant('accept'),
        fc.constantFrom(
          '*/*',
          'application/json',
          'text/event-stream',
          'text/html',
          'application/json, text/event-stream',
          'application/json;q=0',
          ';;;',
          ',',
        ),
      ),
      fc.tuple(fc.constant('content-encoding'), fc.constantFrom('gzip', 'br', 'identity', 'x')),
      fc.tuple(
        fc.constant('mcp-protocol-version'),
        fc.constantFrom('2026-07-28', '2025-03-26', '2025-11-25', '2024-11-05', '1', ''),
      ),
      fc.tuple(fc.constant('mcp-method'), fc.constantFrom('tools/call', 'tools/list', 'x', '')),
      fc.tuple(fc.constant('mcp-name'), fc.constantFrom('demo__echo', '=?base64?ZGVtbw==?=', '=?base64?@?=', 'x')),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => pairs.flat());
/** Extra headers, doubles included; mostly none, so that bodies are read. Never framing: raw sockets do that. */
export const headerLists: fc.Arbitrary<string[]> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<string[]>([]) },
  { weight: 2, arbitrary: oddHeaders },
);

export const contentTypes = fc.oneof(
  { weight: 30, arbitrary: fc.constant('application/json') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'application/json; charset=utf-8',
      'application/json;charset=utf-16',
      'APPLICATION/JSON',
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/jsonp',
      '',
      'json',
      'application/json, text/plain',
      'application/json;;;',
      'a/b/c',
    ),
  },
);

/** One path segment, encoded so that an HTTP client sends it; sometimes broken. */
export const segments = (good: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...good) },
    { weight: 2, arbitrary: fc.constantFrom(...nastyTexts).map(encoded) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '%',
        '%zz',
        '%E0%A4%A',
        '%00',
        '%2e%2e',
        '%2F',
        '%252F',
        '%c0%af',
        ';a=b',
        'a%0d%0aX:1',
        `${'a'.repeat(600)}`,
      ),
    },
  );

/** Percent-encoding that takes lone surrogates too: as the bytes a sloppy client would send. */
function encoded(text: string): string {
  return [...Buffer.from(text, 'utf8')].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('') || '%20';
}

export const queries = (names: readonly string[]): fc.Arbitrary<string> =>
  fc
    .array(
      fc.tuple(
        fc.constantFrom(...names, 'limit', 'offset', 'cursor', 'nope', '__proto__', 'a[b]', 'constructor'),
        fc.oneof(
          fc.constantFrom('1', '-1', '0', '1e9', '99999999999999999999', 'NaN', 'alice', 'demo', 'ok', ''),
          fc.constantFrom(...nastyTexts).map(encoded),
          fc.constantFrom('%', '%E0%A4%A', '%00'),
        ),
      ),
      { maxLength: 3 },
    )
    .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.map(([name, value]) => `${name}=${value}`).join('&')}`));

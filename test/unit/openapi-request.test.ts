// Properties of REST requests: whatever a caller sends, it stays in its place, and a server that decodes the request finds what was sent.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidParameters } from '../../packages/server/src/connectors/openapi/check.ts';
import { importDocument } from '../../packages/server/src/connectors/openapi/import.ts';
import { buildRequest } from '../../packages/server/src/connectors/openapi/request.ts';

const string = { type: 'string' };
const at = (name: string, place: string, more: object = {}) => ({
  name,
  in: place,
  required: true,
  schema: string,
  ...more,
});
const array = { schema: { type: 'array', items: string } };
const field = { type: 'object', properties: { text: string } };
const { compiled } = importDocument({
  openapi: '3.1.0',
  servers: [{ url: 'https://api.example.com/v1' }],
  paths: {
    '/a/{first}/b/{second}': {
      get: { operationId: 'path', parameters: [at('first', 'path'), at('second', 'path', { style: 'label' })] },
    },
    '/q': {
      get: {
        operationId: 'query',
        parameters: [at('one', 'query'), at('many', 'query', array), at('free', 'query', { allowReserved: true })],
      },
    },
    '/f': {
      post: {
        operationId: 'form',
        requestBody: { content: { 'application/x-www-form-urlencoded': { schema: field } } },
      },
    },
    '/j': { post: { operationId: 'json', requestBody: { content: { 'application/json': { schema: {} } } } } },
    '/m': {
      post: {
        operationId: 'multipart',
        requestBody: {
          content: { 'multipart/form-data': { schema: { type: 'object', additionalProperties: string } } },
        },
      },
    },
  },
});
const build = (id: string, args: Record<string, unknown>) => {
  const operation = compiled.operations.find((one) => one.id === id);
  if (operation === undefined) throw new Error(`there is no ${id}`);
  return buildRequest(compiled, operation, args);
};

const nasty = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1 }),
  fc.string({
    unit: fc.constantFrom(
      '.',
      '/',
      '\\',
      '%',
      '2',
      'e',
      'E',
      'f',
      '?',
      '#',
      '&',
      '=',
      ';',
      '@',
      ':',
      ' ',
      '\r',
      '\n',
      '\t',
      '\0',
      'é',
    ),
    minLength: 1,
  }),
);
const read = (url: string) => new URL(url);

describe('a path parameter', () => {
  it('never leaves its segment, through any URL parser', () => {
    fc.assert(
      fc.property(nasty, nasty, (first, second) => {
        let url: string;
        try {
          ({ url } = build('path', { first, second }));
        } catch (error) {
          // Only dots are refused; as the label style adds one, a single dot makes two.
          expect(error).toBeInstanceOf(InvalidParameters);
          expect(['.', '..'].includes(first) || second === '.').toBe(true);
          return;
        }
        const { origin, pathname, search, hash, href } = read(url);
        expect([origin, search, hash, href]).toEqual(['https://api.example.com', '', '', url]);
        const segments = pathname.split('/').slice(1);
        expect(segments).toHaveLength(5);
        expect(segments.map((segment) => decodeURIComponent(segment))).toEqual([
          'v1',
          'a',
          first.toWellFormed(),
          'b',
          `.${second.toWellFormed()}`,
        ]);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('query parameters', () => {
  it('are found as they were sent, and no value adds another one', () => {
    fc.assert(
      fc.property(nasty, fc.array(nasty, { minLength: 1, maxLength: 4 }), nasty, (one, many, free) => {
        const { searchParams, pathname, hash } = read(build('query', { one, many, free }).url);
        expect([pathname, hash]).toEqual(['/v1/q', '']);
        const texts = (values: string[]) => values.map((value) => value.toWellFormed());
        expect([searchParams.getAll('one'), searchParams.getAll('many'), searchParams.getAll('free')]).toEqual([
          texts([one]),
          texts(many),
          texts([free]),
        ]);
        expect([...searchParams.keys()]).toHaveLength(2 + many.length);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('bodies', () => {
  it('as forms and as JSON are read back as they were sent', () => {
    fc.assert(
      fc.property(nasty, fc.jsonValue(), (text, value) => {
        expect([...new URLSearchParams(String(build('form', { text }).body))]).toEqual([['text', text.toWellFormed()]]);
        if (value === null) return;
        const { body } = build('json', { body: value });
        expect(JSON.parse(String(body))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 1_000 },
    );
  });

  it('as multipart are read back by a parser, whatever their names', async () => {
    const name = fc.string({
      unit: fc.constantFrom('a', '"', '\r', '\n', ';', '=', ' ', 'é', '-'),
      minLength: 1,
      maxLength: 8,
    });
    const property = fc.asyncProperty(name, nasty, async (key, text) => {
      const { body, headers } = build('multipart', { requestBody: { [key]: text } });
      const form = await new Response(body as Uint8Array, {
        headers: { 'content-type': headers['content-type'] ?? '' },
      }).formData();
      const entries = [...form.entries()];
      expect(entries).toHaveLength(1);
      expect(entries[0]?.[1]).toBe(text.toWellFormed());
    });
    await fc.assert(property, { numRuns: 300 });
  });
});

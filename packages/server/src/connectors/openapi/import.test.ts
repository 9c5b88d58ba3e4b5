// What becomes of documents: usable ones whole, odd ones with warnings, useless ones refused with their places.
import { describe, expect, it } from 'vitest';
import { actionItems } from './describe.ts';
import { DocumentRefused, type Place } from './document.ts';
import { importDocument } from './import.ts';

const info = { title: 'Pets', version: '1' };
const open = (paths: unknown, more: object = {}) => ({ openapi: '3.1.0', info, paths, ...more });
const ok = { responses: {} };

function placesOf(input: unknown): readonly Place[] {
  try {
    importDocument(input);
  } catch (error) {
    if (error instanceof DocumentRefused) return error.places;
    throw error;
  }
  throw new Error('the document was not refused');
}

const schemaOf = (input: unknown, name: string): Record<string, unknown> => {
  const item = actionItems(importDocument(input).compiled).find((one) => one.name === name);
  if (item === undefined) throw new Error(`there is no ${name}`);
  return item.inputSchema;
};

describe('a document that cannot be used', () => {
  it.each([
    ['is empty', ' ', '', 'The document is empty'],
    ['is no text of a kind', '{"openapi": [', '', /neither JSON nor YAML: .*\(line 1, column \d+\)/],
    ['is a list', [], '', 'An OpenAPI document is an object'],
    ['has no version', { info }, '', /Neither openapi nor swagger/],
    ['has a version of the future', { openapi: '4.0.0', paths: {} }, '/openapi', /Only OpenAPI/],
    ['has a version of the past', { swagger: '1.2', paths: {} }, '/swagger', /Only OpenAPI/],
    ['has no paths', { openapi: '3.0.0', info }, '', /paths must be an object/],
    ['has paths of another kind', { swagger: '2.0', paths: [] }, '/paths', /paths must be an object/],
  ])('is refused when it %s', (_, input, path, message) => {
    expect(placesOf(input)).toEqual([{ path, message: expect.stringMatching(message) }]);
  });

  it('is refused with every wrong place, at most 20, when no operation is left', () => {
    const paths = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`/p${n}`, { get: 'nonsense' }]));
    const places = placesOf(open(paths));
    expect(places).toHaveLength(20);
    expect(places[0]).toEqual({ path: '/paths/~1p0/get', message: 'An operation must be an object' });
  });
});

describe('one bad operation', () => {
  it('is reported with its place and costs no other one', () => {
    const { compiled, warnings } = importDocument(
      open({
        '/good': { get: { operationId: 'good', ...ok } },
        '/null': null,
        '/bad': { post: { operationId: 'bad', requestBody: { $ref: '#/components/nothing' } }, get: null },
        'no-slash': { get: ok },
        '/also': { post: { operationId: 'also', parameters: [null, { in: 'query' }, { name: 'q', in: 'query' }] } },
        '/out': { $ref: 'https://example.com/paths.json#/x' },
      }),
    );
    expect(compiled.operations.map(({ id }) => id)).toEqual(['good', 'also']);
    expect(compiled.operations[1]?.parameters.map(({ name }) => name)).toEqual(['q']);
    expect(warnings.map(({ path }) => path)).toEqual([
      '/paths/~1null',
      '/paths/~1bad/post/requestBody',
      '/paths/~1bad/get',
      '/paths/no-slash',
      '/paths/~1out',
      '/paths/~1also/post/parameters/0',
      '/paths/~1also/post/parameters/1',
    ]);
    expect(warnings[4]?.message).toContain('Only references inside the document are followed');
  });
});

describe('names of operations', () => {
  it('are the operationIds, exactly, and made from method and path where there is none of its own', () => {
    const { compiled, warnings } = importDocument(
      open({
        '/a': { get: { operationId: 'repos/get-content' }, post: { operationId: 'repos/get-content' } },
        '/users/{user-id}/ünï': { get: {}, delete: {} },
        '/users/{user_id}/ünï': { get: {} },
        '/b': { put: { operationId: 5 } },
      }),
    );
    expect(compiled.operations.map(({ id }) => id)).toEqual([
      'repos/get-content',
      'post_a',
      'get_users_user_id_ünï',
      'delete_users_user_id_ünï',
      'get_users_user_id_ünï_2',
      'put_b',
    ]);
    expect(warnings).toContainEqual({
      path: '/paths/~1a/post/operationId',
      message: 'Another operation has this operationId: a name was made',
    });
  });
});

describe('schemas', () => {
  it('that refer to themselves stay what they are', () => {
    const Node = {
      type: 'object',
      properties: {
        name: { type: 'string' },
        children: { type: 'array', items: { $ref: '#/components/schemas/Node' } },
      },
    };
    const body = { content: { 'application/json': { schema: { $ref: '#/components/schemas/Node' } } } };
    const schema = schemaOf(
      open({ '/tree': { post: { operationId: 'grow', requestBody: body } } }, { components: { schemas: { Node } } }),
      'grow',
    );
    expect(schema).toEqual({
      type: 'object',
      properties: { name: { type: 'string' }, children: { type: 'array', items: { $ref: '#/$defs/Node' } } },
      additionalProperties: false,
      $defs: { Node: expect.objectContaining({ type: 'object' }) },
    });
  });

  it('of 3.0 say null and bounds in the words of 3.1', () => {
    const schema = {
      type: 'object',
      properties: {
        a: { type: 'string', nullable: true, enum: ['x'], example: 'x', 'x-junk': 1, xml: {} },
        b: { nullable: true, allOf: [{ $ref: '#/components/schemas/B' }] },
        c: { type: 'number', minimum: 1, exclusiveMinimum: true, maximum: 9, exclusiveMaximum: false },
      },
    };
    const requestBody = { content: { 'application/json': { schema } } };
    const input = {
      openapi: '3.0.3',
      info,
      paths: { '/': { post: { operationId: 'p', requestBody } } },
      components: { schemas: { B: { type: 'object' } } },
    };
    expect(schemaOf(input, 'p')['properties']).toEqual({
      a: { type: ['string', 'null'], enum: ['x', null], examples: ['x'] },
      b: { anyOf: [{ allOf: [{ $ref: '#/$defs/B' }] }, { type: 'null' }] },
      c: { type: 'number', exclusiveMinimum: 1, maximum: 9 },
    });
  });

  it('of bodies are laid flat through references and allOf; read-only properties are not asked for', () => {
    const schemas = {
      Base: {
        type: 'object',
        required: ['id', 'kind'],
        properties: { id: { type: 'string', readOnly: true }, kind: {} },
      },
      Pet: {
        allOf: [
          { $ref: '#/components/schemas/Base' },
          { properties: { name: { type: 'string' } }, required: ['name'] },
        ],
      },
    };
    const body = { required: true, content: { 'application/json': { schema: { $ref: '#/components/schemas/Pet' } } } };
    const schema = schemaOf(
      open({ '/p': { post: { operationId: 'p', requestBody: body } } }, { components: { schemas } }),
      'p',
    );
    expect(schema['properties']).toEqual({ kind: {}, name: { type: 'string' } });
    expect(schema['required']).toEqual(['kind', 'name']);
  });

  it('are cut to what clients take, however large and deep they are', () => {
    const deep = (levels: number): object =>
      levels === 0 ? { type: 'string' } : { type: 'object', properties: { a: deep(levels - 1) } };
    const wide = Object.fromEntries(
      Array.from({ length: 3_000 }, (_, n) => [`p${n}`, { type: 'string', minLength: 1 }]),
    );
    const paths = Object.fromEntries(
      [deep(500), { type: 'object', properties: wide }].map((schema, n) => [
        `/${n}`,
        { post: { operationId: `op${n}`, requestBody: { content: { 'application/json': { schema } } } } },
      ]),
    );
    const [narrow, broad] = actionItems(importDocument(open(paths)).compiled);
    const depthOf = (value: unknown): number =>
      typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;
    expect(depthOf(narrow?.inputSchema)).toBeLessThan(32);
    expect(Object.keys(broad?.inputSchema['properties'] as object)).toHaveLength(3_000);
  });

  it('made endlessly wide by YAML anchors are cut and said to be', () => {
    const anchors = Array.from(
      { length: 25 },
      (_, n) => `  b${n + 1}: &b${n + 1} {type: object, properties: {x: *b${n}, y: *b${n}}}`,
    );
    const yaml = [
      'openapi: 3.1.0',
      'x-bomb:',
      '  b0: &b0 {type: string}',
      ...anchors,
      'paths:',
      '  /bomb: {post: {operationId: bomb, requestBody: {content: {application/json: {schema: *b25}}}}}',
    ].join('\n');
    const { compiled, warnings } = importDocument(yaml);
    expect(warnings[0]?.message).toContain('too large');
    expect(JSON.stringify(actionItems(compiled)).length).toBeLessThan(200_000);
  });
});

describe('a document as YAML', () => {
  it('is the same as the document as JSON', () => {
    const yaml =
      'openapi: 3.1.0\ninfo: {title: Pets, version: "1"}\npaths:\n  /a:\n    get: {operationId: a, responses: {}}\n';
    expect(importDocument(yaml)).toEqual(
      importDocument(JSON.stringify(open({ '/a': { get: { operationId: 'a', ...ok } } }))),
    );
  });

  it('may have its version unquoted', () => {
    expect(importDocument('swagger: 2.0\npaths: {/a: {get: {}}}').compiled.openapi).toBe('2.0');
  });
});

describe('the address of an API', () => {
  const at = (servers: unknown) => importDocument(open({}, { servers })).compiled.baseUrl;
  it('has its variables filled with their defaults', () => {
    const variables = { region: { default: 'eu' }, v: { default: 2 } };
    expect(at([{ url: 'https://{region}.example.com/v{v}', variables }])).toBe('https://eu.example.com/v2');
  });
  it('is unknown where the document names none that is whole', () => {
    expect(at([{ url: '/v1' }, { url: 'https://{host}/x' }, { url: 'ftp://example.com' }, null])).toBeNull();
  });
  it('is found in a 2.0 document, https before http', () => {
    const input = { swagger: '2.0', host: 'api.example.com', basePath: '/v1', schemes: ['http', 'https'], paths: {} };
    expect(importDocument(input).compiled.servers).toEqual(['https://api.example.com/v1', 'http://api.example.com/v1']);
  });
  it('is found where a 2.0 document writes it oddly', () => {
    const input = { swagger: '2.0', host: 'https://api.example.com', basePath: 'v1', paths: {} };
    expect(importDocument(input).compiled.servers).toEqual(['https://api.example.com/v1']);
  });
  it('may differ for a path or an operation', () => {
    const servers = [{ url: 'https://files.example.com' }];
    const { operations } = importDocument(
      open(
        { '/a': { servers, get: {}, put: { servers: [{ url: '/up' }] } } },
        { servers: [{ url: 'https://api.example.com/v1' }] },
      ),
    ).compiled;
    expect(operations.map(({ baseUrl }) => baseUrl)).toEqual([
      'https://files.example.com',
      'https://api.example.com/up',
    ]);
  });
});

describe('a compiled document', () => {
  it('is plain JSON: stored and read again it describes the same', () => {
    const { compiled } = importDocument(open({ '/a/{id}': { get: { operationId: 'a', tags: ['t'] } } }));
    const again = JSON.parse(JSON.stringify(compiled)) as typeof compiled;
    expect(again).toEqual(compiled);
    expect(actionItems(again)).toEqual(actionItems(compiled));
    expect(actionItems(again)[0]).toMatchObject({
      name: 'a',
      annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true },
      _meta: { 'mcp-valet/group': 't' },
      inputSchema: { properties: { id: { type: 'string' } }, required: ['id'] },
    });
  });

  it('with a thousand operations and names like __proto__ and constructor keeps them apart', () => {
    const paths = Object.fromEntries(
      Array.from({ length: 1_200 }, (_, n) => [
        `/r${n}/{__proto__}`,
        { get: { operationId: `op${n}`, parameters: [{ name: 'constructor', in: 'query' }] } },
      ]),
    );
    const items = actionItems(importDocument(open(paths)).compiled);
    expect(items).toHaveLength(1_200);
    expect(Object.keys(items[7]?.inputSchema['properties'] as object).sort()).toEqual(['__proto__', 'constructor']);
  });
});

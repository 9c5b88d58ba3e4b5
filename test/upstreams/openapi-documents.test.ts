// Documents as large and as odd as vendors write them: thousands of operations, schemas that refer to each other in circles, junk beside
// what is needed. Imported in time, and each operation can be described and called.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { InvalidParameters } from '../../packages/server/src/connectors/openapi/check.ts';
import { actionItems } from '../../packages/server/src/connectors/openapi/describe.ts';
import { type CompiledDocument, DocumentRefused } from '../../packages/server/src/connectors/openapi/document.ts';
import { importDocument } from '../../packages/server/src/connectors/openapi/import.ts';
import { buildRequest, NoBaseUrl } from '../../packages/server/src/connectors/openapi/request.ts';

const folder = mkdtempSync(join(tmpdir(), 'openapi-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const words = 'Lorem ipsum dolor sit amet, consetetur sadipscing elitr. '.repeat(8);
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });

/** Like the largest ones that vendors publish: every schema knows some others and itself, every operation refers to several. */
function vastDocument(operations: number, schemas: number): object {
  const schemaOf = (n: number) => ({
    type: 'object',
    description: words,
    required: ['id'],
    discriminator: { propertyName: 'kind' },
    'x-vendor': { anything: [words] },
    allOf: [ref(`Schema${(n * 7 + 1) % schemas}`)],
    properties: {
      id: { type: 'string', readOnly: true },
      kind: { type: 'string', enum: ['a', 'b', null], nullable: true },
      self: ref(`Schema${n}`),
      others: {
        type: 'array',
        items: { oneOf: [ref(`Schema${(n + 1) % schemas}`), ref(`Schema${(n * 3) % schemas}`)] },
      },
      map: { type: 'object', additionalProperties: ref(`Schema${(n + 5) % schemas}`) },
    },
  });
  const operationOf = (n: number) => ({
    operationId: n % 3 === 0 ? undefined : n % 100 === 1 ? 'twice' : `operation/${n} ünï`,
    summary: words,
    description: words,
    tags: [`Tag ${n % 40}`],
    parameters: [
      { $ref: '#/components/parameters/Page' },
      { name: 'filter', in: 'query', style: 'deepObject', schema: ref(`Schema${n % schemas}`) },
    ],
    requestBody: n % 2 === 0 ? { content: { 'application/json': { schema: ref(`Schema${n % schemas}`) } } } : undefined,
    responses: {
      200: { description: words, content: { 'application/json': { schema: ref(`Schema${n % schemas}`) } } },
      default: { $ref: '#/components/responses/Error' },
    },
  });
  const range = (count: number) => Array.from({ length: count }, (_, n) => n);
  return {
    openapi: '3.0.3',
    info: { title: 'Vast', version: '1' },
    servers: [{ url: 'https://{host}/v1', variables: { host: { default: 'api.example.com' } } }],
    paths: Object.fromEntries(
      range(operations).map((n) => [
        `/thing${n}/{id}`,
        { parameters: [{ $ref: '#/components/parameters/Id' }], [n % 2 === 0 ? 'post' : 'get']: operationOf(n) },
      ]),
    ),
    components: {
      parameters: {
        Id: { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
        Page: { name: 'page', in: 'query', schema: { type: 'integer' } },
      },
      responses: { Error: { description: words } },
      schemas: Object.fromEntries(range(schemas).map((n) => [`Schema${n}`, schemaOf(n)])),
    },
  };
}

describe('a document of several megabytes', () => {
  it.each([
    ['JSON', ''],
    // JSON is YAML: the comment takes the other reader.
    ['YAML', '# YAML\n'],
  ])('as %s imports in seconds, all of its 2,000 operations described', async (format, prefix) => {
    const file = join(folder, `vast.${format}`);
    const text = prefix + JSON.stringify(vastDocument(2_000, 800));
    writeFileSync(file, text);
    expect(text.length).toBeGreaterThan(4_000_000);
    const script = fileURLToPath(new URL('./openapi-measure.ts', import.meta.url));
    const flags = ['--conditions=@mcp-valet/source', '--import', 'tsx'];
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, file], { timeout: 50_000 });
    const measured = JSON.parse(stdout);
    console.info(`${(text.length / 1e6).toFixed(1)} MB of ${format}:`, stdout.slice(0, 130));
    expect(measured.items).toBe(2_000);
    // Processor time: other suites run beside this one.
    expect(measured.usedCpuMs).toBeLessThan(15_000);
    expect(measured.peakMb).toBeLessThan(512);
  });
});

/** Schemas of tools must stay below the limits for upstreams: 2,000 parts, 32 deep. */
function sizeOf(value: unknown, depth = 0): { parts: number; depth: number } {
  if (typeof value !== 'object' || value === null) return { parts: 0, depth };
  return Object.values(value)
    .map((child) => sizeOf(child, depth + 1))
    .reduce((sum, child) => ({ parts: sum.parts + child.parts, depth: Math.max(sum.depth, child.depth) }), {
      parts: 1,
      depth,
    });
}

/** Describes and calls every operation; only the failures that a caller is told of may come. */
function useAll(compiled: CompiledDocument): void {
  const items = actionItems(compiled);
  expect(new Set(items.map(({ name }) => name)).size).toBe(items.length);
  for (const [index, item] of items.entries()) {
    const size = sizeOf(item.inputSchema);
    expect(size.parts).toBeLessThanOrEqual(2_000);
    expect(size.depth).toBeLessThanOrEqual(32);
    const operation = compiled.operations[index];
    if (operation === undefined) throw new Error('an operation is not described');
    const names = Object.keys(item.inputSchema['properties'] ?? {});
    for (const value of ['x', 1, [1], { a: { b: [1] } }, null]) {
      try {
        const built = buildRequest(compiled, operation, Object.fromEntries(names.map((name) => [name, value])));
        expect(new URL(built.url).href).toContain('://');
      } catch (error) {
        if (!(error instanceof InvalidParameters || error instanceof NoBaseUrl)) throw error;
      }
    }
  }
}

describe('an odd document', () => {
  it('with schemas in circles is described within the limits for tools', () => {
    const { compiled, warnings } = importDocument(vastDocument(60, 50));
    expect(compiled.operations).toHaveLength(60);
    expect(warnings.map(({ message }) => message)).toEqual(
      ['Another operation has this operationId: a name was made'].slice(0, warnings.length),
    );
    useAll(compiled);
  });

  const odd: unknown = {
    openapi: '3.0.1',
    info: { title: 'Odd', version: 1 },
    servers: [{ url: 'https://api.example.com' }],
    paths: {
      '/a/{id}': {
        summary: 'x',
        'x-junk': [null],
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
        get: {
          operationId: 'a',
          parameters: [{ $ref: '#/components/parameters/Q' }],
          responses: { 200: { $ref: '#/components/responses/R' } },
        },
        post: {
          operationId: 'b',
          requestBody: { $ref: '#/components/requestBodies/B' },
          security: [{ k: [] }, {}],
          callbacks: { x: { '{$request.body#/url}': { post: {} } } },
        },
      },
      '/c': { $ref: '#/components/pathItems/C' },
      '/empty': {},
    },
    components: {
      parameters: {
        Q: { name: 'q', in: 'query', content: { 'application/json': { schema: { $ref: '#/components/schemas/S' } } } },
      },
      requestBodies: {
        B: {
          content: {
            'multipart/form-data': {
              schema: { $ref: '#/components/schemas/S' },
              encoding: { f: { contentType: 'image/png, image/jpeg' } },
            },
          },
        },
      },
      responses: { R: { content: { 'application/json': {} } } },
      pathItems: {
        C: {
          put: {
            operationId: 'c',
            requestBody: { content: { 'application/json': { schema: { type: 'array', items: {} } } } },
          },
        },
      },
      schemas: {
        S: {
          type: 'object',
          properties: { f: { type: 'string', format: 'binary' }, s: { $ref: '#/components/schemas/S' } },
          allOf: [{ $ref: '#/components/schemas/S' }],
        },
      },
      securitySchemes: { k: { type: 'apiKey', in: 'header', name: 'X-K' } },
    },
  };
  const oddSwagger: unknown = {
    swagger: '2.0',
    info: { title: 'Odd', version: '1' },
    host: 'api.example.com',
    schemes: ['https'],
    consumes: ['application/json'],
    paths: {
      '/a/{id}': {
        parameters: [{ $ref: '#/parameters/Id' }],
        post: {
          operationId: 'a',
          parameters: [{ name: 'b', in: 'body', schema: { $ref: '#/definitions/D' } }],
          security: [{ k: [] }],
        },
        put: {
          operationId: 'b',
          consumes: ['multipart/form-data'],
          parameters: [
            { name: 'f', in: 'formData', type: 'file' },
            { name: 'l', in: 'formData', type: 'array', items: { type: 'string' }, collectionFormat: 'multi' },
          ],
        },
      },
    },
    parameters: { Id: { name: 'id', in: 'path', required: true, type: 'string' } },
    definitions: { D: { type: 'object', properties: { d: { $ref: '#/definitions/D' } } } },
    securityDefinitions: {
      k: { type: 'apiKey', in: 'query', name: 'key' },
      b: { type: 'basic' },
      o: { type: 'oauth2', flow: 'accessCode' },
    },
  };

  it.each([
    ['3.0', odd, ['a', 'b', 'c']],
    ['2.0', oddSwagger, ['a', 'b']],
  ])('of %s is used whole', (_, document, names) => {
    const { compiled, warnings } = importDocument(document);
    expect(compiled.operations.map(({ id }) => id)).toEqual(names);
    expect(warnings).toEqual([]);
    useAll(compiled);
  });

  it('with any part replaced by junk is refused with places or used without what is wrong; nothing else happens', () => {
    const junk = fc.constantFrom<unknown>(
      null,
      true,
      0,
      '',
      'junk',
      [],
      [null],
      {},
      { $ref: '#/paths' },
      { $ref: '#' },
      { $ref: '#/components/schemas/S' },
      { $ref: 'https://example.com/x' },
      { $ref: 5 },
      { type: ['string', 7] },
      { constructor: 1, toString: null },
    );
    const placesIn = (value: unknown, path: string[] = []): string[][] =>
      typeof value === 'object' && value !== null
        ? Object.entries(value).flatMap(([key, child]) => [[...path, key], ...placesIn(child, [...path, key])])
        : [];
    const documents = [odd, oddSwagger];
    const change = fc.constantFrom(
      ...documents.flatMap((document, index) => placesIn(document).map((path) => ({ index, path }))),
    );
    let used = 0;
    const property = fc.property(fc.array(fc.tuple(change, junk), { minLength: 1, maxLength: 3 }), (changes) => {
      const index = changes[0]?.[0].index ?? 0;
      const document = structuredClone(documents[index]);
      for (const [{ index: of, path }, value] of changes) if (of === index) replaceAt(document, path, value);
      try {
        const { compiled, warnings } = importDocument(document);
        for (const { path, message } of warnings)
          expect([path.startsWith('/'), message.length > 0]).toEqual([true, true]);
        useAll(JSON.parse(JSON.stringify(compiled)) as CompiledDocument);
        used++;
      } catch (error) {
        if (!(error instanceof DocumentRefused)) throw error;
        expect(error.places.length).toBeGreaterThan(0);
      }
    });
    // Met once: a schema made of itself, asked for a property that it has not.
    fc.assert(property, {
      numRuns: 1_000,
      examples: [
        [
          [
            [{ index: 0, path: ['paths', '/a/{id}', 'parameters', '0', 'schema'] }, null],
            [{ index: 0, path: ['components', 'schemas', 'S', 'properties'] }, null],
          ],
        ],
      ],
    });
    expect(used).toBeGreaterThan(300);
  });
});

function replaceAt(document: unknown, path: readonly string[], value: unknown): void {
  let owner = document as Record<string, unknown>;
  for (const key of path.slice(0, -1)) {
    const next = owner[key];
    if (typeof next !== 'object' || next === null) return;
    owner = next as Record<string, unknown>;
  }
  owner[path.at(-1) ?? ''] = value;
}

// Types of tools as source: whatever names, descriptions and schemas a server sends, the text compiles, says no more than it was told, and holds
// nothing of the server outside of comments and literals.
import { type ToolTypesOptions, toolTypesOf } from '@mcp-valet/client/codegen';
import { metaTools } from '@mcp-valet/shared';
import fc from 'fast-check';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const options: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  target: ts.ScriptTarget.ES2023,
  noLib: true,
  module: ts.ModuleKind.ES2022,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  types: [],
  noEmit: true,
};
/** As much of a standard library as the compiler needs: the whole one takes longer than all tests here. */
const lib = `interface Array<T> { readonly length: number; [n: number]: T } interface ReadonlyArray<T> { readonly length: number }
interface Boolean {} interface Function {} interface CallableFunction {} interface NewableFunction {} interface IArguments {}
interface Number {} interface Object {} interface RegExp {} interface String {}`;
/** As much of the SDK as the text is about. */
const sdk = `export interface ToolRegistry { execute_action_alloy: { args: { connectorId: string }; output: unknown } }
export declare function execute<N extends keyof ToolRegistry>(tool: N, args: ToolRegistry[N]['args']): ToolRegistry[N]['output'];`;

const parsed = new Map<string, ts.SourceFile>();
const host = ts.createCompilerHost(options);

/** What the compiler says about these files. */
function errorsOf(files: Record<string, string>): string[] {
  const texts: Record<string, string> = { '/lib.d.ts': lib, '/sdk.ts': sdk, ...files };
  const own: ts.CompilerHost = {
    ...host,
    fileExists: (name) => Object.hasOwn(texts, name) || host.fileExists(name),
    readFile: (name) => texts[name] ?? host.readFile(name),
    resolveModuleNames: (names) => names.map(() => ({ resolvedFileName: '/sdk.ts', extension: ts.Extension.Ts })),
    getSourceFile: (name, target) => {
      const text = texts[name];
      if (text !== undefined && name !== '/sdk.ts' && name !== '/lib.d.ts')
        return ts.createSourceFile(name, text, target);
      const file =
        parsed.get(name) ??
        (text === undefined ? host.getSourceFile(name, target) : ts.createSourceFile(name, text, target));
      if (file) parsed.set(name, file);
      return file;
    },
  };
  const program = ts.createProgram(Object.keys(texts), options, own);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

const tool = (inputSchema: unknown, more: object = {}) => ({ name: 'a__b', inputSchema, ...more }) as never;
const print = (schema: unknown, more?: ToolTypesOptions) => toolTypesOf([tool(schema)], more);

/** Errors of a use of the tool `a__b` with these schemas. */
function use(input: unknown, output: unknown, code: string): string[] {
  return errorsOf({
    '/tools.ts': toolTypesOf([tool(input, { outputSchema: output })]),
    '/use.ts': `import { execute } from '@mcp-valet/client';\n${code}`,
  });
}

describe('printed types', () => {
  const input = {
    type: 'object',
    properties: {
      channel: { type: 'string', description: 'Where to' },
      mode: { enum: ['loud', 'quiet'] },
      tags: { type: 'array', items: { type: 'string' } },
      point: { type: 'array', prefixItems: [{ type: 'number' }, { type: 'number' }], minItems: 2, items: false },
      labels: { type: 'object', additionalProperties: { type: 'number' } },
      who: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    },
    required: ['channel'],
    additionalProperties: false,
  };
  const output = { type: 'object', properties: { ts: { type: 'string' } }, required: ['ts'] };

  it('let good calls compile', () => {
    const code = `const text: string = execute('a__b', { channel: 'c', mode: 'loud', tags: ['t'], point: [1, 2], labels: { a: 1 }, who: null }).ts;`;
    expect(use(input, output, code)).toEqual([]);
  });

  it.each([
    ['a missing argument', `execute('a__b', {});`],
    ['an unknown argument', `execute('a__b', { channel: 'c', chanel: 'c' });`],
    ['a wrong type', `execute('a__b', { channel: 1 });`],
    ['a value that is not in the list', `execute('a__b', { channel: 'c', mode: 'off' });`],
    ['a tuple of another length', `execute('a__b', { channel: 'c', point: [1] });`],
    ['a wrong value of a map', `execute('a__b', { channel: 'c', labels: { a: 'b' } });`],
    ['a wrong use of the output', `const text: number = execute('a__b', { channel: 'c' }).ts;`],
    ['an unknown tool', `execute('a__c', {});`],
  ])('do not let %s compile', (_, code) => {
    expect(use(input, output, code)).toHaveLength(1);
  });

  it('follow references, also of a type to itself', () => {
    const tree = {
      type: 'object',
      properties: { root: { $ref: '#/$defs/Node' } },
      required: ['root'],
      $defs: {
        Node: {
          type: 'object',
          properties: { name: { type: 'string' }, args: { type: 'array', items: { $ref: '#/$defs/Leaf or node' } } },
          required: ['name', 'args'],
        },
        'Leaf or node': { anyOf: [{ type: 'string' }, { $ref: '#/$defs/Node' }] },
      },
    };
    const good = `execute('a__b', { root: { name: 'n', args: ['x', { name: 'm', args: [] }] } });`;
    expect(use(tree, undefined, good)).toEqual([]);
    const bad = `execute('a__b', { root: { name: 'n', args: [{ name: 1, args: [] }] } });`;
    expect(use(tree, undefined, bad)).toHaveLength(1);
  });

  it('end references that have no end, and do not follow foreign ones', () => {
    const defs = {
      A: { anyOf: [{ $ref: '#/$defs/B' }, { type: 'string' }] },
      B: { $ref: '#/$defs/A' },
      C: { $ref: '#/$defs/C' },
    };
    for (const $ref of [
      '#/$defs/A',
      '#/$defs/B',
      '#/$defs/C',
      '#',
      'https://example.com/schema',
      '#/$defs/%',
      '#/none',
    ]) {
      expect(use({ $ref, $defs: defs }, undefined, ''), $ref).toEqual([]);
      expect(use({ type: 'object', properties: { a: { $ref } }, $defs: defs }, undefined, ''), $ref).toEqual([]);
    }
  });

  it('stay small where a schema multiplies', () => {
    const choices = Array.from({ length: 100 }, (_, n) => ({
      type: 'object',
      properties: { [`p${n}`]: { const: n } },
    }));
    const product = { allOf: Array.from({ length: 10 }, () => ({ anyOf: choices })) };
    expect(use(product, undefined, '')).toEqual([]);
    const $defs = Object.fromEntries(
      Array.from({ length: 60 }, (_, n) => [
        `d${n}`,
        { type: 'array', prefixItems: [{ $ref: `#/$defs/d${n + 1}` }, { $ref: `#/$defs/d${n + 1}` }] },
      ]),
    );
    expect(print({ $ref: '#/$defs/d0', $defs }).length).toBeLessThan(20_000);
    let deep: object = { type: 'string' };
    for (let n = 0; n < 5000; n++) deep = { type: 'object', properties: { a: deep } };
    expect(use(deep, undefined, '')).toEqual([]);
  });

  it('are the same however the server orders its tools, each once, and leave out what the SDK knows', () => {
    const names = ['b', 'a', 'b', ...Object.keys(metaTools)];
    const tools = names.map((name) => ({ name, inputSchema: { type: 'object' as const } }));
    const text = toolTypesOf(tools);
    expect(text).toBe(toolTypesOf([...tools].reverse()));
    expect([...text.matchAll(/^ {4}(\S+): \{$/gm)].map(([, name]) => name)).toEqual(['a', 'b']);
  });
});

const hostile = [
  '*/ export const stolen = 1; /*',
  '*\u200b/ export const stolen = 1; /*',
  '*\ud800/ stolen',
  '@ts-expect-error',
  '*/\n// @ts-nocheck',
  'a\n@deprecated\n * @ts-ignore',
  'a\u2028*/ export const stolen = 1;',
  'a\r*/stolen/*',
  '{@link javascript:alert(1)} {@code */}',
  '`$' + '{process.exit()}`',
  '\'"`\\',
  '__proto__',
  'constructor',
  'new',
  'get',
  'readonly',
  '\u202egnp.exe',
  '**/',
  '/',
  '',
];
const text = fc.oneof(
  fc.constantFrom(...hostile),
  fc
    .array(fc.constantFrom('*', '/', '\n', '@', 'ts-ignore', '"', '\\', '`', '\u2029', '\u200b', '\ud800', ' ', 'x'), {
      maxLength: 12,
    })
    .map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const reference = fc.constantFrom(
  '#',
  '#/$defs/a',
  '#/$defs/b',
  '#/$defs/c',
  '#/properties/x',
  '#/$defs/*~1',
  'other.json',
);

const { schema } = fc.letrec<{ schema: unknown }>((tie) => {
  const list = fc.array(tie('schema'), { maxLength: 4 });
  const map = fc.dictionary(text, tie('schema'), { maxKeys: 4 });
  return {
    schema: fc.oneof(
      { maxDepth: 4 },
      fc.boolean(),
      fc.record({
        type: fc.constantFrom('string', 'number', 'integer', 'boolean', 'null', 'object', 'array', 'banana'),
      }),
      fc.record(
        {
          $ref: fc.option(reference, { nil: undefined }),
          type: fc.oneof(
            fc.constantFrom('object', 'array', 'string'),
            fc.array(fc.constantFrom('object', 'array', 'null', 'string')),
          ),
          description: text,
          properties: map,
          required: fc.array(text, { maxLength: 3 }),
          additionalProperties: tie('schema'),
          patternProperties: map,
          items: fc.oneof(tie('schema'), list),
          prefixItems: list,
          minItems: fc.integer({ min: -1, max: 5 }),
          enum: fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 4 }),
          const: fc.jsonValue({ maxDepth: 2 }),
          allOf: list,
          anyOf: list,
          oneOf: list,
          not: tie('schema'),
          nullable: fc.boolean(),
        },
        { requiredKeys: [] },
      ),
      fc.anything({ maxDepth: 1 }),
    ),
  };
});
const tools = fc.array(
  fc.record({
    name: text,
    description: fc.option(text, { nil: undefined }),
    inputSchema: fc
      .tuple(schema, fc.dictionary(fc.constantFrom('a', 'b', 'c', '*/'), schema))
      .map(([own, $defs]) =>
        typeof own === 'object' && own !== null && !Array.isArray(own) ? { ...own, $defs } : own,
      ),
    outputSchema: schema,
  }),
  { minLength: 10, maxLength: 30 },
);

describe('whatever a server sends', () => {
  it('the text compiles and declares nothing but tools', () => {
    fc.assert(
      fc.property(tools, (list) => {
        const written = toolTypesOf(list as never);
        const file = ts.createSourceFile('/tools.ts', written, ts.ScriptTarget.ES2023);
        for (const statement of file.statements) {
          const isOurs =
            ts.isExportDeclaration(statement) ||
            ts.isModuleDeclaration(statement) ||
            (ts.isTypeAliasDeclaration(statement) && /^[A-Z][A-Za-z0-9]*_\d+$/.test(statement.name.text));
          expect(isOurs, statement.getText(file)).toBe(true);
        }
        const [block] = file.statements.filter(ts.isModuleDeclaration).map(({ body }) => body);
        expect(block && ts.isModuleBlock(block) && block.statements.map((each) => each.kind)).toEqual([
          ts.SyntaxKind.InterfaceDeclaration,
        ]);
        const names = new Set(list.map(({ name }) => name));
        const [declared] = (block as ts.ModuleBlock).statements as unknown as ts.InterfaceDeclaration[];
        const keys = declared?.members.map(({ name }) => (name as ts.Identifier | ts.StringLiteral).text);
        expect(keys?.length).toBe(names.size);
        expect(written).not.toMatch(/[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/);
        expect(errorsOf({ '/tools.ts': written })).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  it.each(hostile)('a description stays a comment: %j', (description) => {
    const schema = { type: 'object', properties: { a: { type: 'string', description } } };
    const [first, second] = [description, 'plain'].map((words) =>
      toolTypesOf([tool(schema, { description: words, name: 'a__b' })]),
    );
    const bare = (source = '') => {
      const scanner = ts.createScanner(ts.ScriptTarget.ES2023, true, ts.LanguageVariant.Standard, source);
      const tokens: string[] = [];
      while (scanner.scan() !== ts.SyntaxKind.EndOfFileToken) tokens.push(scanner.getTokenText());
      return tokens;
    };
    expect(bare(first)).toEqual(bare(second));
    // The compiler's directives work in comments too.
    expect(errorsOf({ '/tools.ts': first ?? '' })).toEqual([]);
    expect(first).not.toMatch(/^[\s*/]*@/m);
  });
});

// The packed SDK installed by npm into empty projects of every kind, offline, where the quickstart's story runs against a real gateway: ES
// modules, CommonJS, TypeScript, Jest's way of loading, Deno's way of checking types, and a bundle for runtimes that have no Node.
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { compileFunction, createContext, runInContext } from 'node:vm';
import { build } from 'tsup';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { callersOptions, complaintsAbout, type PackedClient, unpackClient } from './packed-client.ts';
import type { Place, Told } from './quickstart-story.ts';
import { read, root } from './workspace.ts';

const run = promisify(execFile);
const written = read('test/repo/quickstart-story.ts');
const main = `import { story } from './story.js';
declare const process: { env: Record<string, string | undefined> };
declare const console: { log(text: string): void };
void story(JSON.parse(process.env['PLACE'] ?? '')).then((told) => console.log(JSON.stringify(told)));
`;

let packed: PackedClient;
let rig: Rig;
let upstream: RecordingUpstream;

beforeAll(async () => {
  packed = unpackClient();
  rig = await startRig();
  upstream = await startRecordingUpstream({ record: true });
}, 120_000);
afterAll(async () => {
  await rig?.close();
  await upstream?.close();
  packed?.remove();
});

const placeOf = (name: string): Place => ({ url: rig.url, apiKey: rig.admin, upstream: upstream.url, name });

/** An empty project with the SDK installed from its tarball. Nothing is asked of a registry: there are no dependencies. */
async function project(name: string, type: 'module' | 'commonjs'): Promise<string> {
  const folder = join(packed.project, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, private: true, type }));
  const install = ['install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', packed.tarball];
  const { stdout } = await run('npm', install, { cwd: folder, timeout: 60_000 });
  expect(stdout).toMatch(/added 1 package\b/);
  return folder;
}

async function runMain(folder: string, name: string): Promise<Told> {
  const env = { PATH: process.env['PATH'] ?? '', PLACE: JSON.stringify(placeOf(name)) };
  const { stdout, stderr } = await run(process.execPath, ['main.js'], { cwd: folder, env, timeout: 60_000 });
  expect(stderr).toBe('');
  return JSON.parse(stdout) as Told;
}

/** The whole story: each user's call once, with its own secret, and the third user's not at all. */
function expectTold(told: Told, name: string): void {
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((person) => `${name}-${person}`);
  expect(told).toEqual({
    counted: ['1', '1'],
    again: '1',
    refused: 'CredentialRequiredError',
    users: [alice, bob, carol],
    isTyped: true,
  });
  const sent = upstream.recorded.filter(({ body }) => body.includes(`"marker":"${name}-`));
  const seen = sent.map(
    ({ headers, body }) => `${headers.authorization} ${JSON.parse(body.toString()).params.arguments.marker}`,
  );
  expect(seen.sort()).toEqual([`Bearer secret-of-${alice} ${alice}`, `Bearer secret-of-${bob} ${bob}`]);
}

const transpile = (text: string, module: ts.ModuleKind): string =>
  ts.transpileModule(text, { compilerOptions: { module, target: ts.ScriptTarget.ES2022 } }).outputText;

describe('the packed SDK, installed', () => {
  it.each([
    ['module', ts.ModuleKind.ESNext],
    ['commonjs', ts.ModuleKind.CommonJS],
  ] as const)('runs in an empty project of type %s', async (type, module) => {
    const folder = await project(type, type);
    writeFileSync(join(folder, 'story.js'), transpile(written, module));
    writeFileSync(join(folder, 'main.js'), transpile(main, module));
    expectTold(await runMain(folder, type), type);
  });

  it('compiles and runs in an empty project of TypeScript', async () => {
    const folder = await project('typescript', 'module');
    const compilerOptions = { module: 'node16', target: 'es2022', lib: ['es2022', 'dom'], types: [], strict: true };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
    writeFileSync(join(folder, 'story.ts'), written);
    writeFileSync(join(folder, 'main.ts'), main.replace(/^declare const console.*\n/m, ''));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const compiled = spawnSync(process.execPath, [tsc, '-p', '.'], { cwd: folder, encoding: 'utf8', timeout: 60_000 });
    expect(compiled.stdout).toBe('');
    expectTold(await runMain(folder, 'typescript'), 'typescript');
  });

  it("runs where Jest's environment loads it: required inside of another realm, with its globals passed in", async () => {
    const context = createContext({ ...webGlobals(), process, Buffer, global: {} });
    const loaded = new Map<string, { exports: object }>();
    const entry = join(packed.project, 'node_modules/@mcp-valet/client/dist/index.cjs');
    const load = (file: string): object => {
      const known = loaded.get(file);
      if (known) return known.exports;
      const module = { exports: {} };
      loaded.set(file, module);
      const require = (name: string) =>
        load(
          name === '@mcp-valet/client'
            ? entry
            : name.startsWith('.')
              ? resolve(dirname(file), name)
              : expect.fail(name),
        );
      const text = file === 'story.cjs' ? transpile(written, ts.ModuleKind.CommonJS) : readFileSync(file, 'utf8');
      const names = ['module', 'exports', 'require'];
      compileFunction(text, names, { parsingContext: context, filename: file })(module, module.exports, require);
      return module.exports;
    };
    const { story } = load('story.cjs') as typeof import('./quickstart-story.ts');
    expectTold(await story(placeOf('jest')), 'jest');
  });

  it('runs as a bundle that no platform is named for, with nothing but the globals of the web', async () => {
    writeFileSync(join(packed.project, 'story.ts'), written);
    await build({
      entry: { edge: join(packed.project, 'story.ts') },
      outDir: join(packed.project, 'edge'),
      format: 'iife',
      globalName: 'edge',
      platform: 'neutral',
      target: 'es2022',
      noExternal: [/.*/],
      config: false,
      silent: true,
      tsconfig: join(root, 'tsconfig.json'),
    });
    const bundle = readFileSync(join(packed.project, 'edge/edge.global.js'), 'utf8');
    expect(bundle).not.toMatch(/\brequire\(["']|\bfrom ["']node:/);
    const context = createContext(webGlobals());
    runInContext(bundle, context);
    const told = (await runInContext(`edge.story(${JSON.stringify(placeOf('edge'))})`, context)) as Told;
    expectTold(JSON.parse(JSON.stringify(told)), 'edge');
    expect(runInContext('typeof process + typeof Buffer + typeof require', context)).toBe('undefined'.repeat(3));
  });

  it("has types for Deno: found by an npm: specifier, and in need of no types of Node's", () => {
    const file = join(packed.project, 'deno.ts');
    writeFileSync(file, written.replace("'@mcp-valet/client'", "'npm:@mcp-valet/client@0.1.0'"));
    const options = {
      ...callersOptions,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      customConditions: ['deno'],
      moduleDetection: ts.ModuleDetectionKind.Force,
      verbatimModuleSyntax: true,
      isolatedModules: true,
    };
    // What Deno does with the specifier before it asks the package's `exports`.
    const bare = (name: string): string => name.replace(/^npm:(@?[^@]+)(?:@[^/]+)?/, '$1');
    expect(complaintsAbout(ts, [file], options, bare)).toEqual([]);
  });
});

/** What runtimes at the edge have in common. */
function webGlobals(): Record<string, unknown> {
  const names =
    'fetch Request Response Headers URL URLSearchParams TextEncoder TextDecoder crypto AbortController AbortSignal DOMException Event ' +
    'EventTarget ReadableStream TransformStream setTimeout clearTimeout queueMicrotask structuredClone performance console atob btoa';
  return Object.fromEntries(names.split(' ').map((name) => [name, (globalThis as Record<string, unknown>)[name]]));
}

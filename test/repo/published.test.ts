// What users install: both packages packed as they would be published, unpacked, judged by publint and attw, and loaded.
// Needs a build (`npm test` makes one).
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build } from 'tsup';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Manifest, pack, root } from './workspace.ts';

const work = mkdtempSync(join(tmpdir(), 'published-'));
const packages = {
  client: { folder: '', tarball: '', attw: ['--profile', 'strict'] },
  server: { folder: '', tarball: '', attw: ['--profile', 'esm-only'] },
};

beforeAll(() => {
  for (const name of ['client', 'server'] as const) {
    if (!existsSync(join(root, 'packages', name, 'dist/index.d.ts')))
      throw new Error(`packages/${name} is not built: run \`npm run build\``);
    const tarball = pack(`packages/${name}`, work);
    execFileSync('tar', ['-xzf', tarball, '-C', work]);
    const folder = join(work, name);
    execFileSync('mv', [join(work, 'package'), folder]);
    Object.assign(packages[name], { folder, tarball });
  }
}, 120_000);

afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

/** Packages that the files of dist with this ending import, without Node's own. */
function imported(folder: string, ending: RegExp): string[] {
  const texts = readdirSync(join(folder, 'dist')).filter((file) => ending.test(file));
  const specifiers = texts.flatMap((file) => {
    const code = readFileSync(join(folder, 'dist', file), 'utf8');
    return [...code.matchAll(/(?:^|[;}\s])(?:from|import|require\(|import\()\s*["']([^"'\n]+)["']/g)].map(
      (match) => match[1] ?? '',
    );
  });
  const bare = specifiers.filter(
    (specifier) => !/^[./]/.test(specifier) && !specifier.startsWith('node:') && !builtinModules.includes(specifier),
  );
  return [
    ...new Set(
      bare.map((specifier) =>
        specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
    ),
  ].sort();
}

describe.each(['client', 'server'] as const)('the %s', (name) => {
  it('satisfies publint --strict', async () => {
    const { folder } = packages[name];
    const { messages } = await publint({ pkgDir: folder, pack: false, strict: true });
    expect(messages.map((message) => formatMessage(message, manifestOf(folder)))).toEqual([]);
  });

  it('resolves to the right types from every kind of importer it serves', () => {
    const attw = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js');
    const { status, stdout } = spawnSync(
      process.execPath,
      [attw, packages[name].tarball, '--no-color', ...packages[name].attw],
      { encoding: 'utf8', timeout: 60_000 },
    );
    expect(status, stdout).toBe(0);
  });

  it('imports nothing that it does not declare, in code and in types', () => {
    const { folder } = packages[name];
    const { dependencies, peerDependencies } = manifestOf(folder);
    const declared = Object.keys({ ...dependencies, ...peerDependencies });
    expect(imported(folder, /\.(js|cjs)$/).filter((specifier) => !declared.includes(specifier))).toEqual([]);
    expect(imported(folder, /\.d\.c?ts$/).filter((specifier) => !declared.includes(specifier))).toEqual([]);
  });

  it('carries its licence', () => {
    expect(readFileSync(join(packages[name].folder, 'LICENSE'), 'utf8')).toMatch(/^MIT License/);
  });
});

describe('the client', () => {
  it('exports the same names to import and to require, and these', async () => {
    const load = (code: string, type: string): string[] =>
      JSON.parse(
        execFileSync(process.execPath, [`--input-type=${type}`, '-e', code], {
          cwd: packages.client.folder,
          encoding: 'utf8',
        }),
      ) as string[];
    const esm = load("console.log(JSON.stringify(Object.keys(await import('@mcp-valet/client')).sort()))", 'module');
    const cjs = load("console.log(JSON.stringify(Object.keys(require('@mcp-valet/client')).sort()))", 'commonjs');
    expect(cjs).toEqual(esm);
    await expect(`${esm.join('\n')}\n`).toMatchFileSnapshot('client-exports.txt');
  });

  it('names the licences of what it has inlined', () => {
    const notices = readFileSync(join(packages.client.folder, 'THIRD-PARTY-NOTICES.txt'), 'utf8');
    expect(notices).toMatch(/^ky 2\./m);
    expect(notices).toMatch(/^zod 4\./m);
    expect(notices.match(/MIT License/g)).toHaveLength(2);
  });

  it('is at most 42 kB minified and compressed, its types at most 120 kB', async () => {
    const outDir = join(work, 'minified');
    await build({
      entry: [join(packages.client.folder, 'dist/index.js')],
      outDir,
      format: 'esm',
      minify: true,
      silent: true,
      config: false,
      tsconfig: join(root, 'tsconfig.json'),
      platform: 'neutral',
    });
    const minified = gzipSync(readFileSync(join(outDir, 'index.js'))).length;
    expect(minified).toBeGreaterThan(1000);
    expect(minified).toBeLessThanOrEqual(42_000);
    expect(statSync(join(packages.client.folder, 'dist/index.d.ts')).size).toBeLessThanOrEqual(120_000);
  });
});

describe('the server', () => {
  it('has an executable entry, and the migrations it reads', () => {
    const { folder } = packages.server;
    const main = join(folder, manifestOf(folder).bin?.['mcp-valet'] ?? '');
    expect(readFileSync(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(statSync(main).mode & 0o111).toBe(0o111);
    expect(readdirSync(join(folder, 'migrations')).some((file) => file.endsWith('.sql'))).toBe(true);
  });
});

// What users install: both packages packed as they would be published, unpacked, judged by publint and attw, and loaded.
// Needs a build (`npm test` makes one).
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build } from 'tsup';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Manifest, pack, root } from './workspace.ts';

const work = mkdtempSync(join(tmpdir(), 'published-'));
const packages = {
  client: { folder: '', tarball: '', attw: ['--profile', 'node16'] },
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

/** Installs the frameworks, and the client itself, beside the unpacked packages. */
function linkPeers(): void {
  const installed = join(work, 'node_modules');
  if (existsSync(installed)) return;
  const link = (name: string, target: string) => {
    mkdirSync(dirname(join(installed, name)), { recursive: true });
    symlinkSync(target, join(installed, name), 'dir');
  };
  link('@mcp-valet/client', packages.client.folder);
  for (const name of Object.keys(manifestOf(packages.client.folder).peerDependencies ?? {}))
    link(name, join(root, 'test/node_modules', name));
}

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

const adapters = ['ai-sdk', 'anthropic', 'langchain', 'mcp', 'mcp-v1', 'openai', 'openai-agents'];
const entries = [...adapters, 'codegen', 'validation'];

/** Runs code beside the unpacked client and gives what it wrote as JSON. */
const evaluate = (code: string, type: 'module' | 'commonjs'): unknown =>
  JSON.parse(
    execFileSync(process.execPath, [`--input-type=${type}`, '-e', code], {
      cwd: packages.client.folder,
      encoding: 'utf8',
    }),
  );

/** The file of an entry with everything of ours that it loads, from first to last. */
function loaded(file: string, folder = join(packages.client.folder, 'dist'), found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  const code = readFileSync(join(folder, file), 'utf8');
  for (const [, next] of code.matchAll(/(?:from|import|require\()\s*["']\.\/([^"'\n]+)["']/g))
    loaded(next ?? '', folder, found);
  return found;
}

describe('the client', () => {
  it('exports the same names to import and to require, and these', async () => {
    // What the adapters need is installed beside the client, as users do it.
    linkPeers();
    const names: string[] = [];
    for (const entry of ['', ...entries]) {
      const specifier = JSON.stringify(['@mcp-valet/client', entry].filter((part) => part !== '').join('/'));
      const esm = evaluate(`console.log(JSON.stringify(Object.keys(await import(${specifier})).sort()))`, 'module');
      const cjs = evaluate(`console.log(JSON.stringify(Object.keys(require(${specifier})).sort()))`, 'commonjs');
      expect(cjs).toEqual(esm);
      names.push(...(esm as string[]).map((name) => (entry === '' ? name : `${entry}: ${name}`)));
    }
    await expect(`${names.join('\n')}\n`).toMatchFileSnapshot('client-exports.txt');
  });

  it.each(['js', 'cjs'])('imports no framework by its main entry (%s)', (ending) => {
    const files = [...loaded(`index.${ending}`)].map((file) => new RegExp(`^${file.replaceAll('.', '\\.')}$`));
    expect(files.length).toBeGreaterThan(1);
    expect(files.flatMap((file) => imported(packages.client.folder, file))).toEqual([]);
  });

  it.each(['js', 'cjs'])('shares its code between main entry and adapters (%s)', (ending) => {
    const core = loaded(`index.${ending}`);
    for (const name of adapters) {
      const own = [...loaded(`${name}.${ending}`)].filter((file) => !core.has(file));
      const size = own.reduce(
        (sum, file) => sum + gzipSync(readFileSync(join(packages.client.folder, 'dist', file))).length,
        0,
      );
      expect(size, name).toBeLessThanOrEqual(2500);
    }
    const [importing, type] =
      ending === 'js'
        ? (['(name) => import(name)', 'module'] as const)
        : (['async (name) => require(name)', 'commonjs'] as const);
    const code = `const load = ${importing};
      (async () => {
        const { ValidationError } = await load('@mcp-valet/client');
        const { anthropic } = await load('@mcp-valet/client/anthropic');
        const [tool] = anthropic.build({ tools: [{ name: 'a', modelName: 'a', inputSchema: { type: 'object' } }] });
        try { tool.parse('text'); } catch (error) { console.log(error.constructor === ValidationError); }
      })();`;
    expect(evaluate(code, type)).toBe(true);
  });

  it('names the licences of what it has inlined', () => {
    const notices = readFileSync(join(packages.client.folder, 'THIRD-PARTY-NOTICES.txt'), 'utf8');
    expect(notices).toMatch(/^ky 2\./m);
    expect(notices).toMatch(/^zod 4\./m);
    expect(notices.match(/MIT License/g)).toHaveLength(2);
    // Everywhere but in the entry that checks replies, the contract goes in without its schemas, so zod stays out.
    for (const name of ['index', ...entries.filter((each) => each !== 'validation')]) {
      const code = [...loaded(`${name}.js`)].map((file) =>
        readFileSync(join(packages.client.folder, 'dist', file), 'utf8'),
      );
      expect(code.join('\n'), name).not.toMatch(/ZodMini|\$ZodType/);
    }
    expect(readFileSync(join(packages.client.folder, 'dist/validation.js'), 'utf8')).toMatch(/ZodMini/);
  });

  it('says so when a file that is loaded later is missing, sends nothing then, and needs none to tell how a call failed', () => {
    const { folder } = packages.client;
    const copy = join(work, 'incomplete');
    cpSync(folder, copy, { recursive: true });
    const needed = new Set(
      entries
        .map((name) => [...loaded(`${name}.js`)])
        .concat([[...loaded('index.js')]])
        .flat(),
    );
    const later = readdirSync(join(copy, 'dist')).filter((file) => file.endsWith('.js') && !needed.has(file));
    expect(later.map((file) => file.split('-')[0]).sort()).toEqual(['adapter', 'distribution', 'fetch', 'hosted']);
    for (const file of later) rmSync(join(copy, 'dist', file));
    const code = `const { MCPClient } = await import(${JSON.stringify(join(copy, 'dist/index.js'))});
      const fetch = async () => { throw new TypeError('fetch failed', { cause: { code: 'ECONNRESET' } }); };
      const client = new MCPClient({ baseUrl: 'http://127.0.0.1:9', apiKey: 'k', fetch, logLevel: 'off' });
      const user = client.forUser('alice');
      const ends = [client.me(), user.toolsFor({ name: 'x', build: () => 1 }), user.mcp.fetch(user.mcp.url), user.execute('t')];
      const told = await Promise.all(ends.map((end) => end.then(String, ({ name, code, executed }) => [name, code, executed])));
      console.log(JSON.stringify(told));`;
    const missing = ['ConfigError', 'PART_NOT_LOADED', 'no'];
    const lost = ['OutcomeUnknownError', 'OUTCOME_UNKNOWN', 'unknown'];
    expect(evaluate(code, 'module')).toEqual([missing, missing, missing, lost]);
  });

  it('takes pages of proxies for what their status says, and lets no hanging fetch end the process before its timeout', () => {
    const statuses = [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504];
    const code = `const { MCPClient, OutcomeUnknownError } = await import('@mcp-valet/client');
      const common = { baseUrl: 'http://127.0.0.1:8', apiKey: 'k', logLevel: 'off', maxRetries: 0 };
      const told = [];
      for (const status of ${JSON.stringify(statuses)}) {
        const headers = { 'content-type': 'text/html' };
        const client = new MCPClient({ ...common, fetch: async () => new Response('<html>no</html>', { status, headers }) });
        const both = [client.users.list(), client.forUser('a').execute('t')].map((call) => call.then(String, (e) => e.name + ' ' + e.status + ' ' + e.executed));
        told.push(...(await Promise.all(both)));
      }
      const hanging = new MCPClient({ ...common, fetch: () => new Promise(() => {}), timeout: 50 });
      told.push(await hanging.users.list().then(String, (e) => e.name));
      console.log(JSON.stringify(told));`;
    const told = evaluate(code, 'module') as string[];
    const names = ['BadRequest', 'Authentication', 'Permission', 'NotFound', 'Conflict', 'PayloadTooLarge'];
    const refused = [...names, 'Unprocessable', 'RateLimit'].flatMap((name, at) => {
      const of = `${name}Error ${statuses[at]}`;
      return [`${of} no`, of.includes('409') ? 'OutcomeUnknownError 409 unknown' : `${of} no`];
    });
    const failed = ['Server', 'Upstream', 'Unavailable', 'Server'].flatMap((name, at) => {
      const status = statuses[at + 8];
      return [`${name}Error ${status} no`, `OutcomeUnknownError ${status} unknown`];
    });
    expect(told).toEqual([...refused, ...failed, 'TimeoutError']);
  });

  it('is at most 40 kB minified and compressed, its types at most 120 kB', async () => {
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
    // What an import loads; parts that few calls need are loaded by those calls.
    const files = [...loaded('index.js', outDir)];
    const minified = gzipSync(Buffer.concat(files.map((file) => readFileSync(join(outDir, file))))).length;
    expect(minified).toBeGreaterThan(1000);
    expect(minified).toBeLessThanOrEqual(40_000);
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

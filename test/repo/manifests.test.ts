// Package manifests are an interface: what is published, what it needs and how it is entered changes on purpose or not at all.
import { describe, expect, it } from 'vitest';
import { manifest, manifestFolders, read } from './workspace.ts';

const folders = manifestFolders();

describe.each(folders)('%s', (folder) => {
  const found = manifest(folder);

  it('is MIT, ESM and pins exact versions', () => {
    expect(found.license).toBe('MIT');
    expect(found.type).toBe('module');
    const versions = Object.values({ ...found.dependencies, ...found.devDependencies });
    expect(
      versions.filter((version) => !/^((npm:(@[\w-]+\/)?[\w-]+@)?\d+\.\d+\.\d+(-[\w.]+)?|workspace:\*)$/.test(version)),
    ).toEqual([]);
  });
});

it('publishes the client and the server, and nothing else', () => {
  expect(folders.filter((folder) => !manifest(folder).private)).toEqual(['packages/client', 'packages/server']);
});

it('publishes both openly, with a proof of where they were built', () => {
  for (const folder of ['packages/client', 'packages/server']) {
    const { publishConfig, keywords, description } = manifest(folder);
    expect(publishConfig).toEqual({ access: 'public', provenance: true });
    expect(keywords?.length).toBeGreaterThan(3);
    expect(description).toMatch(/\.$/);
  }
});

it('gives every package the same version and the Node it runs on', () => {
  const packages = folders.filter((folder) => folder === '.' || folder.startsWith('packages/')).map(manifest);
  expect(new Set(packages.map(({ version }) => version)).size).toBe(1);
  expect(packages.map(({ engines }) => engines?.node)).toEqual(packages.map(() => '>=20.19'));
});

it('installs nothing with the client', () => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = manifest('packages/client');
  expect(dependencies ?? {}).toEqual({});
  const optional = Object.keys(peerDependencies ?? {}).map((name) => [name, { optional: true }]);
  expect(peerDependenciesMeta).toEqual(Object.fromEntries(optional));
});

it('enters the client where the documentation says', () => {
  const { exports, files } = manifest('packages/client');
  const entry = (name: string, source: string) => ({
    '@mcp-valet/source': `./src/${source}.ts`,
    import: { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` },
    require: { types: `./dist/${name}.d.cts`, default: `./dist/${name}.cjs` },
  });
  const adapters = ['ai-sdk', 'openai', 'openai-agents', 'anthropic', 'langchain', 'mcp', 'mcp-v1'];
  expect(exports).toEqual({
    '.': entry('index', 'index'),
    ...Object.fromEntries(adapters.map((name) => [`./${name}`, entry(name, `adapters/${name}`)])),
    './codegen': entry('codegen', 'codegen/index'),
    './validation': entry('validation', 'validation/index'),
    './package.json': './package.json',
  });
  expect(files).toEqual(['dist', 'src', 'THIRD-PARTY-NOTICES.txt']);
});

it('enters the server where the documentation says', () => {
  const { exports, bin } = manifest('packages/server');
  expect(Object.keys(exports ?? {})).toEqual(['.', './testing']);
  expect(Object.keys(bin ?? {})).toEqual(['mcp-valet']);
});

it('keeps the four words of the repository, and one version of pnpm', () => {
  const { scripts = {}, packageManager } = manifest('.');
  expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['quickstart', 'start', 'test', 'check']));
  const named = Object.values(scripts).flatMap((script) => script.match(/pnpm@[\d.]+/g) ?? []);
  expect(new Set(named)).toEqual(new Set([packageManager]));
  expect(read('.ci/run').trimEnd().split('\n').at(-1)).toBe('npm test');
});

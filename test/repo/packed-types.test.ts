// The types of the packed SDK, as compilers of callers see them: the oldest and the newest TypeScript that we promise, both module systems and
// bundlers, declarations checked too; and the adapters beside the oldest and the newest version of each framework.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts55 from 'ts55';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Complaint, callersOptions, complaintsAbout, type PackedClient, unpackClient } from './packed-client.ts';
import { manifest, read, root } from './workspace.ts';

// Compilers have much to read; a busy machine takes ten times as long as a quiet one.
vi.setConfig({ testTimeout: 180_000 });

let packed: PackedClient;

beforeAll(() => {
  packed = unpackClient();
}, 120_000);
afterAll(() => packed?.remove());

/** Both have the same interface and the same enums, as far as they are used here. */
const compilers = { '5.5': ts55 as unknown as typeof ts, '6.0': ts };
const node16 = { module: ts.ModuleKind.Node16 };
const bundler = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
const misuse = read('test/client/misuse.types.ts');
// The same with nothing expected: then each wrong line has to complain.
const open = misuse.replaceAll('// @ts-expect-error', '// expected:');

const write = (name: string, text: string): string => {
  const file = join(packed.project, name);
  writeFileSync(file, text);
  return file;
};

describe.each(Object.entries(compilers))('TypeScript %s', (version, compiler) => {
  it('is the version that its name says', () => {
    expect(compiler.version.startsWith(`${version}.`)).toBe(true);
  });

  it('takes what is right and refuses what is wrong, for the reason that stands there: imported, required and bundled', () => {
    const expected = misuse.split('\n').flatMap((line, i) => {
      const code = /^ *\/\/ @ts-expect-error (\d+): /.exec(line)?.[1];
      // The complaint is about the line below; lines count from 1.
      return code === undefined ? [] : [`${i + 2}: ${code}`];
    });
    expect(expected.length).toBeGreaterThan(35);
    const files = [write('misuse.mts', misuse), write('misuse.cts', misuse)];
    const opened = write('open.mts', open);
    const found = complaintsAbout(compiler, [...files, opened], { ...callersOptions, ...node16 });
    expect(found.filter(({ file }) => file !== opened)).toEqual([]);
    expect(found.map(({ line, code }) => `${line}: ${code}`)).toEqual(expected);
    expect(complaintsAbout(compiler, [write('misuse.ts', misuse)], { ...callersOptions, ...bundler })).toEqual([]);
  });
});

const peers = Object.keys(manifest('packages/client').peerDependencies ?? {});
const oldest: Record<string, string> = {
  '@anthropic-ai/sdk': 'anthropic-oldest',
  '@langchain/core': 'langchain-core-oldest',
  '@modelcontextprotocol/client': 'mcp-client-oldest',
  '@modelcontextprotocol/sdk': 'mcp-sdk-oldest',
  '@openai/agents-core': 'openai-agents-core-oldest',
  ai: 'ai-oldest',
  openai: 'openai-oldest',
};

function complaintsBeside(installedAs: (peer: string) => string): Complaint[] {
  for (const peer of peers) packed.link(peer, installedAs(peer));
  return complaintsAbout(ts, [write('adapters.mts', read('test/client/adapters.types.ts'))], {
    ...callersOptions,
    module: ts.ModuleKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
  });
}

describe('the adapters', () => {
  it('are tested beside the oldest version of each range that the package declares', () => {
    for (const peer of peers) {
      const { version } = manifest(`test/node_modules/${oldest[peer]}`);
      const declared = manifest('packages/client').peerDependencies?.[peer] ?? '';
      expect(/\d+\.\d+\.\d+/.exec(declared)?.[0], peer).toBe(version);
    }
  });

  it('fit the newest frameworks', () => {
    expect(complaintsBeside((peer) => peer)).toEqual([]);
  });

  it('fit the oldest frameworks', () => {
    expect(complaintsBeside((peer) => oldest[peer] ?? '')).toEqual([]);
  });
});

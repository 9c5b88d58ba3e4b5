// Builds the SDK with ky and the contract inlined, so that installing it installs nothing else. What esbuild and the declaration bundler leave
// open is closed here: licence texts of inlined code (a package without one fails the build), and types that would need zod.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { contract } from '@mcp-valet/shared';
import { build, defineConfig, type Options } from 'tsup';
import { writeEntryTypes } from './entry-types.ts';
import { finishTypes } from './finish-types.ts';
import { plainContract } from './plain-contract.ts';
import { writePlainTypes } from './plain-types.ts';

/** Each is an entry of its own, so that nobody installs a framework that they do not use. */
const adapters = ['ai-sdk', 'anthropic', 'langchain', 'mcp', 'mcp-v1', 'openai', 'openai-agents'];
/** Entries beside the main one, by name. */
const entries: Readonly<Record<string, string>> = {
  ...Object.fromEntries(adapters.map((name) => [name, `src/adapters/${name}.ts`])),
  codegen: 'src/codegen/index.ts',
  validation: 'src/validation/index.ts',
};

const shared: Options = {
  target: 'es2022',
  platform: 'neutral',
  tsconfig: '../../tsconfig.json',
  silent: true,
};

export default defineConfig((cli) => ({
  ...shared,
  entry: { index: 'src/index.ts', ...entries },
  format: ['esm', 'cjs'],
  clean: true,
  sourcemap: true,
  splitting: true,
  noExternal: [/^ky$/, /^zod($|\/)/, '@mcp-valet/shared'],
  esbuildOptions: (options) => {
    options.sourcesContent = false;
  },
  esbuildPlugins: [plainContract(), thirdPartyNotices()],
  // `--no-dts` builds what runs, without types.
  onSuccess: () => (cli.dts === false ? Promise.resolve() : buildTypes()),
}));

async function buildTypes(): Promise<void> {
  await build({
    ...shared,
    entry: ['src/index.ts'],
    config: false,
    format: ['esm'],
    dts: {
      only: true,
      // `paths` makes the contract's types part of our own declarations; `customConditions` goes, so that they come from its build.
      compilerOptions: {
        ignoreDeprecations: '6.0',
        customConditions: [],
        paths: { '@mcp-valet/shared': ['../shared/dist/index.d.ts'] },
      },
    },
  });
  writePlainTypes('dist/index.d.ts');
  const types = finishTypes(readFileSync('dist/index.d.ts', 'utf8'), contract);
  for (const ending of ['ts', 'cts']) writeFileSync(`dist/index.d.${ending}`, types);
  writeEntryTypes(entries);
}

function thirdPartyNotices(): NonNullable<Options['esbuildPlugins']>[number] {
  return {
    name: 'third-party-notices',
    setup(esbuild) {
      esbuild.onEnd(({ metafile }) => {
        if (!metafile) return;
        const inputs = Object.keys(metafile.inputs);
        const roots = inputs.flatMap((input) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? []);
        const notices = [...new Set(roots)].sort().map(noticeOf);
        writeFileSync('THIRD-PARTY-NOTICES.txt', `This package contains code of:\n\n${notices.join('\n')}`);
      });
    },
  };
}

function noticeOf(root: string): string {
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
  };
  const file = readdirSync(root).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
  if (!file) throw new Error(`${name} is inlined into the client but ships no licence file`);
  return `${name} ${version}\n${'-'.repeat(72)}\n${readFileSync(join(root, file), 'utf8').trim()}\n`;
}

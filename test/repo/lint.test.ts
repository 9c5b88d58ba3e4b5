// The bans of .oxlintrc.json bite, and say why. Runs the real linter on small wrong files.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from './workspace.ts';

const longFile = 'export {};\n'.repeat(401);

// [file, text, what the linter answers; undefined: allowed there]
const cases: [file: string, text: string, answer: RegExp | undefined][] = [
  ['packages/server/src/users/a.ts', 'console.log(1);', /console.*it redacts/],
  ['packages/server/src/bootstrap.ts', 'console.log(1);', undefined],
  ['packages/server/src/users/b.ts', 'export const env = process.env;', /Only config\.ts reads the environment/],
  ['packages/server/src/users/c.ts', "import { env } from 'node:process';\nexport { env };", /Only config\.ts reads/],
  ['packages/server/src/config.ts', 'export const env = process.env;', undefined],
  ['packages/server/src/users/d.ts', "export const a = fetch('http://a');", /fetch.*connectors\/egress/],
  [
    'packages/server/src/users/e.ts',
    "export const a = globalThis.fetch('http://a');",
    /leave through connectors\/egress/,
  ],
  ['packages/server/src/connectors/egress-fetch.ts', "export const a = fetch('http://a');", undefined],
  ['packages/server/src/users/f.ts', 'export const a = Math.random();', /randomness comes through ctx/],
  [
    'packages/server/src/mcp/g.ts',
    "import { open } from '../credentials/vault.ts';\nexport { open };",
    /A secret is opened by/,
  ],
  ['packages/server/src/mcp/call.ts', "import { open } from '../credentials/vault.ts';\nexport { open };", undefined],
  [
    'packages/server/src/users/store.ts',
    "import { seal } from '../credentials/vault.ts';\nexport { seal };",
    undefined,
  ],
  ['packages/client/src/h.ts', 'export const a = process.version;', /Not every runtime has it/],
  ['packages/client/src/i.ts', "export const a = fetch('http://a');", /with the fetch that the options carry/],
  ['packages/shared/src/j.ts', "export const a = Buffer.from('a');", /Node only/],
  ['packages/client/src/k.ts', 'export default 1;', /no-default-export/],
  ['packages/client/src/l.ts', 'try {\n  JSON.parse("");\n} catch {}', /no-empty/],
  ['packages/client/src/m.ts', longFile, /max-lines/],
  ['examples/story/src/main.ts', 'console.log(1);', undefined],
  ['test/n.test.ts', "import { it } from 'vitest';\nit.only('a', () => {});", /no-focused-tests/],
];

let tree: string;
let output: string;

beforeAll(() => {
  tree = mkdtempSync(join(tmpdir(), 'lint-'));
  copyFileSync(join(root, '.oxlintrc.json'), join(tree, '.oxlintrc.json'));
  for (const [file, text] of cases) {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), text);
  }
  const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
  const run = spawnSync(process.execPath, [oxlint, '--format', 'json'], {
    cwd: tree,
    encoding: 'utf8',
    timeout: 60_000,
  });
  output = run.stdout;
});

afterAll(() => {
  rmSync(tree, { recursive: true, force: true });
});

it.each(cases)('answers for %s', (file, _text, answer) => {
  const { diagnostics } = JSON.parse(output) as {
    diagnostics: { filename: string; code: string; message: string; help?: string }[];
  };
  const about = diagnostics
    .filter(({ filename }) => filename === file)
    .map(({ code, message, help }) => `${code} ${message} ${help}`);
  expect(about).toEqual(answer ? [expect.stringMatching(answer)] : []);
});

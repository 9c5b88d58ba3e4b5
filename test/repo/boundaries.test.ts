// Who may know whom: the rules say what CONTRIBUTING.md says, and each of them bites. Runs the real tool on a small wrong tree.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { read, root } from './workspace.ts';

interface Rule {
  name: string;
  comment: string;
}
const { forbidden } = createRequire(import.meta.url)(join(root, '.dependency-cruiser.cjs')) as { forbidden: Rule[] };

// One wrong file per rule, named by the rule: [where it stands, what it imports].
const wrong: Record<string, [file: string, imports: string]> = {
  'shared-knows-zod': ['packages/shared/src/wrong.ts', 'node:fs'],
  'client-knows-shared-and-ky': ['packages/client/src/wrong.ts', 'node:fs'],
  'server-never-knows-client': ['packages/server/src/servers/rename.ts', '../../../client/src/index.ts'],
  'dashboard-uses-the-sdk': ['packages/server/dashboard/src/wrong.ts', '../../src/ids.ts'],
  'examples-use-public-entries': ['examples/story/src/main.ts', '../../../packages/server/src/servers/store.ts'],
  'nothing-knows-test': ['packages/server/src/users/rename.ts', '../../../../test/support.ts'],
  'no-cycles': ['packages/server/src/groups/store-twin.ts', './store.ts'],
  'roots-are-leaves': ['packages/server/src/mcp/result.ts', '../app.ts'],
  'foundations-know-nothing': ['packages/server/src/crypto/wrong.ts', '../db/schema.ts'],
  'db-knows-its-schema': ['packages/server/src/db/wrong.ts', '../ids.ts'],
  'nouns-meet-in-stores': ['packages/server/src/servers/wrong.ts', '../users/handlers.ts'],
  'fastify-stays-at-the-edge': ['packages/server/src/servers/handlers.ts', 'fastify'],
  'mcp-knows-verbs': ['packages/server/src/mcp/wrong.ts', '../users/handlers.ts'],
  'vault-is-for-the-pipeline': ['packages/server/src/mcp/tool.ts', '../credentials/vault.ts'],
  'one-door-out': ['packages/server/src/connectors/forward.ts', 'node:https'],
  'one-starter-of-processes': ['packages/server/src/connectors/handlers.ts', 'node:child_process'],
  resolvable: ['packages/server/src/audit/record.ts', './missing.ts'],
};

// What the same rules allow.
const right: Record<string, string[]> = {
  'packages/client/src/index.ts': [],
  'packages/server/src/app.ts': ['fastify', './servers/handlers.ts'],
  'packages/server/src/ids.ts': [],
  'packages/server/src/db/schema.ts': [],
  'packages/server/src/groups/store.ts': ['./store-twin.ts'],
  'packages/server/src/servers/store.ts': ['../db/schema.ts', '../ids.ts', '../users/store.ts'],
  'packages/server/src/users/handlers.ts': ['./store.ts'],
  'packages/server/src/users/store.ts': ['../credentials/vault.ts'],
  'packages/server/src/credentials/vault.ts': [],
  'packages/server/src/mcp/call.ts': ['../credentials/vault.ts'],
  'packages/server/src/mcp/endpoint.ts': ['fastify'],
  'packages/server/src/connectors/egress.ts': ['node:net'],
  'packages/server/src/connectors/backends/mcp-stdio.ts': ['node:child_process'],
  'packages/server/src/db/lock.ts': ['node:child_process'],
  'test/support.ts': ['../packages/server/src/users/handlers.ts'],
};

let tree: string;
let violations: { rule: { name: string }; from: string }[];

beforeAll(() => {
  tree = mkdtempSync(join(tmpdir(), 'boundaries-'));
  for (const file of ['.dependency-cruiser.cjs', 'tsconfig.json', 'tsconfig.base.json'])
    copyFileSync(join(root, file), join(tree, file));
  const fastify = join(tree, 'node_modules/fastify');
  mkdirSync(fastify, { recursive: true });
  writeFileSync(join(fastify, 'package.json'), '{ "name": "fastify", "main": "index.js" }');
  writeFileSync(join(fastify, 'index.js'), '');
  symlinkSync(join(root, 'node_modules/typescript'), join(tree, 'node_modules/typescript'));
  const files = [...Object.entries(right), ...Object.values(wrong).map(([file, target]) => [file, [target]] as const)];
  for (const [file, targets] of files) {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), targets.map((target) => `export * from '${target}';\n`).join(''));
  }
  const cruiser = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const out = execFileSync(process.execPath, [cruiser, '--output-type', 'json', 'packages', 'examples', 'test'], {
    cwd: tree,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    timeout: 60_000,
  });
  violations = (JSON.parse(out) as { summary: { violations: typeof violations } }).summary.violations;
});

afterAll(() => {
  rmSync(tree, { recursive: true, force: true });
});

it('has the same sentences as CONTRIBUTING.md', () => {
  const section = read('CONTRIBUTING.md').split('## Boundaries')[1]?.split('\n## ')[0] ?? '';
  const sentences = section.split('\n').filter((line) => line.startsWith('- '));
  expect(sentences.map((line) => line.slice(2))).toEqual(forbidden.map(({ comment }) => comment));
});

it.each(forbidden)('holds $name', ({ name }) => {
  expect(Object.keys(wrong)).toContain(name);
  expect(violations.filter(({ rule, from }) => rule.name === name && from === wrong[name]?.[0])).toHaveLength(1);
});

it('refuses nothing else', () => {
  const expected = Object.values(wrong).map(([file]) => file);
  expect(violations.map(({ from }) => from).filter((file) => !expected.includes(file))).toEqual([]);
});

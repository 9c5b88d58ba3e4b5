// Servers that others wrote, as they come from npm: each starts in the sandbox, lists its tools and does one of them. No network is needed.
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { StdioEntry } from '../../packages/server/src/connectors/stdio-catalog.ts';
import {
  call,
  nodeEntry,
  repository,
  type Sandboxing,
  type Stage,
  sandboxes,
  startStage,
  textOf,
  within,
} from './stdio-fixture.ts';

const require = createRequire(import.meta.url);

/** `manifest`: where the package's manifest is. */
const npmEntry = (manifest: string, args: string[] = [], fields: Partial<StdioEntry> = {}): StdioEntry => {
  return nodeEntry([join(dirname(manifest), 'dist', 'index.js'), ...args], { files: [repository], ...fields });
};

async function toolsOf({ carrier, upstream }: Stage, username = 'alice'): Promise<string[]> {
  const { result } = await carrier.request(upstream(username), { method: 'tools/list', params: {}, signal: within() });
  return (result['tools'] as { name: string }[]).map(({ name }) => name);
}

const stageOf = (entry: StdioEntry, sandbox: Sandboxing): Stage => startStage(entry, { sandbox });

it.each(sandboxes)('server-everything echoes, and shows its user’s secret to nobody, sandbox: %s', async (sandbox) => {
  const stage = stageOf(npmEntry(require.resolve('@modelcontextprotocol/server-everything/package.json')), sandbox);
  expect(await toolsOf(stage)).toEqual(expect.arrayContaining(['echo', 'get-env']));
  const alice = stage.upstream('alice');
  expect(textOf(await stage.carrier.request(alice, call('echo', { message: 'hello' })))).toContain('hello');
  expect(textOf(await stage.carrier.request(alice, call('get-env')))).toContain('"TOKEN": "[secret]"');
});

it.each(sandboxes)('server-filesystem reads the folder that its entry shows, sandbox: %s', async (sandbox) => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'shown-')));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'note.txt'), 'the note');
  const stage = stageOf(
    npmEntry(require.resolve('@modelcontextprotocol/server-filesystem/package.json'), [folder], {
      files: [repository, folder],
    }),
    sandbox,
  );
  expect(await toolsOf(stage)).toContain('read_text_file');
  const read = (path: string) => stage.carrier.request(stage.upstream('alice'), call('read_text_file', { path }));
  expect(textOf(await read(join(folder, 'note.txt')))).toBe('the note');
  expect((await read('/etc/hostname')).result['isError']).toBe(true);
});

it.each(sandboxes)('server-memory remembers for its own user alone, sandbox: %s', async (sandbox) => {
  const variables = { MEMORY_FILE_PATH: '{{HOME}}/memory.json' };
  const stage = stageOf(
    npmEntry(require.resolve('@modelcontextprotocol/server-memory/package.json'), [], { variables }),
    sandbox,
  );
  const [alice, bob] = [stage.upstream('alice'), stage.upstream('bob')];
  const entities = [{ name: 'Zoe', entityType: 'customer', observations: ['likes tea'] }];
  await stage.carrier.request(alice, call('create_entities', { entities }));
  expect(textOf(await stage.carrier.request(alice, call('read_graph')))).toContain('likes tea');
  expect(textOf(await stage.carrier.request(bob, call('read_graph')))).not.toContain('likes tea');
});

it.each(sandboxes)('server-github lists its tools for two users with a token each, sandbox: %s', async (sandbox) => {
  const stage = stageOf(
    npmEntry(require.resolve('@modelcontextprotocol/server-github/package.json'), [], {
      env: ['GITHUB_PERSONAL_ACCESS_TOKEN'],
    }),
    sandbox,
  );
  const inject = { env: { GITHUB_PERSONAL_ACCESS_TOKEN: '{{TOKEN}}' } };
  for (const username of ['alice', 'bob']) {
    const user = stage.upstream(username, { connector: { inject } });
    const { result } = await stage.carrier.request(user, { method: 'tools/list', params: {}, signal: within() });
    expect((result['tools'] as { name: string }[]).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['create_issue', 'search_repositories']),
    );
  }
  expect(stage.carrier.processes()).toBe(2);
});

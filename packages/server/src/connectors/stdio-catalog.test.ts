// The catalogue of local servers: what a correct file gives, and that every mistake is named with its entry and field before anything runs.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../config.ts';
import { isRefusedName, readStdioCatalog } from './stdio-catalog.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'catalogue-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(content: unknown, mode = 0o600): Promise<string> {
  const file = join(folder, 'catalogue.json');
  await rm(file, { force: true });
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  await chmod(file, mode);
  return file;
}

async function problemsOf(content: unknown, mode?: number): Promise<readonly string[]> {
  const error = await readStdioCatalog(await write(content, mode)).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof ConfigError) return error.problems;
  throw new Error(`expected a wrong configuration, got ${String(error)}`);
}

const entry = { command: process.execPath };

describe('a catalogue', () => {
  it('is empty when there is no file: the feature is off', async () => {
    expect([...(await readStdioCatalog(undefined))]).toEqual([]);
  });

  it('gives each entry with its defaults: no secrets, no network, no files', async () => {
    const catalog = await readStdioCatalog(await write({ github: entry }));
    expect([...catalog.values()]).toEqual([
      {
        name: 'github',
        description: undefined,
        command: process.execPath,
        args: [],
        env: [],
        variables: {},
        network: false,
        cwd: undefined,
        files: [],
        writable: [],
      },
    ]);
  });

  it('takes every field', async () => {
    const full = {
      description: 'GitHub',
      command: process.execPath,
      args: ['--version', join(folder, 'catalogue.json')],
      env: ['GITHUB_PERSONAL_ACCESS_TOKEN'],
      variables: { NODE_ENV: 'production', STATE: '{{HOME}}/state' },
      network: true,
      cwd: folder,
      files: [folder],
      writable: [],
    };
    expect((await readStdioCatalog(await write({ 'git.hub-1': full }))).get('git.hub-1')).toEqual({
      name: 'git.hub-1',
      ...full,
    });
  });
});

describe('a mistake is named', () => {
  it.each([
    ['a relative command', { command: 'node' }, 'command must be an absolute path'],
    ['no command', {}, 'command is missing'],
    ['a command that is not there', { command: '/no/such/command' }, 'command /no/such/command is not a file'],
    ['a folder as command', { command: '/usr' }, 'command /usr is not a file'],
    ['a file that may not be executed', { command: '/etc/passwd' }, 'command /etc/passwd may not be executed'],
    ['a way up', { command: '/usr/bin/../bin/node' }, 'command must be a plain path, without "..", "." or "//"'],
    ['arguments as one text', { ...entry, args: '-y x' }, 'args must be a list'],
    ['an argument that is no text', { ...entry, args: ['a', 1] }, 'args[1] must be a string'],
    ['a NUL in an argument', { ...entry, args: ['a\0b'] }, 'args[0] must not hold a NUL character'],
    [
      'a variable that loads code',
      { ...entry, env: ['NODE_OPTIONS'] },
      'env[0] must not be NODE_OPTIONS: it would change what the process runs or trusts',
    ],
    ['a variable that is no name', { ...entry, env: ['A B'] }, 'env[0] is not the name of an environment variable'],
    ['a variable declared twice', { ...entry, env: ['A', 'A'] }, 'env[1] A stands there twice'],
    [
      'a variable both fixed and secret',
      { ...entry, env: ['A'], variables: { A: '1' } },
      'variables.A is declared in env too',
    ],
    ['a fixed HOME', { ...entry, variables: { HOME: '/' } }, 'variables.HOME is set by the gateway'],
    ['a misspelt field', { ...entry, evn: ['A'] }, 'evn is not a field'],
    ['a network that is no yes or no', { ...entry, network: 'yes' }, 'network must be a boolean'],
    ['the whole machine', { ...entry, files: ['/'] }, 'files[0] must not be the root folder'],
    [
      'a file that is not there',
      { ...entry, writable: ['/no/such/folder'] },
      'writable[0] /no/such/folder does not exist',
    ],
    ['a working folder that is none', { ...entry, cwd: '/etc/passwd' }, 'cwd /etc/passwd is not a folder'],
    [
      'an argument that the sandbox would hide',
      { ...entry, args: ['/etc/passwd'] },
      'args[0] /etc/passwd exists but no path in files or writable shows it to the process',
    ],
  ])('%s', async (_, given, problem) => {
    expect(await problemsOf({ mine: given })).toEqual([`VALET_STDIO_CATALOG, entry "mine": ${problem}`]);
  });

  it('wherever it stands, all of them at once', async () => {
    const problems = await problemsOf({ good: entry, one: {}, 'two words': entry });
    expect(problems).toEqual([
      'VALET_STDIO_CATALOG, entry "one": command is missing',
      'VALET_STDIO_CATALOG, entry "two words": the name must be 1 to 64 letters, digits, dots, hyphens or underscores',
    ]);
  });

  it.each([
    ['no JSON', '{', 'VALET_STDIO_CATALOG is not JSON'],
    ['a list', '[]', 'VALET_STDIO_CATALOG must be an object: names, and what each of them starts'],
  ])('in the file as a whole: %s', async (_, text, problem) => {
    expect(await problemsOf(text)).toEqual([problem]);
  });

  it('when others may write the file', async () => {
    for (const mode of [0o666, 0o620, 0o602])
      expect(await problemsOf({ mine: entry }, mode)).toEqual([
        'VALET_STDIO_CATALOG names a file that others may write; run "chmod go-w" on it',
      ]);
  });

  it('when the file is missing', async () => {
    await expect(readStdioCatalog(join(folder, 'missing.json'))).rejects.toThrow(
      'VALET_STDIO_CATALOG names a file that does not exist or cannot be read',
    );
  });
});

describe('names that a secret may never have in an environment', () => {
  it.each([
    'PATH',
    'HOME',
    'NODE_OPTIONS',
    'NODE_PATH',
    'LD_PRELOAD',
    'DYLD_INSERT_LIBRARIES',
    'PYTHONPATH',
    'PYTHONSTARTUP',
    'BASH_ENV',
    'ENV',
    'IFS',
    'GIT_SSH_COMMAND',
    'SSL_CERT_FILE',
    'HTTPS_PROXY',
    'https_proxy',
    'npm_config_registry',
    'PERL5OPT',
    'RUBYOPT',
    'JAVA_TOOL_OPTIONS',
    'MCP_VALET_PROCESS',
    'VALET_MASTER_KEY',
    'TMPDIR',
  ])('%s', (name) => {
    expect(isRefusedName(name)).toBe(true);
  });

  it.each([
    'GITHUB_PERSONAL_ACCESS_TOKEN',
    'TOKEN',
    'API_KEY',
    'SLACK_BOT_TOKEN',
    'NODE',
    'GITLAB_TOKEN',
    'ENVIRONMENT',
  ])('but %s may', (name) => {
    expect(isRefusedName(name)).toBe(false);
  });
});

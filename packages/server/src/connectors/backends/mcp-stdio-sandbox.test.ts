// The command line of the sandbox: what it shows, what it hides, and that nothing of a user can get into it.
import { describe, expect, it } from 'vitest';
import { findSandbox, sandboxArguments } from './mcp-stdio-sandbox.ts';

const entry = {
  command: '/usr/bin/node',
  args: ['/srv/mcp/index.js', '--fast'],
  network: false,
  cwd: undefined,
  files: ['/srv/mcp'],
  writable: [],
};

/** What follows each occurrence of a flag. */
const after = (args: readonly string[], flag: string): string[] =>
  args.flatMap((arg, at) => (arg === flag ? [args[at + 1] as string] : []));

describe('the arguments of the sandbox', () => {
  it('end with the command of the entry, as it stands there', () => {
    const args = sandboxArguments(entry);
    expect(args.slice(args.indexOf('--') + 1)).toEqual(['/usr/bin/node', '/srv/mcp/index.js', '--fast']);
  });

  it('share nothing but, where it is declared, the network', () => {
    expect(sandboxArguments(entry)).toEqual(
      expect.arrayContaining(['--unshare-all', '--die-with-parent', '--new-session']),
    );
    expect(sandboxArguments(entry)).not.toContain('--share-net');
    expect(sandboxArguments({ ...entry, network: true })).toContain('--share-net');
  });

  it('show files for reading and writable ones for writing, after the empty /tmp', () => {
    const args = sandboxArguments({ ...entry, files: ['/tmp/shown'], writable: ['/srv/data'] });
    expect(after(args, '--ro-bind')).toEqual(['/tmp/shown']);
    expect(after(args, '--bind')).toEqual(['/srv/data']);
    expect(args.indexOf('/tmp/shown')).toBeGreaterThan(args.indexOf('--tmpfs'));
  });

  it('show the command itself where nothing else does', () => {
    expect(after(sandboxArguments({ ...entry, command: '/opt/tool' }), '--ro-bind')).toContain('/opt/tool');
  });

  it('never show home folders, the root or all settings', () => {
    const shown = [...after(sandboxArguments(entry), '--ro-bind'), ...after(sandboxArguments(entry), '--ro-bind-try')];
    for (const hidden of ['/', '/etc', '/home', '/root', '/var', '/run', '/srv']) expect(shown).not.toContain(hidden);
  });

  it('carry no environment: it would be public', () => {
    expect(sandboxArguments(entry)).not.toContain('--setenv');
  });
});

describe('the sandbox', () => {
  it('is not looked for when it is off', async () => {
    expect(await findSandbox('off')).toBeNull();
  });
});

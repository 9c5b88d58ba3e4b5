// The command line under which a catalogue entry runs: inside bubblewrap where that works, else as it is. Secrets never stand in it: a
// command line is public on the machine, an environment is not.
import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { promisify } from 'node:util';
import { isWithin, type StdioEntry } from '../stdio-catalog.ts';

export type SandboxMode = 'auto' | 'off' | 'require';

/** bubblewrap's path, or null: children run unprotected in process groups of their own. */
export type Sandbox = { bwrap: string } | null;

const places = ['/usr/bin/bwrap', '/bin/bwrap', '/usr/local/bin/bwrap'];
const programs = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
const settings = [
  'alternatives',
  'ca-certificates',
  'group',
  'hosts',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'mime.types',
  'nsswitch.conf',
  'passwd',
  'pki',
  'protocols',
  'services',
  'ssl',
].map((name) => `/etc/${name}`);
/** tmpfs is memory: a process must not fill the machine's. */
const tmpBytes = 64 * 1024 * 1024;
export const sandboxHome = '/tmp/home';

type View = Pick<StdioEntry, 'command' | 'args' | 'network' | 'cwd' | 'files' | 'writable'>;

/** The arguments of bubblewrap for an entry. Nothing of the machine is visible but what stands here. */
export function sandboxArguments(entry: View): string[] {
  const { command, args, network, cwd, files, writable } = entry;
  const readable = [
    ...files,
    ...(cwd === undefined || [...files, ...writable].some((p) => isWithin(cwd, p)) ? [] : [cwd]),
  ];
  const isShown = [...programs, ...readable, ...writable].some((folder) => isWithin(command, folder));
  // Often a link to a place that is not shown.
  const resolver = existsSync('/etc/resolv.conf') ? realpathSync('/etc/resolv.conf') : '/etc/resolv.conf';
  const bind = (flag: string, source: string, target = source): string[] => [flag, source, target];
  return [
    '--unshare-all',
    ...(network ? ['--share-net'] : []),
    '--die-with-parent',
    '--new-session',
    ...[...programs, ...settings].flatMap((folder) => bind('--ro-bind-try', folder)),
    ...(network ? bind('--ro-bind-try', resolver, '/etc/resolv.conf') : []),
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    '--size',
    String(tmpBytes),
    '--tmpfs',
    '/tmp',
    '--dir',
    sandboxHome,
    ...(isShown ? [] : bind('--ro-bind', command)),
    ...readable.flatMap((folder) => bind('--ro-bind', folder)),
    ...writable.flatMap((folder) => bind('--bind', folder)),
    '--chdir',
    cwd ?? sandboxHome,
    '--',
    command,
    ...args,
  ];
}

/** Whether bubblewrap is here and may do what is asked of it: many containers forbid that. */
export async function findSandbox(mode: SandboxMode): Promise<Sandbox> {
  if (mode === 'off') return null;
  const bwrap = places.find((place) => existsSync(place));
  if (bwrap === undefined) return null;
  const trial: View = { command: bwrap, args: ['--version'], network: false, cwd: undefined, files: [], writable: [] };
  try {
    await promisify(execFile)(bwrap, sandboxArguments(trial), { timeout: 5_000, env: {}, cwd: '/' });
    return { bwrap };
  } catch {
    // Not allowed here; what follows from that is the caller's to say.
    return null;
  }
}

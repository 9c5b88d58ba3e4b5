// Reads the operator's catalogue of commands that `mcp-stdio` connectors may name. The only source of a command line in the gateway: nothing
// that a request carries is ever looked at here. Every mistake in the file is named at once, with entry and field.
import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { isAbsolute, normalize } from 'node:path';
import { z } from 'zod';
import { ConfigError } from '../config.ts';

export interface StdioEntry {
  name: string;
  description: string | undefined;
  command: string;
  args: readonly string[];
  /** Names under which secrets may reach the process. */
  env: readonly string[];
  /** Fixed values, no secrets. `{{HOME}}` stands for the folder that only this process has. */
  variables: Readonly<Record<string, string>>;
  network: boolean;
  cwd: string | undefined;
  /** Paths that the sandbox shows, read-only. */
  files: readonly string[];
  /** Paths that the sandbox shows for writing. Every user's process shares them. */
  writable: readonly string[];
}

/** By the name that a connector gives as `entry`. Empty: the feature is off. */
export type StdioCatalog = ReadonlyMap<string, StdioEntry>;

const maxBytes = 1024 * 1024;

/** Variables by which whoever sets them gets code of their own to run, or traffic and trust redirected. */
const refusedNames = new RegExp(
  [
    '^(PATH|HOME|TMPDIR|SHELL|ENV|IFS|PS4|SHELLOPTS|BASHOPTS|CDPATH|CLASSPATH|GCONV_PATH|LOCPATH|_JAVA_OPTIONS|JDK_JAVA_OPTIONS)$',
    '^(NODE|LD|DYLD|GIT|SSL_CERT|NPM_CONFIG|BASH_FUNC|JAVA_TOOL|DOTNET|COMPLUS|CORECLR|MALLOC|MCP_VALET|VALET)_',
    '^(PYTHON|PERL|RUBY|BASH_ENV|GLIBC_TUNABLES)',
    '_PROXY$',
  ].join('|'),
  'i',
);

export const isRefusedName = (name: string): boolean => refusedNames.test(name);

const clean = (text: string): boolean => !text.includes('\0');
const line = z.string().max(32_768, 'is too long').refine(clean, 'must not hold a NUL character');
const path = line
  .refine(isAbsolute, 'must be an absolute path')
  .refine(
    (value) => !isAbsolute(value) || normalize(value) === value,
    'must be a plain path, without "..", "." or "//"',
  )
  .refine((value) => value !== '/', 'must not be the root folder');
const variableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'is not the name of an environment variable');
const secretVariable = variableName.refine((name) => !isRefusedName(name), {
  error: ({ input }) => `must not be ${String(input)}: it would change what the process runs or trusts`,
});

const entrySchema = z.strictObject({
  description: z.string().max(2000, 'is too long').optional(),
  command: path,
  args: z.array(line).max(200, 'has more than 200 values').default([]),
  env: z.array(secretVariable).max(100, 'has more than 100 names').default([]),
  variables: z.record(variableName, line).default({}),
  network: z.boolean().default(false),
  cwd: path.optional(),
  files: z.array(path).max(100, 'has more than 100 paths').default([]),
  writable: z.array(path).max(100, 'has more than 100 paths').default([]),
});

const entryName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const variable = 'VALET_STDIO_CATALOG';

/** `[1, 'a']` as `[1].a`, after a field name. */
const placeOf = (parts: readonly PropertyKey[]): string =>
  parts.map((part, at) => (typeof part === 'number' ? `[${part}]` : `${at > 0 ? '.' : ''}${String(part)}`)).join('');

function sayIssue(issue: z.core.$ZodIssue): string[] {
  const place = placeOf(issue.path);
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => `${place}${key} is not a field`);
  if (issue.code === 'invalid_type') {
    const isMissing = issue.input === undefined;
    const kind = { array: 'a list', record: 'an object', object: 'an object' }[issue.expected as string];
    return [`${place} ${isMissing ? 'is missing' : `must be ${kind ?? `a ${issue.expected}`}`}`.trim()];
  }
  return [`${place} ${issue.message}`];
}

/** Whether `path` is `folder` or lies in it. */
export const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

async function kindOf(path: string): Promise<'file' | 'folder' | 'other' | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other';
  } catch {
    // Missing, or not ours to see: either way it cannot be used.
    return undefined;
  }
}

/** What the machine says about the paths of an entry. */
async function checkPaths(entry: StdioEntry): Promise<string[]> {
  const problems: string[] = [];
  if ((await kindOf(entry.command)) !== 'file') problems.push(`command ${entry.command} is not a file`);
  else {
    const isExecutable = await access(entry.command, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!isExecutable) problems.push(`command ${entry.command} may not be executed`);
    if (((await stat(entry.command)).mode & 0o002) !== 0)
      problems.push(`command ${entry.command} is writable by everybody`);
  }
  if (entry.cwd !== undefined && (await kindOf(entry.cwd)) !== 'folder')
    problems.push(`cwd ${entry.cwd} is not a folder`);
  for (const field of ['files', 'writable'] as const)
    for (const [at, listed] of entry[field].entries())
      if ((await kindOf(listed)) === undefined) problems.push(`${field}[${at}] ${listed} does not exist`);
  const shown = [entry.command, ...entry.files, ...entry.writable, ...systemPaths];
  for (const [at, argument] of entry.args.entries()) {
    if (!isAbsolute(argument) || shown.some((folder) => isWithin(normalize(argument), folder))) continue;
    if ((await kindOf(argument)) !== undefined)
      problems.push(`args[${at}] ${argument} exists but no path in files or writable shows it to the process`);
  }
  return problems;
}

/** What every process may read: programs and libraries, and the few settings that they need. */
export const systemPaths = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/dev', '/proc', '/tmp'];

function shape(name: string, given: unknown): { entry: StdioEntry } | { problems: string[] } {
  if (!entryName.test(name))
    return { problems: ['the name must be 1 to 64 letters, digits, dots, hyphens or underscores'] };
  const parsed = entrySchema.safeParse(given, { reportInput: true });
  if (!parsed.success) return { problems: parsed.error.issues.flatMap(sayIssue) };
  const { description, cwd, ...rest } = parsed.data;
  const entry: StdioEntry = { name, description, cwd, ...rest };
  const problems = entry.env.flatMap((declared, at) => {
    if (entry.env.indexOf(declared) !== at) return [`env[${at}] ${declared} stands there twice`];
    return Object.hasOwn(entry.variables, declared) ? [`variables.${declared} is declared in env too`] : [];
  });
  for (const fixed of Object.keys(entry.variables))
    if (/^(HOME|TMPDIR|MCP_VALET_.*)$/i.test(fixed)) problems.push(`variables.${fixed} is set by the gateway`);
  return problems.length > 0 ? { problems } : { entry };
}

async function readText(file: string): Promise<string> {
  let found: Awaited<ReturnType<typeof stat>>;
  try {
    found = await stat(file);
  } catch {
    throw new ConfigError([`${variable} names a file that does not exist or cannot be read`]);
  }
  if (!found.isFile()) throw new ConfigError([`${variable} does not name a file`]);
  if (process.platform !== 'win32' && (found.mode & 0o022) !== 0)
    throw new ConfigError([`${variable} names a file that others may write; run "chmod go-w" on it`]);
  if (found.size > maxBytes) throw new ConfigError([`${variable} names a file larger than 1 MiB`]);
  try {
    return await readFile(file, 'utf8');
  } catch {
    throw new ConfigError([`${variable} names a file that cannot be read`]);
  }
}

/** The catalogue in `file`; without a file there are no commands. Throws ConfigError with everything that is wrong. */
export async function readStdioCatalog(file: string | undefined): Promise<StdioCatalog> {
  const entries = new Map<string, StdioEntry>();
  if (file === undefined) return entries;
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readText(file));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError([`${variable} is not JSON`]);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new ConfigError([`${variable} must be an object: names, and what each of them starts`]);
  const problems: string[] = [];
  for (const [name, given] of Object.entries(parsed)) {
    const result = shape(name, given);
    const wrong = 'problems' in result ? result.problems : await checkPaths(result.entry);
    problems.push(...wrong.map((problem) => `${variable}, entry "${name.slice(0, 64)}": ${problem}`));
    if ('entry' in result) entries.set(name, result.entry);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return entries;
}

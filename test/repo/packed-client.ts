// The SDK as users have it: packed as it would be published and installed into a folder of its own, where tests compile against it and run it.
// Needs a build (`npm test` makes one). Nothing here looks at the sources.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { pack, root } from './workspace.ts';

export interface PackedClient {
  /** A folder whose `node_modules` holds the SDK and nothing else. */
  project: string;
  tarball: string;
  /** Installs a package of `test/package.json` beside the SDK, under `name`; another one before it is replaced. */
  link(name: string, installedAs?: string): void;
  remove(): void;
}

export function unpackClient(): PackedClient {
  if (!existsSync(join(root, 'packages/client/dist/index.d.ts')))
    throw new Error('packages/client is not built: run `npm run build`');
  const project = mkdtempSync(join(tmpdir(), 'packed-client-'));
  const tarball = pack('packages/client', project);
  execFileSync('tar', ['-xzf', tarball, '-C', project]);
  mkdirSync(join(project, 'node_modules/@mcp-valet'), { recursive: true });
  renameSync(join(project, 'package'), join(project, 'node_modules/@mcp-valet/client'));
  return {
    project,
    tarball,
    link(name, installedAs = name) {
      const place = join(project, 'node_modules', name);
      mkdirSync(dirname(place), { recursive: true });
      rmSync(place, { force: true });
      symlinkSync(join(root, 'test/node_modules', installedAs), place, 'dir');
    },
    remove: () => rmSync(project, { recursive: true, force: true }),
  };
}

/** How callers compile: strictly, the declarations of the SDK included, with the platform's types from the DOM and none of Node's. */
export const callersOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
  types: [],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true,
} satisfies ts.CompilerOptions;

export interface Complaint {
  code: number;
  /** From 1. */
  line: number;
  file: string;
  message: string;
}

/** Libraries and frameworks are read once per version of the compiler, however many programs they are in. */
const parsed = new Map<string, ts.SourceFile | undefined>();

/**
 * What a compiler says about files, and about the declarations of the SDK that they lead to. Not asked: whether the libraries of the platform
 * and of frameworks are right in themselves. `bare`: what a specifier means, for runtimes that add to it.
 */
export function complaintsAbout(
  compiler: typeof ts,
  files: string[],
  options: ts.CompilerOptions,
  bare?: (specifier: string) => string,
): Complaint[] {
  const host = compiler.createCompilerHost(options);
  if (bare)
    host.resolveModuleNameLiterals = (names, importer) =>
      names.map(({ text }) => compiler.resolveModuleName(bare(text), importer, options, host));
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (name, ...how) => {
    if (!name.includes('/node_modules/') || name.includes('/@mcp-valet/')) return read(name, ...how);
    const key = `${compiler.version} ${options.module} ${name}`;
    if (!parsed.has(key)) parsed.set(key, read(name, ...how));
    return parsed.get(key);
  };
  const program = compiler.createProgram(files, options, host);
  const ours = program
    .getSourceFiles()
    .filter(({ fileName }) => files.includes(fileName) || fileName.includes('/@mcp-valet/client/dist/'));
  if (ours.length <= files.length) throw new Error('The declarations of the SDK were not found');
  const all = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...ours.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
  ];
  return all.map(({ code, file, start, messageText }) => ({
    code,
    line: file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0,
    file: file?.fileName ?? '',
    message: compiler.flattenDiagnosticMessageText(messageText, ' '),
  }));
}

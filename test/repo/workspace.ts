// Where the repository's own files are, for the tests that check the repository itself. Reads only.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Manifest {
  name: string;
  version: string;
  private?: boolean;
  license: string;
  description?: string;
  keywords?: string[];
  publishConfig?: Record<string, unknown>;
  type: string;
  engines?: { node: string };
  packageManager?: string;
  exports?: Record<string, unknown>;
  files?: string[];
  bin?: Record<string, string>;
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  peerDependenciesMeta?: Record<string, { optional: boolean }>;
}

export const read = (path: string): string => readFileSync(join(root, path), 'utf8');

export const manifest = (folder: string): Manifest => JSON.parse(read(join(folder, 'package.json'))) as Manifest;

/** Folders with a manifest, the root (`.`) first. */
export function manifestFolders(): string[] {
  const nested = ['packages', 'examples'].flatMap((group) =>
    readdirSync(join(root, group)).map((name) => `${group}/${name}`),
  );
  return ['.', ...nested.filter((folder) => statSync(join(root, folder)).isDirectory()), 'test'];
}

/** Our own source files, with `/` between folders. Not built, installed or generated ones, and not the seeds, which stand verbatim. */
export function sourceFiles(): string[] {
  const skipped = new Set(['node_modules', 'dist', 'seeds', 'fixtures', 'migrations']);
  const walk = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return skipped.has(entry.name) ? [] : walk(path);
      return /\.(ts|tsx|mts|cts|js|mjs|cjs)$/.test(entry.name) ? [relative('', path).split(sep).join('/')] : [];
    });
  return ['packages', 'examples', 'test'].flatMap(walk).sort();
}

/** Packs a package as it would be published and returns the tarball's path. */
export function pack(folder: string, destination: string): string {
  const pnpm = manifest('.').packageManager;
  if (!pnpm) throw new Error('package.json names no packageManager');
  const out = execFileSync('npx', ['-y', pnpm, 'pack', '--json', '--pack-destination', destination], {
    cwd: join(root, folder),
    encoding: 'utf8',
    timeout: 60_000,
  });
  const { filename } = JSON.parse(out.slice(out.indexOf('{'))) as { filename: string };
  return filename;
}

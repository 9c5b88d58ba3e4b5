// What a library weighs, and the table of the lab as Markdown. Reads installed packages; bundles into a folder of its own, which is removed.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'tsup';
import { root } from '../repo/workspace.ts';
import { rows, warmUp } from './rows.ts';
import { installed, ours, type Subject } from './subjects.ts';

/** Packages that come along when it is installed. */
function runtimePackages(name: string): number {
  const found = new Set<string>();
  const walk = (one: string, from: string): void => {
    const { folder, manifest } = installed(one, from);
    if (found.has(folder)) return;
    found.add(folder);
    const here = pathToFileURL(join(folder, 'package.json')).href;
    for (const next of Object.keys(manifest.dependencies ?? {})) walk(next, here);
  };
  walk(name, import.meta.url);
  return found.size - 1;
}

/** Kilobytes of everything it exports with what it imports, at once or later, minified and compressed. */
export async function bundledSize(name: string): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'lab-'));
  try {
    const entry = join(work, 'entry.mjs');
    writeFileSync(entry, `export * from '${name}';`);
    await build({
      entry: [entry],
      outDir: join(work, 'out'),
      format: 'esm',
      target: 'node20',
      platform: 'node',
      noExternal: [/./],
      external: Object.keys(installed(name).manifest.peerDependencies ?? {}),
      esbuildOptions: (options) => {
        options.nodePaths = [fileURLToPath(new URL('../node_modules', import.meta.url))];
      },
      minify: true,
      splitting: false,
      silent: true,
      config: false,
      tsconfig: join(root, 'tsconfig.json'),
    });
    const files = readdirSync(join(work, 'out')).map((file) => readFileSync(join(work, 'out', file)));
    return Math.round(files.reduce((sum, file) => sum + gzipSync(file).length, 0) / 1000);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What it adds to a bundle, what it installs, and the oldest Node that it says it runs on. */
async function weightOf(name: string): Promise<string> {
  const floor = installed(name).manifest.engines?.node?.replace(/^>=\s?/, '');
  return `${await bundledSize(name)} kB / ${runtimePackages(name)} / ${floor ?? 'not said'}`;
}

/** What each row says of a library. The rows run at the same time, each before a server of its own. */
export async function column(subject: Subject): Promise<string[]> {
  await warmUp(subject);
  return Promise.all(rows.map(({ measure }) => measure(subject)));
}

export async function table(subjects: readonly Subject[], notRun: readonly string[]): Promise<string> {
  // All are loaded before the first is measured: loading blocks everybody's timers.
  await Promise.all(subjects.map(warmUp));
  const measured = await Promise.all(subjects.map(column));
  const weights = await Promise.all(subjects.map((subject) => weightOf(subject.package)));
  const lines = [
    ['', ...subjects.map(headOf), ...notRun],
    ...rows.map(({ name }, at) => [name, ...measured.map((cells) => cells[at] ?? ''), ...notRun.map(() => 'not run')]),
    ['minified + gzip / packages installed / Node', ...weights, ...notRun.map(() => 'not run')],
  ];
  const widths = (lines[0] ?? []).map((_, at) => Math.max(3, ...lines.map((line) => (line[at] ?? '').length)));
  const row = (cells: string[]) => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = lines;
  return [row(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body.map(row)].join('\n');
}

const headOf = ({ package: name }: Subject): string =>
  name === ours.package ? 'ours' : `${name} ${installed(name).manifest.version}`;

// What every page must be: its links lead somewhere, the files it names exist, the tables that can be checked are complete, and it speaks
// of the project alone.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import * as sdk from '@mcp-valet/client';
import { errorCodes, errorTable } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { read, root } from '../repo/workspace.ts';
import { anchorsOf, blocksOf, codeSpansOf, linksOf, markdownFiles, tableAfter } from './markdown.ts';

const pages = markdownFiles();

/** The places in a page that `isWrong` finds, as `page: place`. */
const offenders = (placesOf: (text: string) => string[], isWrong: (place: string, page: string) => boolean): string[] =>
  pages.flatMap((page) =>
    placesOf(read(page))
      .filter((place) => isWrong(place, page))
      .map((place) => `${page}: ${place}`),
  );

describe('every page', () => {
  it('is found by this test', () => {
    for (const page of ['README.md', 'docs/README.md', 'docs/guides/operating.md', 'packages/client/README.md'])
      expect(pages).toContain(page);
  });

  it('links to pages, files and headings that are there', () => {
    const isBroken = (link: string, page: string): boolean => {
      if (/^(https?|mailto):/.test(link)) return false;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : normalize(join(dirname(page), path));
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !anchorsOf(read(target)).includes(anchor);
    };
    expect(offenders(linksOf, isBroken)).toEqual([]);
  });

  it('names files of this repository that are there', () => {
    const isPath = (span: string): boolean => /^(packages|test|docs|examples)\/[\w./-]+$/.test(span);
    expect(offenders(codeSpansOf, (span) => isPath(span) && !existsSync(join(root, span)))).toEqual([]);
  });

  it('is reached from the index of the documentation', () => {
    const listed = linksOf(read('docs/README.md')).map((link) => normalize(join('docs', link.split('#')[0] ?? '')));
    expect(
      pages.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !listed.includes(page)),
    ).toEqual([]);
  });

  it('names no path of a machine and no registry', () => {
    const isForeign = (line: string): boolean =>
      /(^|[\s`'"(])\/(work|tmp|home|root|Users)\//.test(line) || /registry\.|npmjs\.|jsr\.io/.test(line);
    expect(offenders((text) => text.split('\n'), isForeign)).toEqual([]);
  });
});

describe('the decisions', () => {
  const files = readdirSync(join(root, 'docs/adr')).sort();

  it('are numbered without a gap', () => {
    expect(files.map((file) => file.slice(0, 4))).toEqual(files.map((_, index) => String(index + 1).padStart(4, '0')));
  });

  it.each(files)('%s has status, context, decision and consequences in at most 40 lines', (file) => {
    const text = read(`docs/adr/${file}`);
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(40);
    expect(text).toMatch(new RegExp(`^# ${file.slice(0, 4)}: .+\\n\\nStatus: (accepted|superseded by .+)\\n`));
    expect([...text.matchAll(/^## (.+)$/gm)].map((match) => match[1])).toEqual(['Context', 'Decision', 'Consequences']);
  });
});

describe('the tree of the architecture', () => {
  const lines =
    blocksOf(read('docs/architecture.md'))
      .find(({ language }) => language === 'tree')
      ?.code.trimEnd()
      .split('\n') ?? [];

  it('holds what is there', () => {
    let folder = '';
    const missing = lines.filter((line) => {
      const [name = ''] = line.trim().split(/\s+/);
      if (!line.startsWith(' ')) folder = name;
      return !existsSync(join(root, line.startsWith(' ') ? folder + name : name));
    });
    expect(lines.length).toBeGreaterThan(60);
    expect(missing).toEqual([]);
  });

  it('leaves out no folder of the sources', () => {
    const named = new Set(lines.map((line) => line.split(/\s+/)[0]));
    const walk = (folder: string): string[] =>
      readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
        const path = `${folder}${entry.name}/`;
        return entry.isDirectory() ? [path, ...walk(path)] : [];
      });
    const folders = ['packages/shared/src/', 'packages/client/src/', 'packages/server/src/'].flatMap((source) => [
      source,
      ...walk(source),
    ]);
    expect(folders.filter((folder) => !named.has(folder))).toEqual([]);
  });
});

describe('the table of the codes', () => {
  const rows = tableAfter(read('docs/guides/errors.md'), '## The codes').map((cells) =>
    cells.map((cell) => cell.replaceAll('`', '')),
  );

  it('is the table of the contract', () => {
    const expected = errorCodes.map((code) => {
      const { status, retryable, executed, when } = errorTable[code];
      return [code, String(status), retryable ? 'yes' : 'no', executed, when];
    });
    expect(
      rows.map(([code, status, retryable, executed, , when]) => [code, status, retryable, executed, when]),
    ).toEqual(expected);
  });

  it('names classes that the SDK has', () => {
    expect(rows.map((cells) => cells[4] ?? '').filter((name) => !(name in sdk))).toEqual([]);
  });
});

// What the tests of the documentation read in it: fenced blocks with the words of their info string, links, headings. Reads only.
import { readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { root } from '../repo/workspace.ts';

export interface Block {
  /** `sh`, `ts`, `json`, … */
  language: string;
  /** What follows it: `run` is executed by a test, `output` is what the block before it must print. */
  role: string;
  code: string;
  /** Line of the opening fence, for messages. */
  line: number;
}

export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: (Block & { fence: string }) | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^(`{3,})(.*)$/.exec(line);
    if (open === undefined && fence !== null) {
      const [language = '', role = ''] = (fence[2] ?? '').trim().split(/\s+/);
      open = { language, role, code: '', line: index + 1, fence: fence[1] ?? '' };
    } else if (open !== undefined && line === open.fence) {
      const { fence: _, ...block } = open;
      blocks.push(block);
      open = undefined;
    } else if (open !== undefined) {
      open.code += `${line}\n`;
    }
  }
  if (open !== undefined) throw new Error(`the block that begins in line ${open.line} does not end`);
  return blocks;
}

/** The text between the blocks. */
export function proseOf(markdown: string): string {
  return markdown.replace(/^(`{3,}).*\n[\s\S]*?^\1$/gm, '');
}

/** Targets of links and images. */
export function linksOf(markdown: string): string[] {
  const prose = proseOf(markdown).replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '');
}

/** Texts in single backticks. */
export function codeSpansOf(markdown: string): string[] {
  return [...proseOf(markdown).matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? '');
}

/** The anchors that a page's headings have where it is shown. */
export function anchorsOf(markdown: string): string[] {
  const headings = [...proseOf(markdown).matchAll(/^#{1,6} (.+)$/gm)].map((match) => match[1] ?? '');
  return headings.map((text) =>
    text
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** The rows of the first table after a heading, cells trimmed, without the header. */
export function tableAfter(markdown: string, heading: string): string[][] {
  const from = markdown.indexOf(`${heading}\n`);
  if (from < 0) throw new Error(`there is no heading "${heading}"`);
  const lines = markdown.slice(from).split('\n');
  const first = lines.findIndex((line) => line.startsWith('|'));
  const length = lines.slice(first).findIndex((line) => !line.startsWith('|'));
  const cells = (line: string) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim());
  return lines.slice(first + 2, length < 0 ? undefined : first + length).map(cells);
}

/** Every page of the repository, with `/` between folders. Not what is installed, built or stands verbatim. */
export function markdownFiles(): string[] {
  const skipped = new Set(['node_modules', 'dist', 'out', 'seeds', 'fixtures', '.git']);
  const walk = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return skipped.has(entry.name) ? [] : walk(path);
      return entry.name.endsWith('.md') ? [relative('', path).split(sep).join('/')] : [];
    });
  return walk('.').sort();
}

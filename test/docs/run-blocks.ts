// Runs the blocks of a page as a reader would, in order and in one shell or one module, and tells what each printed. Decides nothing about
// what should have been printed beyond how a printed line and the line in the page are compared.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'node:util';
import { vi } from 'vitest';
import type { Block } from './markdown.ts';

export interface Printed {
  block: Block;
  text: string;
}

/** One bash that ends at the first command that fails. `prelude` runs before the first block and prints nothing. */
export function runShell(
  blocks: readonly Block[],
  prelude: string,
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<Printed[]> {
  const mark = `-- ${randomBytes(8).toString('hex')} --`;
  const script = [prelude, ...blocks.map(({ code }) => code)].join(`\necho; echo '${mark}'\n`);
  return new Promise((resolve, reject) => {
    execFile(
      'bash',
      ['-euo', 'pipefail', '-c', `exec 2>&1\n${script}`],
      { env, cwd, timeout: 120_000, maxBuffer: 4e6 },
      (error, stdout) => {
        const [, ...texts] = stdout.split(`${mark}\n`);
        const failed = blocks[texts.length - 1];
        if (error)
          return reject(
            new Error(
              `the block in line ${failed?.line ?? 0} failed:\n${failed?.code ?? script}\n${texts.at(-1) ?? stdout}`,
            ),
          );
        resolve(blocks.map((block, index) => ({ block, text: texts[index] ?? '' })));
      },
    );
  });
}

/** Each block is a module of this process; what it says with console.log counts as printed. `folder` decides what its imports find. */
export async function runModules(
  blocks: readonly Block[],
  folder: string,
  env: Record<string, string>,
): Promise<Printed[]> {
  const scratch = join(folder, 'out');
  let text = '';
  const log = vi.spyOn(console, 'log').mockImplementation((...args: unknown[]) => {
    text += `${format(...args)}\n`;
  });
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  mkdirSync(scratch, { recursive: true });
  const printed: Printed[] = [];
  try {
    for (const block of blocks) {
      const file = join(scratch, `block-${randomBytes(6).toString('hex')}.ts`);
      writeFileSync(file, block.code);
      text = '';
      await import(/* @vite-ignore */ file);
      printed.push({ block, text });
    }
  } finally {
    log.mockRestore();
    rmSync(scratch, { recursive: true, force: true });
  }
  return printed;
}

/** As a pattern: `…` stands for anything, and white space counts in JSON only inside of texts. */
export function patternOf(block: Block): RegExp {
  const pieces = tidy(block.code, block.language).split('…');
  return new RegExp(`^${pieces.map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[\\s\\S]*?')}$`);
}

export function tidy(text: string, language: string): string {
  if (language !== 'json') return text.trim().replace(/[ \t]+$/gm, '');
  return text.trim().replace(/"(?:[^"\\]|\\.)*"|\s+/g, (match) => (match.startsWith('"') ? match : ''));
}

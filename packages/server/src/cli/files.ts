// Files that a command was given: their failures are told as what an operator can put right.
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { CommandError } from './program.ts';

/** The word of the system, such as ENOENT. */
const fileProblem = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);

/** `what` begins the sentence: "The file x". */
export async function readGiven(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CommandError(`${what} cannot be read (${fileProblem(error)}).`);
  }
}

export const unwritable = (file: string, error: unknown): CommandError =>
  new CommandError(`${file} cannot be written (${fileProblem(error)}).`);

/** The name to write under until the file is whole: one of its own, since what a killed command left must not stand in the way of the next. */
export function draftOf(file: string): string {
  if (existsSync(file)) throw new CommandError(`${file} exists; nothing is written over it.`);
  return `${file}.${process.pid}.partial`;
}

/** A draft that is whole becomes the file, and never another one's successor. */
export async function takeName(draft: string, file: string): Promise<void> {
  await writeFile(file, '', { flag: 'wx', mode: 0o600 }).catch((error: unknown) => {
    throw unwritable(file, error);
  });
  await rename(draft, file);
}

// Files that a command was given: their failures are told as what an operator can put right.
import { readFile } from 'node:fs/promises';
import { CommandError } from './program.ts';

/** The word of the system, such as ENOENT. */
export const fileProblem = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);

/** `what` begins the sentence: "The file x". */
export async function readGiven(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CommandError(`${what} cannot be read (${fileProblem(error)}).`);
  }
}

// The command line: parses what was typed, runs one command, answers its exit code. Prints through the terminal that main hands in and never exits.
// One file per group of commands, registered in `commands.ts`; a group knows nothing of the others.
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config.ts';
import { version } from '../version.ts';

/** 0: done, and as it should be. 1: done, and something is wrong. 2: not done, or not understood. */
export type ExitCode = 0 | 1 | 2;

export interface Terminal {
  /** To standard output: the answer. */
  say(text: string): void;
  /** To standard error: what is wrong, what to do, and progress. */
  complain(text: string): void;
  /** Standard error is a person's terminal: a line of progress may be written over. */
  readonly isInteractive: boolean;
  /** Variables in place of the process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface CommandResult {
  code: ExitCode;
  /** For standard output. */
  said: string;
  /** For standard error. */
  complained: string;
}

/** What the operator can put right: shown as it is, exit code 2. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** Adds one group. An action answers what is to be shown; `terminal` is for progress on long work. */
export type CommandGroup = (program: Command, terminal: Terminal, done: Done) => void;

/** Wraps an action: its result is shown and its exit code kept; its errors become a sentence and exit code 2. */
export type Done = <A extends unknown[]>(
  action: (...args: A) => Promise<CommandResult>,
) => (...args: A) => Promise<void>;

const answered = (said: string): CommandResult => ({ code: 0, said, complained: '' });
/** `value` as JSON with `--json`, else the sentences. */
export const shown = (isJson: boolean | undefined, value: unknown, sentences: string): CommandResult =>
  answered(isJson === true ? JSON.stringify(value) : sentences);

/** A line of progress: written over where a person looks on, else one now and then. */
export function progressOn(terminal: Terminal): (text: string) => void {
  let last = 0;
  return (text) => {
    if (terminal.isInteractive) return terminal.complain(`\r\x1b[K${text}\x1b[1A`);
    const now = Date.now();
    if (now - last < 2_000) return;
    last = now;
    terminal.complain(text);
  };
}

/** Runs `args`. Every group is registered, so that help is whole; what a command needs it loads when it runs. */
export async function runCommand(
  args: readonly string[],
  groups: readonly CommandGroup[],
  terminal: Terminal,
): Promise<ExitCode> {
  let code: ExitCode = 0;
  const done: Done =
    (action) =>
    async (...given) => {
      const result = await action(...given).catch(refused);
      if (result.said) terminal.say(result.said);
      if (result.complained) terminal.complain(result.complained);
      code = result.code;
    };
  const program = newProgram(terminal);
  for (const register of groups) register(program, terminal, done);
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    // Help that was asked for is an answer; everything else that commander says is a command that was not understood.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  return code;
}

function newProgram(terminal: Terminal): Command {
  const line = (text: string) => text.replace(/\n$/, '');
  return new Command('mcp-valet')
    .description('The MCP Valet gateway and what its operator does beside it. Configuration is environment variables.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('Run with --help for what there is.')
    .showSuggestionAfterError()
    .configureHelp({ helpWidth: 110 })
    .configureOutput({
      writeOut: (text) => terminal.say(line(text)),
      writeErr: (text) => terminal.complain(line(text)),
    })
    .addHelpText('after', '\nWithout a command it serves. Exit code: 0 done, 1 something is wrong, 2 not done.');
}

function refused(error: unknown): CommandResult {
  if (!(error instanceof Error)) throw error;
  // These are written for the operator; of others the kind and the message are all that may be shown.
  const isPlain = error instanceof CommandError || error instanceof ConfigError;
  const known =
    isPlain ||
    /^(Refusal|DocumentError|MasterKeyError|DirectoryLocked|MigrationError|BackupError|CopyRefused|Database(Error|Unavailable))$/.test(
      error.name,
    );
  return { code: 2, said: '', complained: known ? error.message : `${error.name}: ${error.message}` };
}

// One child process: started without a shell from a catalogue entry, read line by line, and ended with everything that it started. Knows
// nothing of MCP. The command line comes from the entry alone; the environment is built here from nothing.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StdioEntry } from '../stdio-catalog.ts';
import { createLineReader, createRing, type Ring } from './mcp-stdio-lines.ts';
import { type Sandbox, sandboxArguments, sandboxHome } from './mcp-stdio-sandbox.ts';
import { markedWith, markName, membersOf, type ProcessStat, readProcesses } from './mcp-stdio-tree.ts';

export interface ProcessOptions {
  entry: StdioEntry;
  /** Declared names with their values. */
  env: Readonly<Record<string, string>>;
  sandbox: Sandbox;
  maxLineBytes: number;
  /** Between the request to end and the end by force. */
  graceMs: number;
  onLine: (line: string) => void;
  /** Called once: what the process wrote has been read, and nothing more will come. */
  onEnd: (words: string) => void;
}

const ringBytes = 64 * 1024;
/** What may wait for a process that does not read. */
const maxUnreadBytes = 16 * 1024 * 1024;
/** How long the last words of a process that has ended may take through the pipe. */
const drainMs = 200;
const sweeps = 40;
const sweepPauseMs = 25;

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended already; anything else would be a process that is not ours.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH' && (error as NodeJS.ErrnoException).code !== 'EPERM')
      throw error;
  }
}

export class StdioProcess {
  readonly startedAt = Date.now();
  /** Resolves when the process, all that it started and its folder are gone. */
  readonly gone: Promise<void>;
  readonly #child: ChildProcessWithoutNullStreams;
  // Not the options as a whole: the secrets among them are the process's from now on, and nobody else's.
  readonly #onEnd: ProcessOptions['onEnd'];
  readonly #graceMs: number;
  readonly #isSandboxed: boolean;
  readonly #mark: string;
  readonly #home: string | undefined;
  readonly #stderr: Ring = createRing(ringBytes);
  readonly #exited: Promise<void>;
  #words: string | undefined;
  #known: readonly ProcessStat[] = [];
  #isEnding = false;

  static async start(options: ProcessOptions): Promise<StdioProcess> {
    const home = options.sandbox === null ? await mkdtemp(join(tmpdir(), 'mcp-valet-stdio-')) : undefined;
    try {
      return new StdioProcess(options, home);
    } catch (error) {
      if (home !== undefined) await rm(home, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(options: ProcessOptions, home: string | undefined) {
    this.#onEnd = options.onEnd;
    this.#graceMs = options.graceMs;
    this.#isSandboxed = options.sandbox !== null;
    this.#home = home;
    this.#mark = randomUUID();
    const { entry, sandbox, env, maxLineBytes } = options;
    const visibleHome = home ?? sandboxHome;
    const variables = Object.entries(entry.variables).map(([name, value]) => [
      name,
      value.replaceAll('{{HOME}}', visibleHome),
    ]);
    const child = spawn(
      sandbox === null ? entry.command : sandbox.bwrap,
      sandbox === null ? entry.args : sandboxArguments(entry),
      {
        shell: false,
        // A process group of its own: it can be ended as a whole, and a signal to the gateway's group does not reach it.
        detached: true,
        cwd: home === undefined ? '/' : (entry.cwd ?? home),
        stdio: ['pipe', 'pipe', 'pipe'],
        env: {
          PATH: '/usr/local/bin:/usr/bin:/bin',
          LANG: 'C.UTF-8',
          ...Object.fromEntries(variables),
          ...env,
          HOME: visibleHome,
          TMPDIR: home ?? '/tmp',
          [markName]: this.#mark,
        },
      },
    );
    this.#child = child;
    const reader = createLineReader(maxLineBytes, options.onLine);
    child.stdout.on('data', (chunk: Buffer) => {
      if (!reader.push(chunk)) void this.end(`The server process wrote a line longer than ${maxLineBytes} bytes`);
    });
    child.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    // Broken pipes: the end of the process says it better.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', () => undefined);
    this.#exited = new Promise((resolve) => {
      child.once('error', () => {
        if (child.pid !== undefined) return;
        this.#words ??= 'The server process cannot be started';
        resolve();
      });
      child.once('exit', (code, signal) => {
        this.#words ??= `The server process ended ${signal === null ? `with exit code ${code}` : `by ${signal}`}`;
        resolve();
      });
    });
    this.gone = this.#exited.then(() => this.#clear());
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Why it ended, or ends; undefined while it serves. */
  get words(): string | undefined {
    return this.#words;
  }

  /** The end of what it wrote to stderr, as it wrote it: not for answers, and for logs only after scrubbing. */
  get stderr(): string {
    return this.#stderr.text();
  }

  /** False when it cannot be written any more. */
  write(line: string): boolean {
    const { stdin } = this.#child;
    if (this.#words !== undefined || !stdin.writable) return false;
    if (stdin.writableLength > maxUnreadBytes) {
      void this.end('The server process does not read its input');
      return false;
    }
    stdin.write(`${line}\n`);
    return true;
  }

  /** Itself and what it started, as far as it has not detached itself. Remembered for the end. */
  members(all: readonly ProcessStat[]): readonly ProcessStat[] {
    if (this.pid === undefined || this.#hasExited()) return [];
    this.#known = membersOf(this.pid, all);
    return this.#known;
  }

  /** From then on its pid may be somebody else's. */
  #hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Asks it to end, ends it by force after the grace, and waits until it and all that it started are gone. */
  async end(words: string): Promise<void> {
    this.#words ??= words;
    if (!this.#isEnding) {
      this.#isEnding = true;
      await this.#terminate();
    }
    await this.gone;
  }

  async #terminate(): Promise<void> {
    const { pid, stdin } = this.#child;
    stdin.end();
    const members = this.members(await readProcesses());
    if (pid === undefined || this.#hasExited()) return;
    if (!this.#isSandboxed) kill(-pid, 'SIGTERM');
    // bubblewrap itself would end at once and take the server with it, so only those inside are asked.
    else for (const member of members) if (member.pid !== pid) kill(member.pid, 'SIGTERM');
    const waiting = new AbortController();
    const isOver = await Promise.race([
      this.#exited.then(() => true),
      sleep(this.#graceMs, false, { signal: waiting.signal }).catch(() => true),
    ]);
    waiting.abort();
    if (!isOver) kill(-pid, 'SIGKILL');
  }

  /** After the exit: the last words are read, then whoever was left behind is ended. */
  async #clear(): Promise<void> {
    const { stdout, stderr, stdin, pid } = this.#child;
    if (pid !== undefined) {
      const drained = new Promise<void>((resolve) => {
        if (stdout.closed || stdout.readableEnded) resolve();
        else stdout.once('end', resolve).once('close', resolve);
      });
      await Promise.race([drained, sleep(drainMs, undefined, { ref: false })]);
    }
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    this.#onEnd(this.#words ?? 'The server process ended');
    if (pid !== undefined) await this.#sweep(pid);
    // What cannot be removed is a folder in the system's temporary one; it must not hold up the end.
    if (this.#home !== undefined)
      await rm(this.#home, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }

  /** Grandchildren: with bubblewrap the kernel ends them with their namespace, else they are found by group and mark. */
  async #sweep(pid: number): Promise<void> {
    for (let round = 0; round < sweeps; round++) {
      const all = await readProcesses();
      const marked = new Set(await markedWith(this.#mark, all));
      const isKnown = (stat: ProcessStat): boolean =>
        this.#known.some((known) => known.pid === stat.pid && known.startedAt === stat.startedAt);
      const left = all.filter((stat) => stat.pid !== pid && (stat.group === pid || marked.has(stat) || isKnown(stat)));
      if (left.length === 0) return;
      for (const stat of left) kill(stat.pid, 'SIGKILL');
      await sleep(sweepPauseMs);
    }
  }
}

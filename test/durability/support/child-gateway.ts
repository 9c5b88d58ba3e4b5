// A gateway as a process of its own, so that it can be killed. Runs the build when it is newer than the sources, else the sources.
// Collects what it prints: tests search that too.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const built = join(root, 'packages/server/dist/main.js');

const newest = (folder: string): number =>
  Math.max(
    ...readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs),
  );

let command: string[] | undefined;
export function gatewayCommand(): string[] {
  const isFresh = () =>
    statSync(built).mtimeMs >
    Math.max(newest(join(root, 'packages/server/src')), newest(join(root, 'packages/shared/src')));
  command ??=
    existsSync(built) && isFresh()
      ? [built]
      : ['--import', 'tsx', '--conditions=@mcp-valet/source', join(root, 'packages/server/src/main.ts')];
  return command;
}

/** What all starts of one test share: the keys must stay the same over restarts. */
export function sharedEnvironment(databaseUrl: string): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    PORT: '0',
    VALET_MASTER_KEY: randomBytes(32).toString('base64'),
    VALET_API_KEY: `k-${randomBytes(24).toString('hex')}`,
    VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8',
    VALET_RATE_LIMIT: '1000000',
    VALET_LIST_RATE_LIMIT: '1000000',
    VALET_MANAGEMENT_RATE_LIMIT: '1000000',
    VALET_CONCURRENT_CALLS: '1000',
    LOG_LEVEL: 'trace',
  };
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export class ChildGateway {
  url = '';
  /** Everything it wrote to standard output and standard error. */
  output = '';
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #up: Promise<void>;

  constructor(env: Readonly<Record<string, string>>) {
    const { PATH = '', HOME = '', TMPDIR = '' } = process.env;
    this.#child = spawn(process.execPath, gatewayCommand(), {
      cwd: root,
      env: { PATH, HOME, ...(TMPDIR && { TMPDIR }), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = new Promise((resolve) => this.#child.once('exit', (code, signal) => resolve({ code, signal })));
    this.#up = new Promise((resolve, reject) => {
      const read = (chunk: Buffer): void => {
        this.output += chunk.toString();
        const found = /MCP Valet \S+ listens on (http:\S+)/.exec(this.output)?.[1];
        if (found === undefined) return;
        this.url = found;
        resolve();
      };
      this.#child.stdout?.on('data', read);
      this.#child.stderr?.on('data', read);
      void this.exited.then(({ code, signal }) =>
        reject(new Error(`the gateway ended at its start (${code ?? signal}): ${this.output.slice(-2_000)}`)),
      );
    });
    // Whoever does not wait for the start looks at `exited`.
    this.#up.catch(() => undefined);
  }

  /** Resolves when it listens. */
  async up(): Promise<this> {
    await this.#up;
    return this;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** kill -9, and waits until the kernel says that it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }
}

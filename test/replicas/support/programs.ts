// Redis and nginx as processes of one test, on loopback ports of their own, ended by the test. Where a program is not installed,
// test/support/packages tells at the end of the run what was left out.
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../support/ports.ts';

// Debian keeps nginx where only root's PATH looks.
const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];

function programPath(name: string): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        // Not in this folder.
        return false;
      }
    });
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export class Program {
  readonly port: number;
  readonly #file: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #gone: Promise<unknown> = Promise.resolve();
  output = '';

  constructor(name: string, port: number, args: readonly string[]) {
    const file = programPath(name);
    if (file === undefined) throw new Error(`${name} is not installed`);
    [this.#file, this.port, this.#args] = [file, port, args];
  }

  async start(): Promise<this> {
    const child = spawn(this.#file, [...this.#args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.#gone = new Promise((resolve) => child.once('exit', resolve));
    const read = (chunk: Buffer): void => {
      this.output += chunk.toString();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    const end = performance.now() + 30_000;
    while (!(await accepts(this.port))) {
      if (child.exitCode !== null || performance.now() > end)
        throw new Error(`${this.#file} did not start: ${this.output.slice(-1_000)}`);
      await sleep(20);
    }
    return this;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async stop(name: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    // A stopped process hears nothing else.
    if (name !== 'SIGKILL') this.#child?.kill('SIGCONT');
    this.#child?.kill(name);
    await this.#gone;
  }
}

export interface TestRedis {
  url: string;
  server: Program;
  close(): Promise<void>;
}

/** Keeps nothing on disk: a restart is empty. */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'valet-redis-'));
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir];
  const server = await new Program('redis-server', port, args).start();
  return {
    url: `redis://127.0.0.1:${port}`,
    server,
    async close() {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

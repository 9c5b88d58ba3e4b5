// Children of the benchmark: started with their first message, measured from outside, ended by pid.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Child {
  pid: number;
  stop(): Promise<void>;
}

const ticksPerSecond = 100;

/** CPU time that a process has used, in microseconds, as the kernel counts it. */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1e6;
}

function childOf(process: ChildProcess): Child {
  const { pid } = process;
  if (pid === undefined) throw new Error('the process did not start');
  return {
    pid,
    stop: () =>
      new Promise((resolve) => {
        if (process.exitCode !== null) return resolve();
        process.once('exit', () => resolve());
        process.kill('SIGTERM');
        setTimeout(() => process.kill('SIGKILL'), 5_000).unref();
      }),
  };
}

/** Starts a TypeScript file of this folder and waits for its first message. */
export async function startFile<T>(file: string, args: string[] = []): Promise<Child & { message: T }> {
  const child = fork(new URL(file, import.meta.url), args, {
    execArgv: ['--conditions=@mcp-valet/source', '--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const message = await new Promise<T>((resolve, reject) => {
    child.once('message', (value) => resolve(value as T));
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)));
  });
  return { ...childOf(child), message };
}

/** Starts the built gateway and waits until it says where it listens. */
export async function startGateway(env: Record<string, string>): Promise<Child & { url: string }> {
  const main = new URL('../../packages/server/dist/main.js', import.meta.url).pathname;
  const profile =
    process.env.BENCH_PROFILE === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${process.env.BENCH_PROFILE}`];
  const child = spawn(process.execPath, [...profile, main], {
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = / listens on (\S+)$/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return { ...childOf(child), url };
}

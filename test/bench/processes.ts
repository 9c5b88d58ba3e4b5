// Children of the benchmark: started with their first message, measured from outside, ended by pid.
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { LoadOrder, LoadResult } from './load.ts';

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

/** Resident memory of a process in MB, as the kernel counts it. */
export const rssMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024;

function childOf(process: ChildProcess): Child {
  const { pid } = process;
  if (pid === undefined) throw new Error('the process did not start');
  return {
    pid,
    stop: () =>
      new Promise((resolve) => {
        if (process.exitCode !== null || process.signalCode !== null) return resolve();
        process.once('exit', () => resolve());
        process.kill('SIGTERM');
        setTimeout(() => process.kill('SIGKILL'), 5_000).unref();
      }),
  };
}

/** Starts a TypeScript file of this folder and waits for its first message. */
export async function startFile<T>(file: string, args: string[] = []): Promise<Child & { message: T }> {
  const { child, message } = await forked<T>(file, args);
  return { ...childOf(child), message };
}

async function forked<T>(file: string, args: string[]): Promise<{ child: ChildProcess; message: T }> {
  const child = fork(new URL(file, import.meta.url), args, {
    execArgv: ['--conditions=@mcp-valet/source', '--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const message = await new Promise<T>((resolve, reject) => {
    child.once('message', (value) => resolve(value as T));
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)));
  });
  return { child, message };
}

export interface LoadGenerator extends Child {
  run(order: LoadOrder): Promise<LoadResult>;
}

/** The load generator, on the last core where the system lets it be pinned: who is measured has the others to itself. */
export async function startLoad(): Promise<LoadGenerator> {
  const { child } = await forked<'ready'>('./load.ts', []);
  const parent = childOf(child);
  // All threads of it. Without `taskset` it shares the cores with the others, which costs accuracy and nothing else.
  spawnSync('taskset', ['-apc', String(availableParallelism() - 1), String(parent.pid)], { stdio: 'ignore' });
  return {
    ...parent,
    run: (order) =>
      new Promise((resolve, reject) => {
        const ended = (code: number | null): void => reject(new Error(`the load generator ended with ${code}`));
        child.once('exit', ended);
        child.once('message', (result) => {
          child.off('exit', ended);
          resolve(result as LoadResult);
        });
        child.send(order);
      }),
  };
}

/** The gateway as built here. */
export const builtGateway = new URL('../../packages/server/dist/main.js', import.meta.url).pathname;

/** A gateway that can be asked, after two full collections, what it holds. */
export interface GatewayChild extends Child {
  url: string;
  memory(): Promise<NodeJS.MemoryUsage>;
}

/** Starts a built gateway and waits until it says where it listens. */
export async function startGateway(main: string, env: Record<string, string>): Promise<GatewayChild> {
  const profile =
    process.env.BENCH_PROFILE === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${process.env.BENCH_PROFILE}`];
  const probe = ['--expose-gc', '--import', new URL('./memory-probe.mjs', import.meta.url).href];
  const child = spawn(process.execPath, [...profile, ...probe, main], {
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)));
    createInterface({ input: child.stdout as Readable }).on('line', (line) => {
      const found = / listens on (\S+)$/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return {
    ...childOf(child),
    url,
    memory: () =>
      new Promise((resolve, reject) => {
        child.once('message', (usage) => resolve(usage as NodeJS.MemoryUsage));
        child.send('memory', (error) => error && reject(error));
      }),
  };
}

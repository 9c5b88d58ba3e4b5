// Starts the two real servers of the story as processes of their own: the gateway and a third-party MCP server from npm.
import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Running {
  url: string;
  stop(): Promise<void>;
}

const require = createRequire(import.meta.url);
const startWithinMs = 60_000;

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return port;
}

function stopper(child: ChildProcess): () => Promise<void> {
  return () =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve();
      child.once('exit', () => resolve());
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 15_000).unref();
    });
}

/** Waits for the line that `ready` recognises; fails with what the process said when it ends before. */
function untilReady(child: ChildProcess, name: string, ready: (line: string) => string | undefined): Promise<string> {
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`${name} ${why}\n${said.slice(-20).join('\n')}`));
    const timer = setTimeout(() => fail(`was not ready within ${startWithinMs / 1000} s`), startWithinMs);
    child.once('error', (error) => fail(`could not be started: ${error.message}`));
    child.once('exit', (code) => fail(`ended with code ${code}`));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        const found = ready(line);
        if (found === undefined) return;
        clearTimeout(timer);
        resolve(found);
      });
    }
  });
}

/** The gateway on its embedded database in `directory`, as `npm start` runs it. */
export async function startGateway(directory: string, env: Record<string, string>): Promise<Running> {
  const main = join(dirname(require.resolve('@mcp-valet/server')), 'main.js');
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: `pglite:${join(directory, 'data')}`,
      // Of the system's choice: the line that is waited for below says which.
      PORT: '0',
      LOG_LEVEL: 'warn',
      // The upstreams of the story live on this machine; a gateway reaches no private address unless told to.
      VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8,::1/128',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const url = await untilReady(child, 'The gateway', (line) => / listens on (\S+)$/.exec(line)?.[1]);
  return { url, stop: stopper(child) };
}

/** @modelcontextprotocol/server-everything, the reference server of the MCP project, over Streamable HTTP. */
export async function startEverything(): Promise<Running> {
  const main = join(
    dirname(require.resolve('@modelcontextprotocol/server-everything/package.json')),
    'dist',
    'index.js',
  );
  const port = await freePort();
  const child = spawn(process.execPath, [main, 'streamableHttp'], {
    env: { PATH: process.env['PATH'], PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await untilReady(child, 'The everything server', (line) => (line.includes('listening on port') ? line : undefined));
  return { url: `http://127.0.0.1:${port}/mcp`, stop: stopper(child) };
}

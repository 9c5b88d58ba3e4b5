// Runs the examples of the source texts as they are printed: curl through bash, JavaScript through node, Python through python3, HTTP as it
// stands. The only change is a replacement that must find what it replaces; otherwise a test could run something else than the example.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer, Json, Rig } from '../support/gateway.ts';

const folder = fileURLToPath(new URL('examples/', import.meta.url));
const standIns = fileURLToPath(new URL('stand-ins/', import.meta.url));
/** Below the package, so that bare imports of an example resolve as for any user of it; inside node_modules, so that git never sees it. */
const belowPackages = fileURLToPath(new URL('../node_modules/.cache/', import.meta.url));
const timeoutMs = 20_000;

export type Replacements = Readonly<Record<string, string>>;

/** The example's text with every `from` replaced by its `to`. Throws when a `from` is not in it. */
export async function example(file: string, replacements: Replacements = {}): Promise<string> {
  return replaceAll(await readFile(join(folder, file), 'utf8'), replacements);
}

export function replaceAll(text: string, replacements: Replacements): string {
  let result = text;
  for (const [from, to] of Object.entries(replacements)) {
    if (!result.includes(from)) throw new Error(`the example does not say ${from}`);
    result = result.replaceAll(from, to);
  }
  return result;
}

export async function exampleJson(file: string, replacements: Replacements = {}): Promise<Json> {
  return JSON.parse(await example(file, replacements));
}

/** Stands between the answers of several curls; no JSON text holds it unescaped. */
const between = '\u001e';

export interface CurlAnswer {
  status: number;
  body: Json;
}

/** Runs every curl command of the text in bash. With `key`, each gets the Authorization header that the original system did without. */
export async function runCurl(text: string, key?: string): Promise<CurlAnswer[]> {
  const header = key === undefined ? '' : `-H "Authorization: Bearer ${key}"`;
  // A function named like the command: the example itself stays as printed.
  const script = `set -eu\ncurl() { command curl -sS --max-time 15 -w '\\n%{http_code}${between}' ${header} "$@"; }\n${text}`;
  const { stdout } = await run('bash', ['-c', script]);
  return stdout
    .split(between)
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const at = part.trimEnd().lastIndexOf('\n');
      return { status: Number(part.slice(at)), body: JSON.parse(part.slice(0, at)) };
    });
}

/** Prints what every request was answered with, one JSON text per line. */
const tracedFetch = `const untraced = globalThis.fetch;
globalThis.fetch = async (...request) => {
  const response = await untraced(...request);
  console.log(JSON.stringify({ status: response.status, body: JSON.parse(await response.clone().text()) }));
  return response;
};
`;

/** Runs a script in node; answers of its requests in order. `print` in the script adds a value of its own. */
export async function runNode(text: string, options: { tsx?: boolean; traced?: boolean } = {}): Promise<CurlAnswer[]> {
  const flags = options.tsx === true ? ['--import', 'tsx', '--conditions=@mcp-valet/source'] : [];
  return inFolder(belowPackages, async (directory) => {
    const file = join(directory, 'example.mjs');
    await writeFile(file, options.traced === false ? text : tracedFetch + text);
    return jsonLines((await run('node', [...flags, file])).stdout);
  });
}

/** Runs a script in python3 with our stand-in for `requests`, which prints what every request was answered with. */
export async function runPython(text: string): Promise<CurlAnswer[]> {
  return inFolder(tmpdir(), async (directory) => {
    const file = join(directory, 'example.py');
    await writeFile(file, text);
    const env = { ...process.env, PYTHONPATH: standIns, PYTHONDONTWRITEBYTECODE: '1' };
    return jsonLines((await run('python3', [file], env)).stdout);
  });
}

/** Sends a request that is written as HTTP: request line, headers, empty line, body. */
export async function sendHttp(rig: Rig, text: string, key: string): Promise<Answer> {
  const [head = '', ...rest] = text.split('\n\n');
  const [requestLine = '', ...lines] = head.split('\n');
  const [method = '', path = ''] = requestLine.split(' ');
  const headers = Object.fromEntries(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
  return rig.send(path, { method, key, headers, body: rest.join('\n\n') });
}

function jsonLines(stdout: string): CurlAnswer[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CurlAnswer);
}

async function inFolder<T>(parent: string, work: (directory: string) => Promise<T>): Promise<T> {
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(join(parent, 'example-'));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

function run(command: string, args: string[], env: NodeJS.ProcessEnv = process.env): Promise<{ stdout: string }> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { timeout: timeoutMs, env, maxBuffer: 8 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout });
      else reject(new Error(`${command} failed: ${stderr || error.message}\n${stdout}`, { cause: error }));
    });
  });
}

// A small MCP server over stdio, without a library: says whose secret it was given, and misbehaves in one way when told to by its first
// argument or by a tool. Never used outside the tests.
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [mode = 'plain'] = process.argv.slice(2);
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const text = (value) => ({
  content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }],
});
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const fingerprint = (value = '') => createHash('sha256').update(value).digest('hex');
const cancelled = [];
// Inside a sandbox every process has the same pid.
const run = randomUUID();

const tools = {
  whoami: ({ n }) => text({ n, run, token: fingerprint(process.env.TOKEN) }),
  say_secret: () => text(`my token is ${process.env.TOKEN}`),
  environment: () =>
    text({
      names: Object.keys(process.env).sort(),
      values: process.env,
      args: process.argv.slice(2),
      cwd: process.cwd(),
    }),
  cancelled: () => text(cancelled),
  /** Answers, and reads nothing any more. */
  stop_reading() {
    setTimeout(() => {
      process.stdin.pause();
      setInterval(() => undefined, 1000);
    }, 50);
    return text('stopped');
  },
  async wait({ ms }) {
    await sleep(ms);
    return text(`waited ${ms}`);
  },
  async log_and_wait({ ms }) {
    send({ method: 'notifications/message', params: { level: 'info', data: `token ${process.env.TOKEN}` } });
    await sleep(ms);
    return text('logged');
  },
  hang: () => new Promise(() => undefined),
  exit: ({ code }) => process.exit(code),
  crash: () => process.kill(process.pid, 'SIGSEGV'),
  huge({ bytes }) {
    process.stdout.write('x'.repeat(bytes));
    return new Promise(() => undefined);
  },
  eat({ megabytes }) {
    globalThis.eaten = Buffer.alloc(megabytes * 1024 * 1024, 1);
    return new Promise(() => undefined);
  },
  /** Children that stay, one of them in a session of its own. */
  family({ count, seconds }) {
    for (let at = 0; at < count; at++) spawn('/bin/sleep', [seconds], { detached: at === 0, stdio: 'ignore' }).unref();
    return text('started');
  },
  stderr({ bytes }) {
    process.stderr.write('e'.repeat(bytes));
    return text('said');
  },
  connect: ({ port }) =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(text('connected')));
      socket.once('error', (error) => resolve(text(`refused: ${error.code}`)));
      socket.once('connect', () => socket.destroy());
    }),
  read_file: async ({ path }) => {
    const { readFile } = await import('node:fs/promises');
    return readFile(path, 'utf8').then(text, (/** @type {unknown} */ error) =>
      text(`refused: ${/** @type {NodeJS.ErrnoException} */ (error).code}`),
    );
  },
};

async function answer({ id, method, params }) {
  if (method === 'notifications/cancelled') cancelled.push(params.requestId);
  if (id === undefined) return;
  if (mode === 'silent' || mode === 'noise') return;
  if (method === 'initialize') {
    const { protocolVersion } = params;
    send({ id, result: { protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'plain', version: '1' } } });
  } else if (method === 'server/discover') {
    if (mode === 'initialize-only') process.exit(3);
    if (mode === 'quiet-discover') return;
    send({ id, error: { code: -32601, message: 'Method not found' } });
  } else if (method === 'tools/list') {
    send({ id, result: { tools: Object.keys(tools).map((name) => ({ name, inputSchema: { type: 'object' } })) } });
  } else if (method === 'tools/call') {
    if (mode === 'chatty') process.stdout.write('DEBUG: a call came in\n{"level":"info"}\n[not json\n\n');
    send({ id, result: await tools[params.name](params.arguments ?? {}) });
  } else send({ id, error: { code: -32601, message: 'Method not found' } });
}

if (mode === 'dead') process.exit(7);
if (mode === 'noise') setInterval(() => process.stdout.write('listening on port 3000\n'), 20);
if (mode === 'chatty') process.stdout.write('Welcome to the plain server!\nready.\n');
if (mode === 'slow') await sleep(400);
if (mode === 'stubborn') {
  process.on('SIGTERM', () => undefined);
  setInterval(() => undefined, 1000);
}
if (mode === 'deaf') setInterval(() => undefined, 1000);
else createInterface({ input: process.stdin }).on('line', (line) => void answer(JSON.parse(line)));

// What a million users cost: bounded while they come, nothing when their windows have passed. And a process that used the gate ends by itself.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { Gate } from '../../packages/client/src/gate.ts';
import { readPolicies } from '../../packages/client/src/gate-headers.ts';
import { type GateOptions, resolveRateLimit } from '../../packages/client/src/gate-options.ts';
import { randomOf, Timeline } from '../../packages/client/src/timeline.test-support.ts';

const options = resolveRateLimit({}) as GateOptions;
const headers = new Headers({ 'ratelimit-policy': '"user";q=100;w=60', ratelimit: '"user";r=99;t=61' });
const reports = readPolicies(headers, 0);

function callOnce(gate: Gate, user: string): void {
  const ask = {
    scope: 'calls' as const,
    user,
    mode: 'auto' as const,
    options,
    patienceMs: 0,
    deadlineAt: undefined,
    isBack: false,
  };
  gate.enter(ask, (result) => {
    if (!result.ok) throw new Error(result.why);
    gate.leave(result, { reports, limited: false, retryAfterMs: undefined, unsent: false }, true);
  });
}

function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

it('keeps a million users who called once under 100 MB, and none of them after their window', () => {
  const timeline = new Timeline();
  const gate = new Gate(timeline.clock(randomOf(1)));
  const before = heapAfterCollection();
  for (let i = 0; i < 1_000_000; i++) {
    // All within ten seconds: nobody's window passes meanwhile.
    if (i % 100_000 === 0) timeline.runUntil(timeline.now + 1000);
    callOnce(gate, `customer-${i}`);
  }
  expect(gate.size).toBe(50_000);
  const bytes = heapAfterCollection() - before;
  expect(bytes).toBeLessThan(100_000_000);
  expect(bytes / gate.size).toBeLessThan(1500);
  expect(timeline.pending).toBe(0);
  timeline.runUntil(timeline.now + 62_000);
  // Each call looks at the three oldest.
  for (let i = 0; i < 17_000; i++) callOnce(gate, 'the only one');
  expect(gate.size).toBe(1);
});

it('holds the cap in a flood of three million ids', () => {
  const timeline = new Timeline();
  const gate = new Gate(timeline.clock(randomOf(1)));
  let largest = 0;
  for (let i = 0; i < 3_000_000; i++) {
    callOnce(gate, `flood-${i}`);
    if (i % 10_000 === 0) largest = Math.max(largest, gate.size);
  }
  expect(largest).toBeLessThanOrEqual(50_000);
  expect(gate.size).toBe(50_000);
});

it('lets a process end that has called, waited and been refused', async () => {
  const script = `
    import { createServer } from 'node:http';
    import { MCPClient } from '@mcp-valet/client';
    let count = 0;
    const server = createServer((_, r) => {
      const body = { jsonrpc: '2.0', id: null, result: { content: [] } };
      const left = { 'ratelimit-policy': '"user";q=9;w=60', ratelimit: '"user";r=0;t=' + (++count === 1 ? 1 : 50) };
      r.writeHead(200, { 'content-type': 'application/json', connection: 'close', ...left }).end(JSON.stringify(body));
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    const client = new MCPClient({ baseUrl: 'http://127.0.0.1:' + server.address().port, apiKey: 'k' });
    await client.executeForUser('a', 't');
    const { meta } = await client.executeForUser('a', 't').withMeta();
    const refused = await client.executeForUser('a', 't').safe();
    console.log(JSON.stringify({ waited: meta.waitedMs > 500, refused: refused.error.source }));
    server.close();
  `;
  const child = spawn(
    process.execPath,
    ['--conditions=@mcp-valet/source', '--import', 'tsx', '--input-type=module', '-e', script],
    { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'], timeout: 50_000 },
  );
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  expect(code).toBe(0);
  expect(JSON.parse(printed)).toEqual({ waited: true, refused: 'local' });
});

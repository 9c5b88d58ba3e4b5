// `pnpm bench:client`: what a tool call costs in the SDK, beside plain ky, plain fetch and the official MCP clients. All call the same trivial server
// in another process, in turn within one run, so that only the client's own work is compared. Prints processor time and time per call, and ratios.
// Measures the build, as users have it: `pnpm build` first. BENCH_CALLS, BENCH_ROUNDS: how much. BENCH_ONLY: names, comma-separated. Ratios above the
// aim are printed and are no error.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { MCPClient } from '@mcp-valet/client';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import ky from 'ky';

const calls = Number(process.env['BENCH_CALLS'] ?? 600);
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 9);
const only = process.env['BENCH_ONLY']?.split(',');
const aims = { ky: 1.3, 'official v2': 1 } as const;
const args = { channel: 'C024BE91L', text: 'Shipped: the deployment of today went out at noon and nobody noticed.' };
const info = { name: 'bench', version: '1.0.0' };

interface Contender {
  name: string;
  call(): Promise<unknown>;
  close?(): Promise<void>;
}
interface Sample {
  cpuMicros: number;
  micros: number;
}

const headers = { authorization: 'Bearer k', 'x-alloy-userid': 'alice', accept: 'application/json, text/event-stream' };
const message = () => ({
  jsonrpc: '2.0',
  id: crypto.randomUUID(),
  method: 'tools/call',
  params: { name: 'echo', arguments: args },
});

async function contenders(url: string): Promise<Contender[]> {
  const endpoint = `${url}/mcp`;
  const user = new MCPClient({ baseUrl: url, apiKey: 'k', logLevel: 'off' }).forUser('alice');
  const plain = ky.create({ headers });
  const requestInit = { headers };
  const v2 = new Client(info);
  const v1 = new ClientV1(info);
  const all: Contender[] = [
    { name: 'mcp-valet', call: () => user.execute('echo', args) },
    { name: 'ky', call: () => plain.post(endpoint, { json: message() }).json() },
    {
      name: 'fetch',
      call: async () => {
        const body = JSON.stringify(message());
        const type = { 'content-type': 'application/json' };
        return (await fetch(endpoint, { method: 'POST', headers: { ...headers, ...type }, body })).json();
      },
    },
    { name: 'official v2', call: () => v2.callTool({ name: 'echo', arguments: args }), close: () => v2.close() },
    { name: 'official v1', call: () => v1.callTool({ name: 'echo', arguments: args }), close: () => v1.close() },
  ];
  await v2.connect(new StreamableHTTPClientTransport(new URL(endpoint), { requestInit }));
  await v1.connect(new TransportV1(new URL(endpoint), { requestInit }));
  return all;
}

async function measure(contender: Contender, count: number, concurrency: number): Promise<Sample> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await contender.call();
  };
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  await Promise.all(Array.from({ length: concurrency }, worker));
  const { user, system } = process.cpuUsage(cpu);
  return { cpuMicros: (user + system) / count, micros: ((performance.now() - start) * 1000) / count };
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const medianOf = (samples: Sample[]): Sample => ({
  cpuMicros: median(samples.map((sample) => sample.cpuMicros)),
  micros: median(samples.map((sample) => sample.micros)),
});

async function compare(all: readonly Contender[], concurrency: number): Promise<void> {
  const samples = new Map<string, Sample[]>(all.map(({ name }) => [name, []]));
  for (const contender of all) await measure(contender, calls, concurrency);
  for (let round = 0; round < rounds; round++) {
    // Another order each round: whoever comes after a collection of garbage should not always be the same.
    for (let at = 0; at < all.length; at++) {
      const contender = all[(at + round) % all.length] as Contender;
      samples.get(contender.name)?.push(await measure(contender, calls, concurrency));
    }
  }
  const medians = new Map([...samples].map(([name, list]) => [name, medianOf(list)]));
  const ours = medians.get('mcp-valet');
  console.log(`\n${concurrency} at a time         cpu µs/call   time µs/call   ours / it: cpu   time`);
  for (const [name, { cpuMicros, micros }] of medians) {
    const ratio = (value: number | undefined, of: number) => (value === undefined ? '-' : (value / of).toFixed(2));
    const aim = Object.hasOwn(aims, name) ? `   aim <= ${aims[name as keyof typeof aims]}` : '';
    const row = [name.padEnd(20), cpuMicros.toFixed(0).padStart(10), micros.toFixed(0).padStart(14)];
    row.push(ratio(ours?.cpuMicros, cpuMicros).padStart(16), ratio(ours?.micros, micros).padStart(6));
    console.log(row.join(' ') + aim);
  }
}

const server = spawn(process.execPath, [fileURLToPath(new URL('trivial-server.mjs', import.meta.url))], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
const port = await new Promise<string>((resolve) =>
  server.stdout.once('data', (data: Buffer) => resolve(String(data).trim())),
);
const all = (await contenders(`http://127.0.0.1:${port}`)).filter(
  ({ name }) => only === undefined || only.includes(name),
);
for (const concurrency of [1, 16]) await compare(all, concurrency);
for (const { close } of all) await close?.();
server.kill();
// Kept connections would hold the process for their idle time.
process.exit(0);

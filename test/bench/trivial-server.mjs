// The other side of `pnpm bench:client`: answers every JSON-RPC request at once with what a gateway's answer looks like. Plain JavaScript, so that it
// starts without a compiler. Does nothing else.
import { createServer } from 'node:http';

const headers = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'x-request-id': 'req_0123456789abcdefghijkl',
  ratelimit: '"user";r=99999999;t=60',
  'ratelimit-policy': '"user";q=100000000;w=60',
  'valet-idempotency': 'ttl=86400, epoch="0123456789abcdef0123456789abcdef", durable',
};
const content = [{ type: 'text', text: '{"ok":true,"channel":"C024BE91L","ts":"1503435956.000247"}' }];
const results = {
  'tools/call': { content },
  'tools/list': { tools: [{ name: 'echo', inputSchema: { type: 'object' } }] },
  initialize: {
    protocolVersion: '2025-11-25',
    capabilities: { tools: {} },
    serverInfo: { name: 'trivial', version: '1' },
  },
};

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (request.method !== 'POST') return response.writeHead(405).end();
    const { id, method } = JSON.parse(Buffer.concat(chunks).toString());
    if (id === undefined) return response.writeHead(202).end();
    const body = JSON.stringify({ jsonrpc: '2.0', id, result: results[method] ?? {} });
    response.writeHead(200, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
  });
});
server.keepAliveTimeout = 120_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
// Ends with whoever started it.
process.stdin.resume().on('end', () => process.exit(0));

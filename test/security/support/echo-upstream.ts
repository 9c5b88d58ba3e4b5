// An MCP upstream that says every secret it receives back, in every encoding, in every method and place: lists, initialize, errors, SSE
// notifications, response headers. Bounded; speaks just enough of the 2025 revisions to be asked.
import { createServer } from 'node:http';
import { closeServer, listenOnLoopback } from '../../support/loopback.ts';
import { encodings } from '../../support/secret-encodings.ts';

export interface EchoUpstream {
  url: string;
  /** Requests by method. */
  readonly asked: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

type Json = Record<string, unknown>;

function secretsOf(headers: NodeJS.Dict<string | string[]>, url: URL, params: unknown): string[] {
  const own = /^(accept|connection|content-|host$|mcp-|user-agent|transfer-)/;
  const fromHeaders = Object.entries(headers).flatMap(([name, value]) =>
    own.test(name) ? [] : String(value).replace(/^Bearer /, ''),
  );
  const walk = (value: unknown): string[] =>
    typeof value === 'string'
      ? [value]
      : typeof value === 'object' && value !== null
        ? Object.values(value).flatMap(walk)
        : [];
  return [...fromHeaders, ...url.searchParams.values(), ...walk((params as Json | undefined)?.['arguments'])].filter(
    (text) => text.length >= 8,
  );
}

/** The result of a method with `leak` in each text that a method of this kind has. */
function resultOf(method: string, leak: string, version: unknown): Json {
  const schema = { type: 'object', description: leak, properties: { [leak]: { type: 'string', default: leak } } };
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: version,
        capabilities: { tools: {}, prompts: {}, resources: {}, completions: {} },
        serverInfo: { name: leak, version: leak },
        instructions: leak,
      };
    case 'tools/list':
      return {
        tools: [{ name: 'tell', title: leak, description: leak, inputSchema: schema, annotations: { title: leak } }],
        _meta: { leak },
      };
    case 'prompts/list':
      return {
        prompts: [{ name: 'tell', title: leak, description: leak, arguments: [{ name: 'topic', description: leak }] }],
      };
    case 'resources/list':
      return { resources: [{ uri: 'echo://tell', name: 'tell', title: leak, description: leak }] };
    case 'resources/templates/list':
      return { resourceTemplates: [{ uriTemplate: 'echo://{topic}', name: 'tell', description: leak }] };
    case 'prompts/get':
      return { description: leak, messages: [{ role: 'user', content: { type: 'text', text: leak } }] };
    case 'resources/read':
      return { contents: [{ uri: 'echo://tell', text: leak }] };
    case 'completion/complete':
      return { completion: { values: [leak], total: 1, hasMore: false } };
    case 'tools/call':
      return { content: [{ type: 'text', text: leak }], structuredContent: { [leak]: [leak] }, _meta: { leak } };
    default:
      return {};
  }
}

export async function startEchoUpstream(options: { sse: boolean; fail?: 'rpc' | 'status' }): Promise<EchoUpstream> {
  const asked = new Map<string, number>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.method !== 'POST') return void response.writeHead(405).end();
      const message = JSON.parse(Buffer.concat(chunks).toString()) as { id?: unknown; method: string; params?: Json };
      asked.set(message.method, (asked.get(message.method) ?? 0) + 1);
      if (message.id === undefined) return void response.writeHead(202).end();
      if (message.method === 'server/discover') {
        const error = { code: -32601, message: 'Method not found' };
        return void response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ jsonrpc: '2.0', id: message.id, error }));
      }
      const secrets = secretsOf(request.headers, new URL(request.url ?? '/', 'http://x'), message.params);
      const leak = secrets.flatMap((secret) => Object.values(encodings).map((encode) => encode(secret))).join(' ; ');
      const headers = {
        'x-leak': encodeURIComponent(leak).slice(0, 4_000),
        'www-authenticate': `Bearer realm="${encodeURIComponent(leak).slice(0, 2_000)}"`,
      };
      const isList = message.method === 'initialize' || message.method.endsWith('/list');
      if (options.fail === 'status' && !isList)
        return void response.writeHead(500, { ...headers, 'content-type': 'text/plain' }).end(leak);
      const answer =
        options.fail === 'rpc' && !isList
          ? { jsonrpc: '2.0', id: message.id, error: { code: -32602, message: leak, data: { leak, [leak]: 1 } } }
          : {
              jsonrpc: '2.0',
              id: message.id,
              result: resultOf(message.method, leak, message.params?.['protocolVersion']),
            };
      if (!options.sse)
        return void response
          .writeHead(200, { ...headers, 'content-type': 'application/json' })
          .end(JSON.stringify(answer));
      const notices = [
        { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'error', data: leak } },
        { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1, message: leak } },
      ];
      response.writeHead(200, { ...headers, 'content-type': 'text/event-stream' });
      response.end([...notices, answer].map((event) => `event: message\ndata: ${JSON.stringify(event)}\n\n`).join(''));
    });
  });
  const port = await listenOnLoopback(server);
  return { url: `http://127.0.0.1:${port}/mcp`, asked, close: () => closeServer(server) };
}

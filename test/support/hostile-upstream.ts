// An upstream that handshakes like a good one and then misbehaves, one way per tool. The gateway must contain each way.
// Must stay bounded itself: what is endless ends when the caller hangs up or the fixture closes.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Behaviour, behaviours, type HostileCall, isBehaviour } from './hostile-behaviours.ts';
import { closeServer, listenOnLoopback } from './loopback.ts';
import { type RecordedRequest, recordedRequest } from './recorded-request.ts';

export { behaviours } from './hostile-behaviours.ts';
export { encodings } from './secret-encodings.ts';

export interface HostileUpstream {
  /** A well-behaved handshake and list; the tool's name says what a call does. */
  readonly url: string;
  /** Misbehaves on one method (`tools/list`, `initialize`, `server/discover`), or on all of them. */
  urlFor(behaviour: Behaviour, method?: string): string;
  readonly recorded: readonly RecordedRequest[];
  /** Replies still open: 0 once the gateway has let go of every one. */
  open(): number;
  close(): Promise<void>;
}

export async function startHostileUpstream(options: { readonly port?: number } = {}): Promise<HostileUpstream> {
  const recorded: RecordedRequest[] = [];
  const open = new Set<ServerResponse>();

  function handle(request: IncomingMessage, response: ServerResponse, body: Buffer) {
    recorded.push(recordedRequest(request, body));
    open.add(response);
    response.on('close', () => open.delete(response));
    // A caller that cuts the connection while we write is expected here, not a failure of the fixture.
    response.on('error', () => response.destroy());
    if (request.method !== 'POST') return void response.writeHead(405, { allow: 'POST' }).end();

    const message = JSON.parse(body.toString('utf8')) as {
      id?: string | number;
      method?: string;
      params?: { name?: string; protocolVersion?: string; arguments?: Record<string, unknown> };
    };
    const { id, method = '', params } = message;
    const url = new URL(request.url ?? '/', 'http://upstream.invalid');
    const wanted = url.searchParams.get('behaviour') ?? '';
    const onMethod = url.searchParams.get('on');
    const call: HostileCall = { id: id ?? null, request, response, arguments: params?.arguments ?? {} };

    if (isBehaviour(wanted) && (onMethod === null || onMethod === method)) return behaviours[wanted](call);
    if (id === undefined) return void response.writeHead(202).end();
    const reply = (status: number, payload: Record<string, unknown>) =>
      void response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(JSON.stringify({ jsonrpc: '2.0', id, ...payload }));
    if (method === 'initialize') {
      const protocolVersion = params?.protocolVersion ?? '2025-11-25';
      const serverInfo = { name: 'hostile-upstream', version: '1.0.0' };
      return reply(200, { result: { protocolVersion, capabilities: { tools: {} }, serverInfo } });
    }
    if (method === 'tools/list') return reply(200, { result: { tools: toolList } });
    if (method === 'tools/call' && isBehaviour(params?.name ?? '')) return behaviours[params?.name as Behaviour](call);
    reply(200, { error: { code: -32601, message: 'Method not found' } });
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => handle(request, response, Buffer.concat(chunks)));
    request.on('error', () => response.destroy());
  });
  const port = await listenOnLoopback(server, options.port);
  const url = `http://127.0.0.1:${port}/mcp`;
  return {
    url,
    urlFor(behaviour, method) {
      const query = new URLSearchParams({ behaviour });
      if (method !== undefined) query.set('on', method);
      return `${url}?${query.toString()}`;
    },
    recorded,
    open: () => open.size,
    close: () => closeServer(server),
  };
}

const toolList = Object.keys(behaviours).map((name) => ({
  name,
  description: `Misbehaves: ${name}`,
  inputSchema: { type: 'object' },
}));

// A stand-in for a hosted Alloy server, as its pages describe it: it speaks JSON or SSE, says 201 on creation, has two error envelopes, no limit
// headers, no promise about keys, and none of the routes that are ours. An unknown user runs as somebody else, with a warning.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';

/** What a test may choose; the pages do not agree on all of it. */
export interface AlloyHabits {
  reply?: 'json' | 'sse';
  error?: 'object' | 'string' | 'success';
  create?: { status: 200 | 201; accessUrl?: 'present' | 'null' };
  /** Where it says that a call ran as another user. */
  fallback?: 'body' | 'result' | 'text';
  /** How many calls of a user it admits; it tells nobody beforehand. */
  limit?: number;
  /** It runs the call and loses the answer. */
  loses?: boolean;
}

export interface AlloySeen {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  json: { id: string; method: string; params: { name: string; arguments: Record<string, unknown> } };
}

export interface AlloyServer {
  url: string;
  seen: AlloySeen[];
  /** Calls that ran, by the user in whose name. */
  ran: [user: string, tool: string][];
  close(): Promise<void>;
}

const key = 'alloy_key_1';
const token = 'alloy_token_1';
const users = ['user_alice_123', 'user_bob_456', 'team_sales_john', 'team_marketing_jane'];
export const alloy = { key, token, users, serverId: 'enterprise-123', primary: 'primary_account_id' };

const missing = (user: string): string => `No credentials found for ${user} on connector slack`;
const forbidden = 'Action channels_delete is not allowed for connector slack';

export async function startAlloy(habits: AlloyHabits = {}): Promise<AlloyServer> {
  const seen: AlloySeen[] = [];
  const ran: [string, string][] = [];
  const counts = new Map<string, number>();
  let url = '';

  const error = (response: ServerResponse, status: number, code: string, message: string): unknown => {
    const bodies = {
      object: { error: { code, message, details: { field: 'name' } } },
      string: { error: message },
      success: { success: false, error: message, code },
    };
    return send(response, status, bodies[habits.error ?? 'object']);
  };

  const manage = (response: ServerResponse, one: AlloySeen): unknown => {
    if (one.headers.authorization !== `Bearer ${key}`) return error(response, 401, 'unauthorized', 'Invalid API key');
    if (one.method === 'POST' && one.path === '/api/servers') {
      const { status = 201, accessUrl } = habits.create ?? {};
      const access = { present: { accessUrl: `${url}/mcp/${alloy.serverId}/${token}` }, null: { accessUrl: null } };
      const body = { serverId: alloy.serverId, name: 'enterprise', ...(accessUrl && access[accessUrl]) };
      return send(response, status, body);
    }
    if (one.path.startsWith('/api/servers/')) return error(response, 404, 'not_found', 'Server not found');
    return error(response, 404, 'not_found', 'Not found');
  };

  const call = (response: ServerResponse, one: AlloySeen): unknown => {
    if (one.json.method !== 'tools/call') {
      return reply(response, { jsonrpc: '2.0', id: one.json.id, error: { code: -32601, message: 'Method not found' } });
    }
    const asked = String(one.headers['x-alloy-userid'] ?? alloy.primary);
    const user = users.includes(asked) ? asked : alloy.primary;
    const count = (counts.get(user) ?? 0) + 1;
    if (habits.limit !== undefined && count > habits.limit) {
      return error(response, 429, 'rate_limit_exceeded', 'Too many requests');
    }
    counts.set(user, count);
    const { name, arguments: args } = one.json.params;
    ran.push([user, name]);
    if (habits.loses) return response.socket?.resetAndDestroy();
    const answer = (body: object) => reply(response, { jsonrpc: '2.0', id: one.json.id, ...body });
    if (user !== asked) {
      const warning = { warning: 'Invalid x-alloy-userid header', attempted: asked, fallback: alloy.primary };
      if (habits.fallback === 'body') return send(response, 200, warning);
      const result = { ...text('ok'), ...warning };
      return answer({ result: habits.fallback === 'result' ? result : text(JSON.stringify(warning)) });
    }
    if (name === 'no_such_tool') return answer({ error: { code: -32602, message: 'Unknown tool: no_such_tool' } });
    if (args['actionId'] === 'channels_delete') return answer({ result: text(JSON.stringify({ error: forbidden })) });
    if (args['credentialId'] === 'none') return answer({ result: text(JSON.stringify({ error: missing(user) })) });
    return answer({ result: text(JSON.stringify({ ok: true, user, ...args })) });
  };

  const reply = (response: ServerResponse, message: object): unknown => {
    if (habits.reply !== 'sse') return send(response, 200, message);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    return response.end(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
  };

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url: path = '', headers } = request;
    const body = Buffer.concat(chunks).toString();
    const one: AlloySeen = { method, path, headers, json: JSON.parse(body === '' ? '{}' : body) };
    seen.push(one);
    if (path === `/mcp/${alloy.serverId}/${token}`) return call(response, one);
    if (path === `/mcp/${alloy.serverId}` && headers.authorization === `Bearer ${key}`) return call(response, one);
    if (path.startsWith('/mcp/')) return error(response, 401, 'unauthorized', 'Invalid access token');
    manage(response, one);
  });
  url = `http://127.0.0.1:${await listenOnLoopback(server)}`;
  return { url, seen, ran, close: () => closeServer(server) };
}

const text = (value: string) => ({ content: [{ type: 'text', text: value }] });

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

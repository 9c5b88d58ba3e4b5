// Requests of every plane at a steady pace, each with what became of it, for tests of outages. Slow answers do not slow the pace: what waits must
// not hide what comes. Asserts nothing.
import { randomBytes } from 'node:crypto';

export interface Seen {
  kind: 'mcp' | 'tool' | 'list' | 'read' | 'write' | 'health' | 'ready';
  /** Of calls: what the upstream counts, and the request id. */
  marker: string;
  startedAt: number;
  ms: number;
  /** 0: no answer at all. */
  status: number;
  /** Whether a 503 says when to come again, in the dialect of its route. */
  saysWhen: boolean;
  body: string;
}

export interface Target {
  url: string;
  key: string;
}

const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const rpc = (method: string, params: object) => JSON.stringify({ jsonrpc: '2.0', id: 7, method, params });

function requestOf(kind: Seen['kind'], marker: string): { path: string; method: string; body?: string } {
  const args = { marker };
  switch (kind) {
    case 'mcp':
      return { path: '/mcp', method: 'POST', body: rpc('tools/call', { name: 'demo__count', arguments: args }) };
    case 'tool':
      return {
        path: '/mcp/tool/call',
        method: 'POST',
        body: JSON.stringify({ serverName: 'demo', methodName: 'count', args }),
      };
    case 'list':
      return { path: '/mcp', method: 'POST', body: rpc('tools/list', {}) };
    case 'read':
      return { path: '/api/me', method: 'GET' };
    case 'write':
      return { path: '/users', method: 'POST', body: JSON.stringify({ username: `u${marker}` }) };
    case 'health':
      return { path: '/healthz', method: 'GET' };
    case 'ready':
      return { path: '/readyz', method: 'GET' };
  }
}

/** A 503 as its route has to say it: Retry-After, and the code where that dialect keeps it. */
function saysWhen(kind: Seen['kind'], response: Response, text: string): boolean {
  if (!/^[1-9]\d*$/.test(response.headers.get('retry-after') ?? '')) return false;
  if (kind !== 'mcp' && kind !== 'list') return /unavailable/i.test(text);
  const { jsonrpc, error } = JSON.parse(text) as { jsonrpc?: string; error?: { data?: { code?: string } } };
  return jsonrpc === '2.0' && error?.data?.code === 'UNAVAILABLE';
}

async function send({ url, key }: Target, kind: Seen['kind']): Promise<Seen> {
  const marker = `${kind}-${randomBytes(6).toString('hex')}`;
  const { path, ...init } = requestOf(kind, marker);
  const startedAt = performance.now();
  const seen: Seen = { kind, marker, startedAt, ms: 0, status: 0, saysWhen: false, body: '' };
  try {
    const response = await fetch(url + path, {
      ...init,
      headers: { ...json, authorization: `Bearer ${key}`, 'x-request-id': marker },
      signal: AbortSignal.timeout(15_000),
    });
    seen.body = await response.text();
    seen.status = response.status;
    if (response.status === 503) seen.saysWhen = saysWhen(kind, response, seen.body);
  } catch (error) {
    // No answer, or none in time: what is looked for.
    seen.body = error instanceof Error ? error.name : String(error);
  }
  seen.ms = performance.now() - startedAt;
  return seen;
}

/** Sends until `during` is over, then waits for every answer. */
export async function steadyLoad(target: Target, during: () => Promise<void>): Promise<Seen[]> {
  const kinds = ['mcp', 'tool', 'read', 'mcp', 'tool', 'list', 'write'] as const;
  const sent: Promise<Seen>[] = [];
  let turn = 0;
  const pace = setInterval(() => {
    sent.push(send(target, kinds[turn++ % kinds.length] ?? 'mcp'));
    if (turn % 2 === 0) sent.push(send(target, 'health'));
    if (turn % 10 === 0) sent.push(send(target, 'ready'));
  }, 65);
  try {
    await during();
  } finally {
    clearInterval(pace);
  }
  return Promise.all(sent);
}

// The fetch-shaped door: the same guard, and enough of fetch for the MCP SDK client.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterEach, describe, expect, it } from 'vitest';
import { createEgress } from './egress.ts';
import { failureOf, startRaw, startUpstream, type Upstream } from './egress-test-upstream.ts';

const opened: Array<{ close(): Promise<void> }> = [];

function keep<T extends { close(): Promise<void> }>(item: T): T {
  opened.push(item);
  return item;
}

afterEach(async () => {
  for (const item of opened.splice(0).reverse()) await item.close();
});

const fetchFor = (limits?: { maxBytes?: number }) =>
  keep(createEgress({ allowedCidrs: ['127.0.0.0/8'] })).fetchFor('a', limits);
const urlOf = ({ port }: Upstream, path = '/') => `http://127.0.0.1:${port}${path}`;
const failure = (code: string, sent: string) => expect.objectContaining({ code, sent });

describe('fetchFor', () => {
  it('sends what fetch would send and returns a Response the SDK recognises', async () => {
    const upstream = keep(
      await startUpstream(async (request, response) => {
        const body = (await request.toArray()).join('');
        response.writeHead(201, { 'x-a': 'b', 'set-cookie': 'c=1', 'content-type': 'application/json' });
        response.end(JSON.stringify({ method: request.method, headers: request.headers, body }));
      }),
    );
    const fetch = fetchFor();
    const inits: RequestInit[] = [
      { method: 'post', body: new URLSearchParams({ a: 'b c' }), headers: new Headers({ 'X-Key': 'v' }) },
      {
        method: 'POST',
        body: 'a=b+c',
        headers: [
          ['X-Key', 'v'],
          ['Content-Type', 'application/x-www-form-urlencoded;charset=UTF-8'],
        ],
      },
    ];
    for (const init of inits) {
      const response = await fetch(new URL(urlOf(upstream)), init);
      expect(response).toBeInstanceOf(Response);
      expect([response.status, response.ok, response.headers.get('x-a')]).toEqual([201, true, 'b']);
      expect(response.headers.has('set-cookie')).toBe(false);
      expect(await response.json()).toMatchObject({
        method: 'POST',
        body: 'a=b+c',
        headers: { 'x-key': 'v', accept: '*/*', 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' },
      });
    }
    const plain = await fetch(urlOf(upstream));
    expect(await plain.json()).toMatchObject({ method: 'GET', body: '' });
  });

  it('returns bodiless answers', async () => {
    const upstream = keep(
      await startUpstream((request, response) => response.writeHead(Number(request.url?.slice(1))).end()),
    );
    const fetch = fetchFor();
    for (const status of [204, 205, 304, 405]) {
      const response = await fetch(urlOf(upstream, `/${status}`));
      expect(response.status).toBe(status);
      expect(await response.text()).toBe('');
    }
    await expect(fetch(urlOf(upstream, '/700'))).rejects.toEqual(failure('BROKEN', 'maybe'));
  });

  it('refuses redirects whatever the caller asks for', async () => {
    const target = keep(await startRaw());
    const upstream = keep(
      await startUpstream((_request, response) => response.writeHead(307, { location: urlOf(target) }).end()),
    );
    const fetch = fetchFor();
    for (const redirect of ['follow', 'manual', 'error'] as const) {
      await expect(fetch(urlOf(upstream), { redirect })).rejects.toEqual(failure('REDIRECT', 'maybe'));
    }
    expect(target.connections()).toBe(0);
  });

  it('refuses internal addresses, injected headers and bodies it cannot count', async () => {
    const canary = keep(await startRaw());
    const guarded = keep(createEgress({ allowedCidrs: [] })).fetchFor('a');
    const refusal = failure('EGRESS_REFUSED', 'no');
    await expect(guarded('https://169.254.169.254/')).rejects.toEqual(refusal);
    await expect(guarded(urlOf(canary))).rejects.toEqual(refusal);
    const fetch = fetchFor();
    await expect(fetch(urlOf(canary), { headers: { a: 'b\r\nc: d' } })).rejects.toEqual(refusal);
    await expect(fetch(urlOf(canary), { method: 'POST', body: new ReadableStream() })).rejects.toEqual(refusal);
    expect(canary.connections()).toBe(0);
  });

  it('limits a body, and in an event stream each event', async () => {
    const upstream = keep(
      await startUpstream((request, response) => {
        const type = request.url === '/events' ? 'text/event-stream' : 'application/json';
        response.writeHead(200, { 'content-type': type }).end('data: 123456789\n\n'.repeat(100));
      }),
    );
    const fetch = fetchFor({ maxBytes: 1_000 });
    expect(await (await fetch(urlOf(upstream, '/events'))).text()).toHaveLength(1_700);
    const tooLarge = await fetch(urlOf(upstream, '/json'));
    await expect(tooLarge.text()).rejects.toEqual(failure('TOO_LARGE', 'maybe'));
  });

  it('rejects with the reason of the signal, before and after the answer has begun', async () => {
    const upstream = keep(
      await startUpstream((request, response) => {
        if (request.url === '/begun') response.write('x');
      }),
    );
    const fetch = fetchFor();
    const reason = new Error('stop');
    const first = new AbortController();
    const waiting = failureOf(fetch(urlOf(upstream), { signal: first.signal }));
    first.abort(reason);
    expect(await waiting).toBe(reason);
    const second = new AbortController();
    const response = await fetch(urlOf(upstream, '/begun'), { signal: second.signal });
    second.abort(reason);
    await expect(response.text()).rejects.toEqual(failure('ABORTED', 'maybe'));
  });

  it('closes the socket when the reader cancels', async () => {
    let closed: Promise<unknown> = Promise.resolve();
    const upstream = keep(
      await startUpstream((_request, response) => {
        response.write('x');
        closed = new Promise((resolve) => response.on('close', () => resolve('closed')));
      }),
    );
    const response = await fetchFor()(urlOf(upstream));
    await response.body?.cancel();
    expect(await closed).toBe('closed');
  });

  it('carries the MCP SDK client', async () => {
    const upstream = keep(
      await startUpstream(async (request, response) => {
        if (request.method !== 'POST') return response.writeHead(405).end();
        const { id, method } = JSON.parse((await request.toArray()).join('')) as { id?: number; method: string };
        if (id === undefined) return response.writeHead(202).end();
        const result =
          method === 'initialize'
            ? { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'u', version: '1' } }
            : { content: [{ type: 'text', text: 'over egress' }] };
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        return response.end(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`);
      }),
    );
    const client = keep(new Client({ name: 'c', version: '1' }));
    await client.connect(new StreamableHTTPClientTransport(new URL(urlOf(upstream)), { fetch: fetchFor() }));
    const result = await client.callTool({ name: 't', arguments: {} });
    expect(result).toMatchObject({ content: [{ type: 'text', text: 'over egress' }] });
  });
});

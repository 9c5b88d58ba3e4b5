// Proves what the conformance suite cannot reach in the everything-upstream: stdio, single eras, announcements, recording.
// Must not test the gateway.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type EverythingOptions, type EverythingUpstream, startEverything } from './http.ts';
import { everythingStdio } from './stdio-command.ts';
import { startV1Upstream } from './v1.ts';

const clientInfo = { name: 'fixture-test', version: '1.0.0' };
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function everything(options: EverythingOptions = {}): Promise<EverythingUpstream> {
  const upstream = await startEverything(options);
  closers.push(() => upstream.close());
  return upstream;
}

async function connect(
  transport: StreamableHTTPClientTransport | StdioClientTransport,
  mode: 'legacy' | { pin: string },
): Promise<Client> {
  const client = new Client(clientInfo, { versionNegotiation: { mode } });
  await client.connect(transport);
  closers.push(() => client.close());
  return client;
}

const overHttp = (url: string) => new StreamableHTTPClientTransport(new URL(url));
const modern = { pin: '2026-07-28' };
const greeting = [{ type: 'text', text: 'This is a simple text response for testing.' }];

async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body: JSON.stringify(body),
  });
}

const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo },
};
const discover = {
  jsonrpc: '2.0',
  id: 2,
  method: 'server/discover',
  params: {
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
};
const discoverHeaders = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'server/discover' };

describe('the everything-upstream over stdio', () => {
  it.each([
    ['legacy', 'legacy', 'test_sampling'],
    ['modern', modern, 'test_missing_capability'],
  ] as const)("serves the %s era with that era's tools", { timeout: 20_000 }, async (_era, mode, ownTool) => {
    const client = await connect(new StdioClientTransport(everythingStdio()), mode);
    const { tools } = await client.listTools();
    expect(tools[0]?.name).toBe('test_simple_text');
    expect(tools.map((tool) => tool.name)).toContain(ownTool);
    const result = await client.callTool({ name: 'test_simple_text', arguments: {} });
    expect(result.content).toEqual(greeting);
  });

  it('refuses the other era when limited to one', { timeout: 20_000 }, async () => {
    const only = (eras: ['legacy'] | ['modern']) => new StdioClientTransport(everythingStdio({ eras }));
    await expect(connect(only(['modern']), 'legacy')).rejects.toThrow(/protocol version/i);
    await expect(connect(only(['legacy']), modern)).rejects.toThrow(/2026-07-28|not found/i);
  });
});

describe('the everything-upstream over HTTP', () => {
  it('mints no session when sessions are off and answers JSON when asked to', async () => {
    const upstream = await everything({ sessions: false, jsonResponses: true });
    const response = await post(upstream.url, initialize);
    expect(response.headers.get('mcp-session-id')).toBeNull();
    expect(response.headers.get('content-type')).toContain('application/json');
    const bare = await post(upstream.url, { jsonrpc: '2.0', id: 2, method: 'tools/list' });
    expect(await bare.json()).toMatchObject({ id: 2, result: { tools: expect.any(Array) } });
    expect((await fetch(upstream.url)).status).toBe(405);
  });

  it('answers as SSE without sessions by default and still ends the reply', async () => {
    const upstream = await everything({ sessions: false });
    const response = await post(upstream.url, { jsonrpc: '2.0', id: 2, method: 'tools/list' });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    expect(await response.text()).toContain('test_simple_text');
  });

  it('knows only 2026-07-28 when limited to it', async () => {
    const upstream = await everything({ eras: ['modern'] });
    expect((await post(upstream.url, initialize)).status).toBe(400);
    expect((await post(upstream.url, discover, discoverHeaders)).status).toBe(200);
  });

  it('has never heard of 2026-07-28 when limited to the handshake revisions', async () => {
    const upstream = await everything({ eras: ['legacy'] });
    expect((await post(upstream.url, initialize)).status).toBe(200);
    expect((await post(upstream.url, discover, discoverHeaders)).status).toBe(400);
  });

  it('answers 404 for a session it does not know', async () => {
    const upstream = await everything();
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' };
    expect((await post(upstream.url, ping, { 'mcp-session-id': 'unknown' })).status).toBe(404);
  });

  it('tells sessions and listen streams about changes', async () => {
    const upstream = await everything();
    const heard: string[] = [];
    for (const mode of ['legacy', modern] as const) {
      const client = await connect(overHttp(upstream.url), mode);
      const era = mode === 'legacy' ? 'legacy' : 'modern';
      client.setNotificationHandler('notifications/tools/list_changed', () => void heard.push(`${era} tools`));
      client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
        heard.push(`${era} ${params.uri}`);
      });
      if (era === 'legacy') await client.subscribeResource({ uri: 'test://watched-resource' });
      else await client.listen({ toolsListChanged: true, resourceSubscriptions: ['test://watched-resource'] });
    }
    expect([upstream.sessionCount(), upstream.listenerCount()]).toEqual([1, 1]);
    const all = ['legacy test://watched-resource', 'legacy tools', 'modern test://watched-resource', 'modern tools'];
    await vi.waitFor(
      () => {
        // The client's GET stream opens after `connect` returned, so the first announcement may find no reader.
        upstream.toolsChanged();
        upstream.resourceUpdated('test://watched-resource');
        expect([...new Set(heard)].sort()).toEqual(all);
      },
      { timeout: 5_000, interval: 100 },
    );
  });

  it('records requests byte for byte and lets a test answer instead', async () => {
    const upstream = await everything({
      record: true,
      intercept: ({ headers }) => (headers['x-refuse'] === undefined ? undefined : new Response(null, { status: 401 })),
    });
    const response = await post(upstream.url, initialize, { 'x-refuse': '1', 'X-Canary': 'kept' });
    expect(response.status).toBe(401);
    expect(upstream.recorded).toHaveLength(1);
    expect(upstream.recorded[0]).toMatchObject({ method: 'POST', url: '/mcp', headers: { 'x-canary': 'kept' } });
    expect(upstream.recorded[0]?.body.toString()).toBe(JSON.stringify(initialize));
  });

  it('serves tools that a test adds, in both eras', async () => {
    const upstream = await everything({
      extend: (server, era) => {
        server.registerTool('era', {}, () => ({ content: [{ type: 'text', text: era }] }));
      },
    });
    const eras = [];
    for (const mode of ['legacy', modern] as const) {
      const client = await connect(overHttp(upstream.url), mode);
      eras.push(...((await client.callTool({ name: 'era' })).content as { text: string }[]).map(({ text }) => text));
    }
    expect(eras).toEqual(['legacy', 'modern']);
  });
});

describe('the v1 upstream', () => {
  it.each([true, false])('serves tools, a prompt and a resource with sessions = %s', async (sessions) => {
    const upstream = await startV1Upstream({ sessions, record: true });
    closers.push(() => upstream.close());
    const client = await connect(overHttp(upstream.url), 'legacy');
    expect(upstream.sessionCount()).toBe(sessions ? 1 : 0);
    const sum = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
    expect(sum.content).toEqual([{ type: 'text', text: '5' }]);
    expect((await client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } })).messages).toHaveLength(1);
    expect((await client.readResource({ uri: 'v1://note' })).contents).toHaveLength(1);
    expect(upstream.recorded.some((request) => request.body.includes('"add"'))).toBe(true);
  });
});

// Answers that stream without a session: progress and logs of single requests of both eras, slow readers, and callers that go away.
// Raw HTTP.
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import { type DirectGateway, startDirectGateway } from './direct-gateway.ts';
import { envelope } from './lane-requests.ts';

let upstream: EverythingUpstream;
let direct: DirectGateway;
let url: string;
let finished = 0;
let aborted = 0;

beforeAll(async () => {
  upstream = await startEverything({
    extend: (server) => {
      server.registerTool('slow', { description: 'Reports, waits, finishes' }, async (ctx) => {
        const progressToken = ctx.mcpReq._meta?.progressToken;
        if (progressToken !== undefined) {
          await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
        }
        let isDone = false;
        ctx.mcpReq.signal.addEventListener('abort', () => {
          if (!isDone) aborted++;
        });
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        isDone = true;
        if (!ctx.mcpReq.signal.aborted) finished++;
        return { content: [{ type: 'text', text: 'done' }] };
      });
      server.registerTool('chatty', { description: 'Reports far too often, backwards and twice' }, async (ctx) => {
        const progressToken = ctx.mcpReq._meta?.progressToken ?? 0;
        const steps = [...Array.from({ length: 100 }, (_, step) => step), 50, 98];
        for (const progress of steps) {
          await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress } });
        }
        return { content: [] };
      });
    },
  });
  direct = await startDirectGateway([{ id: 'everything', url: upstream.url }]);
  ({ plainUrl: url } = await direct.publish({ connectors: ['everything'], prefix: 'none', sessions: 'never' }));
});
afterAll(async () => {
  await direct.close();
  await upstream.close();
});

type Era = 'legacy' | 'modern';
const eras: [Era][] = [['legacy'], ['modern']];

function send(era: Era, name: string, meta: Record<string, unknown>, signal?: AbortSignal): Promise<Response> {
  const modern = era === 'modern';
  return fetch(url, {
    method: 'POST',
    ...(signal && { signal }),
    headers: {
      authorization: `Bearer ${direct.gateway.apiKey}`,
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      ...(modern && { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name }),
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 'stream',
      method: 'tools/call',
      params: { name, arguments: {}, _meta: { ...(modern && envelope()), ...meta } },
    }),
  });
}

interface Message {
  id?: string;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
}
const messagesIn = (text: string): Message[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)) as Message);

describe.each(eras)('a %s request with a progress token', (era) => {
  it('is answered by a stream: progress under that token, then the result', async () => {
    const response = await send(era, 'test_tool_with_progress', { progressToken: 'mine' });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    expect(response.headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(response.headers.get('x-ratelimit-limit')).toBe('100000');
    expect(response.headers.get('mcp-session-id')).toBeNull();
    const messages = messagesIn(await response.text());
    expect(messages.map(({ method, params }) => [method, params?.['progressToken'], params?.['progress']])).toEqual([
      ['notifications/progress', 'mine', 0],
      ['notifications/progress', 'mine', 50],
      ['notifications/progress', 'mine', 100],
      [undefined, undefined, undefined],
    ]);
    expect(messages.at(-1)).toMatchObject({ id: 'stream', result: { content: [{ text: 'Progress tool finished' }] } });
  });

  it('hears at most twenty reports in a second, strictly increasing', async () => {
    const from = performance.now();
    const messages = messagesIn(await (await send(era, 'chatty', { progressToken: 7 })).text());
    // A busy machine takes more than one to pass them all on.
    const seconds = Math.ceil((performance.now() - from) / 1_000);
    const steps = messages.flatMap(({ params }) => (params === undefined ? [] : [Number(params['progress'])]));
    expect(steps.length).toBeGreaterThan(1);
    expect(steps.length).toBeLessThanOrEqual(20 * seconds);
    expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
  });

  it('that is refused gets its HTTP status and JSON', async () => {
    const response = await send(era, 'no_such_tool', { progressToken: 'mine' });
    expect(response.status).toBe(200);
    const text = await response.text();
    const [message] = text.startsWith('event:') ? messagesIn(text) : [JSON.parse(text) as Message];
    expect(message).toMatchObject({
      id: 'stream',
      error: { code: -32602, message: 'Unknown tool: no_such_tool', data: { executed: 'no' } },
    });
  });
});

describe('logs', () => {
  it('reach a modern request that asks for a level, and no other', async () => {
    const level = { 'io.modelcontextprotocol/logLevel': 'info' };
    const asked = messagesIn(await (await send('modern', 'test_logging_tool', level)).text());
    expect(asked.map(({ method }) => method)).toEqual(['notifications/message', undefined]);
    const higher = await send('modern', 'test_logging_tool', { 'io.modelcontextprotocol/logLevel': 'error' });
    expect(higher.headers.get('content-type')).toContain('application/json');
    const silent = await send('modern', 'test_logging_tool', { progressToken: 1 });
    expect((await silent.text()).includes('notifications/message')).toBe(false);
  });
});

describe('a caller that goes away in the middle', () => {
  async function leave(era: Era): Promise<void> {
    const controller = new AbortController();
    const response = await send(era, 'slow', { progressToken: 'p' }, controller.signal);
    await response.body?.getReader().read();
    controller.abort();
  }
  const lastCall = async () =>
    (await direct.api<{ calls: { tool: string; outcome: string | null }[] }>('GET', '/api/calls?limit=1')).calls[0];

  it('cancels in the modern era: the tool hears of it, and nobody knows how it ended', async () => {
    [finished, aborted] = [0, 0];
    await leave('modern');
    await expect.poll(() => aborted).toBe(1);
    await expect.poll(lastCall).toMatchObject({ tool: 'slow', outcome: 'unknown' });
    expect(finished).toBe(0);
  });

  it('does not cancel in the 2025 era: the call runs to its end', async () => {
    [finished, aborted] = [0, 0];
    await leave('legacy');
    await expect.poll(() => finished).toBe(1);
    await expect.poll(lastCall).toMatchObject({ tool: 'slow', outcome: 'ok' });
    expect(aborted).toBe(0);
  });
});

describe('a listener that stops reading', () => {
  it('is cut when it falls a mebibyte behind', { timeout: 60_000 }, async () => {
    const { port, pathname } = new URL(url);
    const body = JSON.stringify({
      jsonrpc: '2.0',
      id: 'l'.repeat(60_000),
      method: 'subscriptions/listen',
      params: { notifications: { toolsListChanged: true }, _meta: envelope() },
    });
    const socket = connect(Number(port), '127.0.0.1');
    let isClosed = false;
    socket.on('close', () => {
      isClosed = true;
    });
    socket.on('error', () => undefined);
    socket.write(
      [
        `POST ${pathname} HTTP/1.1`,
        'host: localhost',
        `authorization: Bearer ${direct.gateway.apiKey}`,
        'accept: application/json, text/event-stream',
        'content-type: application/json',
        'mcp-protocol-version: 2026-07-28',
        'mcp-method: subscriptions/listen',
        `content-length: ${body.length}`,
        '\r\n',
      ].join('\r\n') + body,
    );
    await new Promise<void>((resolve) => socket.once('data', () => resolve()));
    socket.pause();
    await expect.poll(() => upstream.listenerCount()).toBeGreaterThan(0);
    // Every message repeats the id, so a few hundred fill the socket's buffers and the mebibyte beyond them.
    for (let round = 0; round < 200 && upstream.listenerCount() > 0; round++) {
      upstream.toolsChanged();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await expect.poll(() => upstream.listenerCount()).toBe(0);
    socket.resume();
    await expect.poll(() => isClosed).toBe(true);
  });
});

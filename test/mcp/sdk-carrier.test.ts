// The carrier for upstreams that one POST cannot serve: who shares an upstream session with whom, what travels, and what comes back.
// Speaks to real fixture upstreams without a gateway around it.
import { createServer } from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CallerSession, Notification } from '../../packages/server/src/connectors/backend.ts';
import type { EverythingOptions } from '../support/everything/http.ts';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import { wireText } from '../support/recorded-request.ts';
import {
  connectorAt,
  failureOf,
  initializes,
  methodOf,
  secret,
  startCarrier,
  startUpstream,
  toolCall,
  upstreamFor,
} from './carrier-fixture.ts';

describe('a borrowed session', () => {
  it('is used again by the same user, and declares nothing', async () => {
    const upstream = await startUpstream();
    const sdk = startCarrier();
    const ada = upstreamFor('ada', connectorAt(upstream.url));
    for (let i = 0; i < 3; i++) await sdk.request(ada, toolCall('test_simple_text'));
    expect(initializes(upstream)).toHaveLength(1);
    const [handshake] = initializes(upstream);
    expect(JSON.parse(handshake?.body.toString('utf8') ?? '{}')).toMatchObject({ params: { capabilities: {} } });
    expect(JSON.parse(handshake?.body.toString('utf8') ?? '{}').params.capabilities).toEqual({});
  });

  it('is never shared between two users of a connector', async () => {
    const upstream = await startUpstream();
    const sdk = startCarrier();
    const connector = connectorAt(upstream.url);
    await sdk.request(upstreamFor('ada', connector), toolCall('test_simple_text'));
    await sdk.request(upstreamFor('bob', connector), toolCall('test_simple_text'));
    const sessions = upstream.recorded
      .filter((request) => methodOf(request) === 'tools/call')
      .map(({ headers }) => headers['mcp-session-id']);
    expect(new Set(sessions).size).toBe(2);
  });

  it('serves one call at a time, with at most three sessions per key', async () => {
    const upstream = await startUpstream();
    const sdk = startCarrier();
    const ada = upstreamFor('ada', connectorAt(upstream.url));
    const results = await Promise.all(
      Array.from({ length: 8 }, () => sdk.request(ada, toolCall('test_tool_with_progress'))),
    );
    expect(results).toHaveLength(8);
    expect(initializes(upstream)).toHaveLength(3);
  });

  it('gives its place to the next call when a waiting one is cancelled', async () => {
    const upstream = await startUpstream();
    const sdk = startCarrier();
    const ada = upstreamFor('ada', connectorAt(upstream.url));
    const busy = Array.from({ length: 3 }, () => sdk.request(ada, toolCall('test_tool_with_progress')));
    const waiting = failureOf(
      sdk.request(ada, toolCall('test_simple_text', {}, AbortSignal.abort(new DOMException('gone', 'AbortError')))),
    );
    expect(await waiting).toMatchObject({ kind: 'cancelled', executed: 'no' });
    await Promise.all(busy);
    await sdk.request(ada, toolCall('test_simple_text'));
    expect(initializes(upstream)).toHaveLength(3);
  });

  it('is gone after its key was forgotten', async () => {
    const upstream = await startUpstream();
    const sdk = startCarrier();
    const ada = upstreamFor('ada', connectorAt(upstream.url));
    await sdk.request(ada, toolCall('test_simple_text'));
    await sdk.forget((key) => key === ada.key);
    await sdk.request(ada, toolCall('test_simple_text'));
    expect(initializes(upstream)).toHaveLength(2);
  });

  it('that the upstream has ended fails as lost, with nothing executed, and the next call opens another', async () => {
    let isDown = false;
    const upstream = await startUpstream({
      intercept: (request) =>
        isDown && methodOf(request) === 'tools/call' ? new Response('{}', { status: 404 }) : undefined,
    });
    const sdk = startCarrier();
    const ada = upstreamFor('ada', connectorAt(upstream.url));
    await sdk.request(ada, toolCall('test_simple_text'));
    isDown = true;
    expect(await failureOf(sdk.request(ada, toolCall('test_simple_text')))).toMatchObject({
      kind: 'session_lost',
      executed: 'no',
    });
    isDown = false;
    await sdk.request(ada, toolCall('test_simple_text'));
    expect(initializes(upstream)).toHaveLength(2);
  });
});

describe('what leaves', () => {
  it('is the connector’s headers and query, the protocol’s own, and nothing else', async () => {
    const upstream = await startUpstream();
    await startCarrier().request(upstreamFor('ada', connectorAt(upstream.url)), toolCall('test_simple_text'));
    const call = upstream.recorded.find((request) => methodOf(request) === 'tools/call');
    expect(Object.keys(call?.headers ?? {}).sort()).toEqual(
      [
        'accept',
        'accept-encoding',
        'authorization',
        'connection',
        'content-length',
        'content-type',
        'host',
        'mcp-protocol-version',
        'mcp-session-id',
        'user-agent',
        'x-fixed',
      ].sort(),
    );
    expect(call?.headers).toMatchObject({ authorization: `Bearer ${secret}`, 'user-agent': 'MCP-Valet/9.9.9' });
    expect(call?.url).toBe('/mcp?as=ada');
  });

  it('holds no stream open for a session that nobody uses', async () => {
    const upstream = await startUpstream();
    await startCarrier().request(upstreamFor('ada', connectorAt(upstream.url)), toolCall('test_simple_text'));
    expect(upstream.recorded.filter(({ method }) => method === 'GET')).toEqual([]);
  });
});

describe('what comes back', () => {
  const echo: EverythingOptions = {
    extend: (server) => {
      server.registerTool('echo_secret', { description: 'Says what it was sent' }, async (ctx) => {
        const authorization = ctx.http?.req?.headers.get('authorization') ?? '';
        const progressToken = ctx.mcpReq._meta?.progressToken;
        await ctx.mcpReq.log('info', { authorization });
        if (progressToken !== undefined) {
          await ctx.mcpReq.notify({
            method: 'notifications/progress',
            params: { progressToken, progress: 1, message: authorization },
          });
        }
        return { content: [{ type: 'text', text: authorization }], structuredContent: { authorization } };
      });
      server.registerTool('fail_with_secret', { description: 'Fails with what it was sent' }, (ctx) => {
        throw new Error(ctx.http?.req?.headers.get('authorization') ?? '');
      });
    },
  };

  it.each([['legacy'], ['modern']] as const)(
    'holds no secret: results, errors, logs and progress of a %s upstream',
    async (era) => {
      const upstream = await startUpstream({ eras: [era], ...echo });
      const sdk = startCarrier();
      const ada = upstreamFor('ada', connectorAt(upstream.url));
      const discover =
        era === 'modern'
          ? {
              supportedVersions: ['2026-07-28'],
              capabilities: { tools: {}, logging: {} },
              resultType: 'complete',
              ttlMs: 0,
              cacheScope: 'private',
            }
          : undefined;
      const heard: Notification[] = [];
      const request = {
        ...toolCall('echo_secret'),
        wantsProgress: true,
        logLevel: 'debug',
        onNotification: (notification: Notification) => void heard.push(notification),
      };
      const { result } = await sdk.request(ada, request, discover);
      const failed = await sdk.request(
        ada,
        { ...toolCall('fail_with_secret'), onNotification: () => undefined },
        discover,
      );
      expect(heard.map(({ method }) => method).sort()).toEqual(['notifications/message', 'notifications/progress']);
      const everythingSaid = JSON.stringify([result, failed, heard]);
      expect(everythingSaid).toContain('[secret]');
      expect(everythingSaid).not.toContain(secret);
      expect(wireText(upstream.recorded)).toContain(secret);
    },
  );
});

describe('a caller’s own upstream session', () => {
  const callerSession = (
    id: string,
    capabilities: Record<string, unknown> = {},
  ): CallerSession & { said: Notification[] } => {
    const said: Notification[] = [];
    return { id, capabilities, said, heard: (_, notification) => void said.push(notification) };
  };

  it('belongs to that session alone, declares its capabilities, and ends upstream with it', async () => {
    const upstream = await startUpstream();
    const sdk = startCarrier();
    const connector = connectorAt(upstream.url);
    const one = upstreamFor('ada', connector, callerSession('s1', { sampling: {} }));
    const two = upstreamFor('ada', connector, callerSession('s2'));
    await sdk.request(one, toolCall('test_simple_text'));
    await sdk.request(two, toolCall('test_simple_text'));
    await sdk.request(one, toolCall('test_simple_text'));
    expect(initializes(upstream).map(({ body }) => JSON.parse(body.toString('utf8')).params.capabilities)).toEqual([
      { sampling: {} },
      {},
    ]);
    expect(upstream.sessionCount()).toBe(2);
    await sdk.forget((key) => key === one.key);
    expect(upstream.sessionCount()).toBe(1);
  });

  it('passes questions to the call in flight and refuses them where nobody can answer', async () => {
    const upstream = await startUpstream();
    const sdk = startCarrier();
    const ada = upstreamFor('ada', connectorAt(upstream.url), callerSession('s1', { elicitation: { form: {} } }));
    const asked: string[] = [];
    const ask = async ({ method }: Notification) => {
      asked.push(method);
      return { action: 'decline' };
    };
    const { result } = await sdk.request(ada, { ...toolCall('test_elicitation', { message: 'hello' }), ask });
    expect(asked).toEqual(['elicitation/create']);
    expect(JSON.stringify(result)).toContain('decline');
    const refused = await sdk.request(ada, toolCall('test_elicitation', { message: 'hello' }));
    expect(refused.result).toMatchObject({ isError: true });
  });
});

describe('a connector with the deprecated event stream transport', () => {
  it('is served, with the connector’s headers on both of its requests', async () => {
    const seen: { method: string | undefined; authorization: string | undefined }[] = [];
    const transports = new Map<string, SSEServerTransport>();
    const server = createServer((request, response) => {
      seen.push({ method: request.method, authorization: request.headers.authorization });
      const url = new URL(request.url ?? '/', 'http://upstream.invalid');
      if (request.method === 'GET') {
        const transport = new SSEServerTransport('/message', response);
        transports.set(transport.sessionId, transport);
        const mcp = new McpServer({ name: 'old', version: '1' });
        mcp.registerTool('hello', { description: 'Greets' }, () => ({
          content: [{ type: 'text', text: 'hello over sse' }],
        }));
        void mcp.connect(transport);
        return;
      }
      void transports.get(url.searchParams.get('sessionId') ?? '')?.handlePostMessage(request, response);
    });
    const port = await listenOnLoopback(server);
    onTestFinished(() => closeServer(server));
    const sdk = startCarrier();
    const connector = connectorAt(`http://127.0.0.1:${port}/sse`, { transport: 'sse' });
    const { result } = await sdk.request(upstreamFor('ada', connector), toolCall('hello'));
    expect(result).toMatchObject({ content: [{ type: 'text', text: 'hello over sse' }] });
    expect(seen.length).toBeGreaterThan(2);
    expect(new Set(seen.map(({ authorization }) => authorization))).toEqual(new Set([`Bearer ${secret}`]));
  });

  it('that refuses the credential says so', async () => {
    const server = createServer((_, response) => void response.writeHead(401).end());
    const port = await listenOnLoopback(server);
    onTestFinished(() => closeServer(server));
    const connector = connectorAt(`http://127.0.0.1:${port}/sse`, { transport: 'sse' });
    expect(await failureOf(startCarrier().request(upstreamFor('ada', connector), toolCall('hello')))).toMatchObject({
      kind: 'unauthorized',
      executed: 'no',
    });
  });
});

// The official clients in front of the gateway: the v1 SDK, and the v2 SDK with the handshake, with discovery, and pinned to 2026-07-28.
// What they can do against an upstream, they can do through the gateway.
import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { UrlElicitationRequiredError } from '@modelcontextprotocol/server';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import { type DirectGateway, startDirectGateway } from './direct-gateway.ts';

interface Content {
  type: string;
  text?: string;
}
/** What both generations of clients have in common, as far as it is used here. */
interface AnyClient {
  listTools(): Promise<{ tools: { name: string }[] }>;
  listPrompts(): Promise<{ prompts: { name: string }[] }>;
  listResources(): Promise<{ resources: { uri: string }[] }>;
  getPrompt(params: {
    name: string;
    arguments?: Record<string, string>;
  }): Promise<{ messages: { content: unknown }[] }>;
  readResource(params: { uri: string }): Promise<{ contents: { uri: string }[] }>;
  close(): Promise<void>;
}

let upstream: EverythingUpstream;
let direct: DirectGateway;
let directUrl: string;
let connectivityUrl: string;
let cancelled = 0;

beforeAll(async () => {
  upstream = await startEverything({
    extend: (server) => {
      server.registerTool('wait', { description: 'Reports once and waits to be cancelled' }, async (ctx) => {
        const progressToken = ctx.mcpReq._meta?.progressToken;
        if (progressToken !== undefined) {
          await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
        }
        await new Promise((resolve) => ctx.mcpReq.signal.addEventListener('abort', resolve));
        cancelled++;
        return { content: [] };
      });
    },
  });
  direct = await startDirectGateway([{ id: 'everything', url: upstream.url }]);
  ({ url: directUrl } = await direct.publish({ connectors: ['everything'] }));
  ({ url: connectivityUrl } = await direct.publish({ connectors: ['everything'], mode: 'connectivity' }));
});
afterAll(async () => {
  await direct.close();
  await upstream.close();
});

const info = { name: 'interop', version: '1.0.0' };

async function v1(url: string, capabilities: Record<string, unknown> = {}): Promise<ClientV1> {
  const client = new ClientV1(info, { capabilities });
  onTestFinished(() => client.close());
  await client.connect(new TransportV1(new URL(url)));
  return client;
}

type Mode = 'legacy' | 'auto' | 'pinned';
async function v2(url: string, mode: Mode, capabilities: Record<string, unknown> = {}): Promise<ClientV2> {
  const client = new ClientV2(info, {
    capabilities,
    versionNegotiation: { mode: mode === 'pinned' ? { pin: '2026-07-28' } : mode },
  });
  onTestFinished(() => client.close());
  await client.connect(new TransportV2(new URL(url)));
  return client;
}

const kinds: [string, (url: string, capabilities?: Record<string, unknown>) => Promise<ClientV1 | ClientV2>][] = [
  ['v1', v1],
  ['v2 legacy', (url, capabilities) => v2(url, 'legacy', capabilities)],
  ['v2 auto', (url, capabilities) => v2(url, 'auto', capabilities)],
  ['v2 pinned', (url, capabilities) => v2(url, 'pinned', capabilities)],
];

type Progress = { progress: number; total?: number | undefined };
function call(
  client: ClientV1 | ClientV2,
  name: string,
  args: Record<string, unknown>,
  options: { signal?: AbortSignal; onprogress?: (progress: Progress) => void } = {},
) {
  const params = { name, arguments: args };
  const result =
    client instanceof ClientV1 ? client.callTool(params, undefined, options) : client.callTool(params, options);
  return result as Promise<{ content: Content[]; isError?: boolean }>;
}

describe.each(kinds)('the official client %s', (_, connect) => {
  it('lists and calls the tools of a direct server', async () => {
    const client = await connect(directUrl);
    const { tools } = await (client as AnyClient).listTools();
    expect(tools.map(({ name }) => name)).toContain('everything__test_simple_text');
    const result = await call(client, 'everything__test_simple_text', {});
    expect(result.content).toEqual([{ type: 'text', text: 'This is a simple text response for testing.' }]);
  });

  it('lists and calls the tools of a connectivity server', async () => {
    const client = await connect(connectivityUrl);
    const { tools } = await (client as AnyClient).listTools();
    expect(tools).toHaveLength(8);
    const result = await call(client, 'execute_action_alloy', {
      connectorId: 'everything',
      actionId: 'test_simple_text',
    });
    expect(result.content[0]?.text).toContain('simple text response');
    expect((await (client as AnyClient).listPrompts()).prompts).toEqual([]);
  });

  it('gets prompts and reads resources under published names', async () => {
    const client = (await connect(directUrl)) as AnyClient;
    const { prompts } = await client.listPrompts();
    expect(prompts.map(({ name }) => name)).toContain('everything__test_prompt_with_arguments');
    const prompt = await client.getPrompt({
      name: 'everything__test_prompt_with_arguments',
      arguments: { arg1: 'one', arg2: 'two' },
    });
    expect(JSON.stringify(prompt.messages)).toContain('one');
    const { resources } = await client.listResources();
    expect(resources.map(({ uri }) => uri)).toContain('everything+test://static-text');
    const { contents } = await client.readResource({ uri: 'everything+test://static-text' });
    expect(contents.map(({ uri }) => uri)).toEqual(['everything+test://static-text']);
  });

  it('hears of progress, in order and under its own token', async () => {
    const client = await connect(directUrl);
    const heard: Progress[] = [];
    const result = await call(
      client,
      'everything__test_tool_with_progress',
      {},
      { onprogress: (progress) => heard.push(progress) },
    );
    expect(result.content[0]?.text).toBe('Progress tool finished');
    expect(heard.map(({ progress }) => progress)).toEqual([0, 50, 100]);
  });
});

describe('cancellation by a caller', () => {
  it.each(kinds)('of %s reaches the tool, and the journal does not know how it ended', async (_, connect) => {
    const client = await connect(directUrl, { elicitation: { form: {} } });
    const before = cancelled;
    const controller = new AbortController();
    const running = call(
      client,
      'everything__wait',
      {},
      { signal: controller.signal, onprogress: () => controller.abort() },
    );
    await expect(running).rejects.toThrow();
    await expect.poll(() => cancelled).toBe(before + 1);
    await expect
      .poll(async () => {
        const path = '/api/calls?limit=1';
        const { calls } = await direct.api<{ calls: { tool: string; outcome: string | null }[] }>('GET', path);
        return calls[0];
      })
      .toMatchObject({ tool: 'wait', outcome: 'unknown' });
  });
});

describe('a question of an upstream', () => {
  const form = { elicitation: { form: {} }, sampling: {} };

  it('reaches a v1 client in its session, and the answer goes back', async () => {
    const client = await v1(directUrl, form);
    const asked: string[] = [];
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      asked.push(params.message);
      return { action: 'accept', content: { username: 'ada', email: 'ada@example.com' } };
    });
    client.setRequestHandler(CreateMessageRequestSchema, () => ({
      role: 'assistant',
      model: 'm',
      content: { type: 'text', text: 'forty-two' },
    }));
    const elicited = await call(client, 'everything__test_elicitation', { message: 'Who are you?' });
    expect(asked).toEqual(['Who are you?']);
    expect(elicited.content[0]?.text).toContain('ada@example.com');
    const sampled = await call(client, 'everything__test_sampling', { prompt: 'What is it?' });
    expect(sampled.content[0]?.text).toContain('forty-two');
  });

  it('reaches a pinned v2 client as input_required, and the retry carries the answer', async () => {
    const client = await v2(directUrl, 'pinned', form);
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { ok: true } }));
    const result = await call(client, 'everything__test_input_required_result_request_state', {});
    expect(result.content[0]?.text).toBe('state-ok');
  });

  it('reaches a v2 client that also wants progress', async () => {
    const client = await v2(directUrl, 'pinned', form);
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { ok: true } }));
    const result = await call(
      client,
      'everything__test_input_required_result_request_state',
      {},
      { onprogress: () => undefined },
    );
    expect(result.content[0]?.text).toBe('state-ok');
  });

  it('is put to a 2025-era session by an upstream that only speaks 2026-07-28', async () => {
    const modern = await startEverything({ eras: ['modern'] });
    onTestFinished(() => modern.close());
    await direct.api('POST', '/api/connectors', {
      connectorId: 'modern',
      name: 'Modern',
      kind: 'mcp-http',
      url: modern.url,
    });
    const { url } = await direct.publish({ connectors: ['modern'], prefix: 'none' });
    const client = await v1(url, form);
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Grace' } }));
    const result = await call(client, 'test_input_required_result_elicitation', {});
    expect(result.content[0]?.text).toBe('Hello, Grace!');
  });

  it('for a page to be opened reaches a session that can show one, and is readable for everybody else', async () => {
    const page = { mode: 'url', elicitationId: 'e1', url: 'https://sign-in.example/e1', message: 'Sign in' } as const;
    const picky = await startEverything({
      eras: ['legacy'],
      extend: (server) => {
        server.registerTool('needs_page', { description: 'Wants a page opened first' }, () => {
          throw new UrlElicitationRequiredError([page], 'Open the page first');
        });
      },
    });
    onTestFinished(() => picky.close());
    await direct.api('POST', '/api/connectors', {
      connectorId: 'picky',
      name: 'Picky',
      kind: 'mcp-http',
      url: picky.url,
    });
    const { url } = await direct.publish({ connectors: ['picky'], prefix: 'none' });
    const shown = await v1(url, { elicitation: { url: {} } });
    await expect(call(shown, 'needs_page', {})).rejects.toMatchObject({ code: -32042, elicitations: [page] });
    const read = await call(await v2(url, 'pinned'), 'needs_page', {});
    expect(read.isError).toBe(true);
    expect(read.content[0]?.text).toContain(page.url);
  });

  it('never reaches a client that declared nothing', async () => {
    const client = await v1(directUrl);
    const result = await call(client, 'everything__test_simple_text', {});
    expect(result.isError ?? false).toBe(false);
    await expect(call(client, 'everything__test_elicitation', { message: 'Who?' })).rejects.toThrow(/Unknown tool/);
  });
});

describe('a subscription', () => {
  const uri = 'everything+test://watched-resource';

  it('tells a v1 session of an updated resource by its published URI', async () => {
    const client = await v1(directUrl, { roots: {} });
    const updates: string[] = [];
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void updates.push(params.uri));
    await client.subscribeResource({ uri });
    await expect
      .poll(() => {
        upstream.resourceUpdated('test://watched-resource');
        return updates[0];
      })
      .toBe(uri);
    await client.unsubscribeResource({ uri });
  });

  it('tells a pinned v2 client of changed lists and updated resources', async () => {
    const client = await v2(directUrl, 'pinned');
    const heard: string[] = [];
    client.setNotificationHandler('notifications/tools/list_changed', () => void heard.push('tools'));
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => void heard.push(params.uri));
    const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: [uri] });
    upstream.toolsChanged();
    upstream.resourceUpdated('test://watched-resource');
    await expect.poll(() => heard.toSorted()).toEqual([uri, 'tools']);
    await subscription.close();
    await expect.poll(() => upstream.listenerCount()).toBe(0);
  });
});

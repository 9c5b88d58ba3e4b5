// `subscriptions/listen` of the modern era at the gateway: who hears what, from which upstream, and when it ends. Raw HTTP.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import { type DirectGateway, startDirectGateway } from './direct-gateway.ts';
import { envelope } from './lane-requests.ts';

let open: EverythingUpstream;
let keyed: EverythingUpstream;
let old: EverythingUpstream;
let direct: DirectGateway;
let url: string;

beforeAll(async () => {
  open = await startEverything({ eras: ['modern'] });
  keyed = await startEverything({ eras: ['modern'] });
  old = await startEverything({ eras: ['legacy'] });
  direct = await startDirectGateway([
    { id: 'open', url: open.url },
    {
      id: 'keyed',
      url: keyed.url,
      fields: { secretNames: ['KEYED_TOKEN'], inject: { headers: { authorization: 'Bearer {{KEYED_TOKEN}}' } } },
    },
    { id: 'old', url: old.url },
  ]);
  for (const username of ['ada', 'bob', 'carol', 'dave']) await direct.api('POST', '/users', { username });
  ({ plainUrl: url } = await direct.publish({ connectors: ['open', 'keyed', 'old'] }));
});
afterAll(async () => {
  await direct.close();
  await Promise.all([open, keyed, old].map((upstream) => upstream.close()));
});

interface Message {
  method?: string;
  params?: { notifications?: unknown; uri?: string; _meta?: Record<string, unknown> };
  result?: { resultType?: string; _meta?: Record<string, unknown> };
}

interface Listening {
  status: number;
  headers: Headers;
  askedAt: number;
  messages: Message[];
  isOpen(): boolean;
  stop(): void;
}

async function listen(
  user: string,
  notifications: Record<string, unknown>,
  more: { key?: string; to?: string } = {},
): Promise<Listening> {
  const controller = new AbortController();
  onTestFinished(() => controller.abort());
  const askedAt = performance.now();
  const response = await fetch(more.to ?? url, {
    method: 'POST',
    signal: controller.signal,
    headers: {
      authorization: `Bearer ${more.key ?? direct.gateway.apiKey}`,
      ...(more.key === undefined && { 'x-alloy-userid': user }),
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'subscriptions/listen',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: `listen-${user}`,
      method: 'subscriptions/listen',
      params: { notifications, _meta: envelope() },
    }),
  });
  const messages: Message[] = [];
  let isOpen = true;
  const read = async (): Promise<void> => {
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      const events = text.split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) {
        const data = event.split('\n').find((line) => line.startsWith('data: '));
        if (data !== undefined) messages.push(JSON.parse(data.slice(6)) as Message);
      }
    }
  };
  const ended = (): void => {
    isOpen = false;
  };
  if (response.headers.get('content-type')?.startsWith('text/event-stream')) void read().then(ended, ended);
  return {
    status: response.status,
    headers: response.headers,
    askedAt,
    messages,
    isOpen: () => isOpen,
    stop: () => controller.abort(),
  };
}

const methods = ({ messages }: Listening): (string | undefined)[] => messages.map(({ method }) => method);
const lists = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };

describe('a listen stream', () => {
  it('acknowledges first, names its subscription in every message, and listens upstream by then', async () => {
    let stream = await listen('ada', lists);
    for (let tries = 1; ; tries++) {
      expect(stream.status).toBe(200);
      expect(stream.headers.get('mcp-session-id')).toBeNull();
      await expect.poll(() => stream.messages.length, { interval: 5 }).toBeGreaterThan(0);
      expect(stream.messages[0]).toMatchObject({
        method: 'notifications/subscriptions/acknowledged',
        params: { notifications: lists },
      });
      if (open.listenerCount() === 1) break;
      // Half a second is as long as it waits for its upstreams. Where that was not enough, the next one finds them known.
      expect([tries < 5, performance.now() - stream.askedAt >= 500]).toEqual([true, true]);
      await expect.poll(() => open.listenerCount()).toBe(1);
      stream.stop();
      await expect.poll(() => open.listenerCount()).toBe(0);
      stream = await listen('ada', lists);
    }
    open.toolsChanged();
    await expect.poll(() => methods(stream)).toContain('notifications/tools/list_changed');
    for (const message of stream.messages)
      expect(message.params?._meta?.['io.modelcontextprotocol/subscriptionId']).toBe('listen-ada');
  });

  it('hears of list changes of an upstream that only speaks the 2025 era', async () => {
    const stream = await listen('ada', { promptsListChanged: true });
    await expect
      .poll(() => {
        old.promptsChanged();
        return methods(stream);
      })
      .toContain('notifications/prompts/list_changed');
  });

  it('hears of the resources it named, by their published URIs, and of no others', async () => {
    const stream = await listen('ada', {
      resourceSubscriptions: ['open+test://watched-resource', 'old+test://watched-resource', 'nothing+test://x'],
    });
    open.resourceUpdated('test://static-text');
    await expect
      .poll(() => {
        open.resourceUpdated('test://watched-resource');
        old.resourceUpdated('test://watched-resource');
        return new Set(stream.messages.flatMap(({ params }) => params?.uri ?? []));
      })
      .toEqual(new Set(['open+test://watched-resource', 'old+test://watched-resource']));
  });

  it('shares one upstream stream where no credential tells users apart, and lets go of it when nobody listens', async () => {
    await expect.poll(() => open.listenerCount()).toBe(0);
    const [ada, bob] = [await listen('ada', lists), await listen('bob', lists)];
    await expect.poll(() => open.listenerCount()).toBe(1);
    ada.stop();
    open.toolsChanged();
    await expect.poll(() => methods(bob)).toContain('notifications/tools/list_changed');
    bob.stop();
    await expect.poll(() => open.listenerCount()).toBe(0);
  });

  it('is refused to a user who holds five, and to one who does not exist', async () => {
    for (let i = 0; i < 5; i++) expect((await listen('dave', lists)).status).toBe(200);
    expect((await listen('dave', lists)).status).toBe(429);
    expect((await listen('nobody', lists)).status).toBe(403);
  });
});

describe('changes of our own', () => {
  it('reach the user whose credential they are, and nobody else', async () => {
    const [ada, bob] = [await listen('ada', lists), await listen('bob', lists)];
    await expect.poll(() => keyed.listenerCount()).toBe(0);
    await direct.api('POST', '/secrets/set', {
      username: 'ada',
      serverName: 'keyed',
      secretName: 'KEYED_TOKEN',
      secretValue: 'a-token-0123456789',
    });
    await expect.poll(() => methods(ada)).toContain('notifications/tools/list_changed');
    await expect.poll(() => keyed.listenerCount()).toBe(1);
    keyed.resourcesChanged();
    await expect
      .poll(() => methods(ada).filter((method) => method === 'notifications/resources/list_changed').length)
      .toBeGreaterThan(1);
    expect(methods(bob)).toEqual(['notifications/subscriptions/acknowledged']);
  });

  it('stop what an upstream says when the user may no longer reach it', async () => {
    const stream = await listen('bob', lists);
    await direct.api('PUT', '/users/bob/mcp-access', { blocked_mcps: ['open', 'old'] });
    await expect.poll(() => methods(stream)).toContain('notifications/tools/list_changed');
    const before = stream.messages.length;
    open.toolsChanged();
    old.toolsChanged();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(stream.messages).toHaveLength(before);
  });
});

describe('the end of a listen stream', () => {
  it('comes at once with the revocation of its key, as a complete result', async () => {
    const { key, keyId } = await direct.mintKey('carol');
    const stream = await listen('carol', lists, { key });
    await expect.poll(() => stream.messages.length).toBe(1);
    await direct.api('DELETE', `/api/keys/${keyId}`);
    await expect.poll(() => stream.isOpen()).toBe(false);
    expect(stream.messages.at(-1)?.result?.resultType).toBe('complete');
    expect(stream.messages.at(-1)?.result?._meta?.['io.modelcontextprotocol/serverInfo']).toMatchObject({
      name: 'MCP Valet',
    });
  });

  it('comes long before the patience with calls is over when the gateway closes', async () => {
    const other = await startDirectGateway([{ id: 'open', url: open.url }]);
    const { plainUrl } = await other.publish({ connectors: ['open'] });
    const stream = await listen('default', lists, { key: other.gateway.apiKey, to: plainUrl });
    await expect.poll(() => stream.messages.length).toBe(1);
    const startedAt = performance.now();
    const closed = other.close();
    await expect.poll(() => stream.isOpen()).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await closed;
  });
});

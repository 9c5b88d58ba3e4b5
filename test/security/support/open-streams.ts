// Streams that stay open: `subscriptions/listen` of the modern era, and the GET stream of a 2025-era session. Asserts nothing.
import { envelope } from '../../mcp/lane-requests.ts';

export interface OpenStream {
  isOpen(): boolean;
  stop(): void;
}

const accept = 'application/json, text/event-stream';

function follow(response: Response, controller: AbortController): OpenStream {
  if (!response.ok || !response.headers.get('content-type')?.startsWith('text/event-stream'))
    throw new Error(`no stream: ${response.status}`);
  let isOpen = true;
  const read = async (): Promise<void> => {
    for await (const _ of response.body ?? []);
  };
  const ended = (): void => {
    isOpen = false;
  };
  void read().then(ended, ended);
  return { isOpen: () => isOpen, stop: () => controller.abort() };
}

export async function openListen(url: string, key: string, headers: Record<string, string> = {}): Promise<OpenStream> {
  const controller = new AbortController();
  const response = await fetch(url, {
    method: 'POST',
    signal: controller.signal,
    headers: {
      authorization: `Bearer ${key}`,
      accept,
      'content-type': 'application/json',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'subscriptions/listen',
      ...headers,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 'listen',
      method: 'subscriptions/listen',
      params: { notifications: { toolsListChanged: true }, _meta: envelope() },
    }),
  });
  return follow(response, controller);
}

/** A session and its stream; the server must hand out sessions. */
export async function openSession(url: string, key: string): Promise<OpenStream & { id: string }> {
  const controller = new AbortController();
  const authorization = `Bearer ${key}`;
  const opened = await fetch(url, {
    method: 'POST',
    headers: { authorization, accept, 'content-type': 'application/json' },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
    }),
  });
  const id = opened.headers.get('mcp-session-id');
  const text = await opened.text();
  if (id === null) throw new Error(`no session: ${opened.status} ${text}`);
  const response = await fetch(url, {
    signal: controller.signal,
    headers: { authorization, accept: 'text/event-stream', 'mcp-session-id': id, 'mcp-protocol-version': '2025-06-18' },
  });
  return { id, ...follow(response, controller) };
}

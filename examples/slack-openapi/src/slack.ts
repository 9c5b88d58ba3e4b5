// A stand-in for Slack's Web API on loopback, so that the story needs no workspace: one user per token, messages and a long member list.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Slack {
  /** Base URL of the API. */
  url: string;
  messages: readonly { by: string; channel: string; text: string }[];
  close(): Promise<void>;
}

export async function startSlack(tokens: ReadonlyMap<string, string>): Promise<Slack> {
  const messages: { by: string; channel: string; text: string }[] = [];
  const answer = (method: string, by: string, form: URLSearchParams): object => {
    switch (method) {
      case 'auth.test':
        return { ok: true, user: by };
      case 'chat.postMessage': {
        const message = { by, channel: form.get('channel') ?? '', text: form.get('text') ?? '' };
        messages.push(message);
        return { ok: true, channel: message.channel, message: { user: by, text: message.text } };
      }
      case 'users.list': {
        const members = Array.from({ length: 80 }, (_, n) => ({ id: `U${n}`, name: `member-${n}` }));
        return { ok: true, members, response_metadata: { next_cursor: 'dXNlcjpVODA=' } };
      }
      default:
        return { ok: false, error: 'unknown_method' };
    }
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const by = tokens.get((request.headers.authorization ?? '').replace('Bearer ', ''));
      const method = (request.url ?? '').replace(/^\/api\/|\?.*$/g, '');
      const form = new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(by === undefined ? { ok: false, error: 'not_authed' } : answer(method, by, form)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api`,
    messages,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

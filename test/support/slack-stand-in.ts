// A stand-in for Slack's Web API on loopback: real HTTP, one workspace per token, records every request byte for byte. Refuses what Slack
// refuses in its own words. Must not know the document that the gateway reads.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { closeServer, listenOnLoopback } from './loopback.ts';
import { type RecordedRequest, recordedRequest } from './recorded-request.ts';

export interface SlackStandIn {
  /** Base URL of the API. */
  url: string;
  recorded: readonly RecordedRequest[];
  /** Messages as they were posted, with the user whose token posted them. */
  messages: readonly { user: string; channel: string; text: string }[];
  reset(): void;
  close(): Promise<void>;
}

export async function startSlackStandIn(tokens: ReadonlyMap<string, string>): Promise<SlackStandIn> {
  const recorded: RecordedRequest[] = [];
  const messages: { user: string; channel: string; text: string }[] = [];

  function answer(request: RecordedRequest): object {
    const [, token = ''] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [];
    const user = tokens.get(token);
    if (user === undefined) return { ok: false, error: token === '' ? 'not_authed' : 'invalid_auth' };
    const method = new URL(request.url, 'http://localhost').pathname.replace('/api/', '');
    const form = new URLSearchParams(request.body.toString('utf8'));
    if (method === 'chat.postMessage') {
      const [channel, text] = [form.get('channel'), form.get('text')];
      if (channel === null) return { ok: false, error: 'channel_not_found' };
      if (text === null) return { ok: false, error: 'no_text' };
      messages.push({ user, channel, text });
      const ts = `1700000000.${String(messages.length).padStart(6, '0')}`;
      return { ok: true, channel, ts, message: { type: 'message', text, user, ts } };
    }
    if (method === 'auth.test') return { ok: true, user };
    return { ok: true, method };
  }

  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const entry = recordedRequest(request, Buffer.concat(chunks));
      recorded.push(entry);
      response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' });
      response.end(JSON.stringify(answer(entry)));
    });
  });
  const port = await listenOnLoopback(server);
  return {
    url: `http://127.0.0.1:${port}/api`,
    recorded,
    messages,
    reset() {
      recorded.length = 0;
      messages.length = 0;
    },
    close: () => closeServer(server),
  };
}

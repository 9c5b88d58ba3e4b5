// A receiver of webhooks that keeps what arrived and answers as it is told. Verifies signatures with code of its own, written from the Standard
// Webhooks specification and not from ours.
import { subtle } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  event: { type: string; timestamp: string; data: Record<string, unknown> };
}

export interface Receiver {
  url: string;
  /** Answers of the next requests, first one first; 204 when empty. `hang`: none. */
  readonly answers: (number | 'hang')[];
  readonly received: readonly Received[];
  close(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const answers: (number | 'hang')[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      received.push({ headers: request.headers, body, event: JSON.parse(body) as Received['event'] });
      const answer = answers.shift() ?? 204;
      if (answer !== 'hang') response.writeHead(answer).end();
    });
  });
  const port = await listenOnLoopback(server);
  return { url: `http://127.0.0.1:${port}/hook?tenant=1`, answers, received, close: () => closeServer(server) };
}

/** Whether the delivery was signed with the key, by WebCrypto. */
export async function isSigned({ headers, body }: Received, secret: string): Promise<boolean> {
  const [prefix, encoded = ''] = secret.split('_');
  if (prefix !== 'whsec') return false;
  const raw = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const key = await subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
  const content = new TextEncoder().encode(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  for (const one of String(headers['webhook-signature']).split(' ')) {
    const [version, signature = ''] = one.split(',');
    if (version !== 'v1') continue;
    if (
      await subtle.verify(
        'HMAC',
        key,
        Uint8Array.from(atob(signature), (c) => c.charCodeAt(0)),
        content,
      )
    )
      return true;
  }
  return false;
}

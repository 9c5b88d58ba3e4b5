// What a request may carry, and what an error may.
import { afterEach, describe, expect, it } from 'vitest';
import { createEgress, type Egress, EgressError, type EgressInit } from './egress.ts';
import { toEgressError } from './egress-error.ts';
import { failureOf, startRaw, startUpstream, type Upstream } from './egress-test-upstream.ts';

const opened: Array<{ close(): Promise<void> }> = [];

function keep<T extends { close(): Promise<void> }>(item: T): T {
  opened.push(item);
  return item;
}

afterEach(async () => {
  for (const item of opened.splice(0).reverse()) await item.close();
});

const newEgress = (): Egress => keep(createEgress({ allowedCidrs: ['127.0.0.0/8'] }));
const urlOf = ({ port }: Upstream, path = '/') => `http://127.0.0.1:${port}${path}`;
const get = (init: Partial<EgressInit> = {}): EgressInit => ({
  method: 'GET',
  headers: {},
  signal: AbortSignal.timeout(5_000),
  ...init,
});
const failure = (code: string, sent: string) => expect.objectContaining({ code, sent });

describe('what is sent', () => {
  it('sends method, path, query, body and headers as given, and asks for an unencoded answer', async () => {
    const upstream = keep(
      await startUpstream(async (request, response) => {
        const body = (await request.toArray()).join('');
        response.end(JSON.stringify({ method: request.method, url: request.url, body, headers: request.headers }));
      }),
    );
    const egress = newEgress();
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'] as const) {
      const init = get({ method, body: Buffer.from('héllo'), headers: { 'X-Key': 'v', Accept: 'text/plain' } });
      const { body } = await egress.request('a', urlOf(upstream, '/p%20q?a=b&c=%26#fragment'), init);
      const seen = JSON.parse(body.toString()) as Record<string, unknown>;
      expect(seen).toMatchObject({ method, url: '/p%20q?a=b&c=%26', body: 'héllo' });
      expect(seen['headers']).toMatchObject({ 'x-key': 'v', accept: 'text/plain', 'accept-encoding': 'identity' });
      expect(seen['headers']).not.toHaveProperty('cookie');
      expect(seen['headers']).not.toHaveProperty('user-agent');
    }
  });

  it('keeps no cookies', async () => {
    const cookies: unknown[] = [];
    const upstream = keep(
      await startUpstream((request, response) => {
        cookies.push(request.headers.cookie);
        response.writeHead(200, { 'set-cookie': 'session=1' }).end();
      }),
    );
    const egress = newEgress();
    await egress.request('a', urlOf(upstream), get());
    await egress.request('a', urlOf(upstream), get());
    expect(cookies).toEqual([undefined, undefined]);
  });

  it('refuses header values and names that could carry a second header or request', async () => {
    const upstream = keep(await startRaw());
    const egress = newEgress();
    const values = [
      'a\r\nx: y',
      'a\nb',
      'a\rb',
      'a\0b',
      'a\tb',
      'é',
      '\u{1f600}',
      '\u010a',
      '\x7f',
      7,
      null,
      undefined,
      ['a'],
    ];
    for (const value of values) {
      const init = get({ headers: { 'x-canary': value as string } });
      const refused = await failureOf(egress.request('a', urlOf(upstream), init));
      expect(refused, JSON.stringify(value)).toEqual(failure('EGRESS_REFUSED', 'no'));
      expect(String(refused)).not.toContain('canary');
    }
    for (const name of [
      '',
      'a b',
      'a:b',
      'a\r\nb',
      'é',
      'host',
      'Host',
      'Content-Length',
      'transfer-encoding',
      'connection',
    ]) {
      const init = get({ headers: { [name]: 'v' } });
      await expect(egress.request('a', urlOf(upstream), init), name).rejects.toEqual(failure('EGRESS_REFUSED', 'no'));
    }
    expect(upstream.connections()).toBe(0);
  });

  it('keeps a pool usable after any number of refused requests', async () => {
    const upstream = keep(await startUpstream((_request, response) => response.end('ok')));
    const egress = newEgress();
    for (let call = 0; call < 600; call += 1) {
      const bad = get({ headers: call % 2 === 0 ? { 'a b': 'v' } : { a: 'v\n' } });
      await expect(egress.request('a', urlOf(upstream), bad)).rejects.toEqual(failure('EGRESS_REFUSED', 'no'));
    }
    expect((await egress.request('a', urlOf(upstream), get())).body.toString()).toBe('ok');
  });

  it('refuses user information, other schemes and other methods also on a pool that is already open', async () => {
    const seen: unknown[] = [];
    const upstream = keep(
      await startUpstream((request, response) => {
        seen.push(request.url);
        response.end();
      }),
    );
    const egress = newEgress();
    await egress.request('a', urlOf(upstream), get());
    const { port } = upstream;
    for (const url of [
      `http://u@127.0.0.1:${port}/`,
      `http://:p@127.0.0.1:${port}/`,
      `blob:${urlOf(upstream)}`,
      'x',
      '',
    ]) {
      await expect(egress.request('a', url, get()), url).rejects.toEqual(failure('EGRESS_REFUSED', 'no'));
    }
    const connect = get({ method: 'CONNECT' as 'GET' });
    await expect(egress.request('a', urlOf(upstream), connect)).rejects.toEqual(failure('EGRESS_REFUSED', 'no'));
    expect(seen).toEqual(['/']);
  });

  it('sends a request once, even when the upstream hangs up on it', async () => {
    let requests = 0;
    const upstream = keep(
      await startRaw((socket) => {
        socket.on('data', () => {
          requests += 1;
          if (requests === 1) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
          else socket.destroy();
        });
      }),
    );
    const egress = newEgress();
    await egress.request('a', urlOf(upstream), get());
    for (const method of ['GET', 'POST'] as const) {
      await expect(egress.request('a', urlOf(upstream), get({ method }))).rejects.toEqual(failure('BROKEN', 'maybe'));
    }
    expect(requests).toBe(3);
  });
});

it('carries nothing but its own sentence in an error', () => {
  const foreign = Object.assign(new Error('canary', { cause: 'canary' }), { code: 'canary', data: 'canary' });
  for (const error of [
    new EgressError('BROKEN', 'maybe'),
    toEgressError(foreign, true),
    toEgressError('canary', false),
  ]) {
    expect(Object.keys(error).sort()).toEqual(['code', 'name', 'sent']);
    expect(error.cause).toBeUndefined();
    expect(`${error.message} ${error.code} ${error.stack}`).not.toContain('canary');
  }
});

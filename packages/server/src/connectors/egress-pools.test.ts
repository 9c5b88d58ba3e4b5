// How sockets are shared and bounded, and bodies that are read while they arrive.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createEgress, type Egress, type EgressInit } from './egress.ts';
import { failureOf, startRaw, startUpstream, type Upstream } from './egress-test-upstream.ts';

const MIB = 1024 * 1024;
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
  signal: AbortSignal.timeout(20_000),
  ...init,
});
const failure = (code: string, sent: unknown) => expect.objectContaining({ code, sent });

describe('pools', () => {
  it('keeps one request on a socket and gives every caller its own answer', async () => {
    const busy = new Set<unknown>();
    let overlaps = 0;
    const upstream = keep(
      await startUpstream((request, response) => {
        if (busy.has(request.socket)) overlaps += 1;
        busy.add(request.socket);
        setTimeout(() => {
          busy.delete(request.socket);
          response.end(request.url);
        }, Math.random() * 5);
      }),
    );
    const egress = newEgress();
    const calls = Array.from({ length: 600 }, async (_, call) => {
      const { body } = await egress.request('a', urlOf(upstream, `/${call}`), get());
      expect(body.toString()).toBe(`/${call}`);
    });
    await Promise.all(calls);
    expect(overlaps).toBe(0);
    expect(upstream.connections()).toBeLessThanOrEqual(256);
  });

  it('never shares a socket between pool keys, and reuses it within one', async () => {
    const upstream = keep(await startUpstream((_request, response) => response.end()));
    const egress = newEgress();
    for (const poolKey of ['account-a connector', 'account-b connector', 'account-a connector']) {
      await egress.request(poolKey, urlOf(upstream), get());
      // undici frees a socket one turn of the event loop after its answer.
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(upstream.connections()).toBe(2);
  });

  it('refuses more waiting requests than a pool may hold, without sending them', async () => {
    const upstream = keep(await startRaw());
    const egress = newEgress();
    const waiting = Array.from({ length: 1_280 }, () =>
      failureOf(egress.request('a', urlOf(upstream), get({ signal: AbortSignal.timeout(3_000) }))),
    );
    await expect(egress.request('a', urlOf(upstream), get())).rejects.toEqual(failure('UNREACHABLE', 'no'));
    for (const ended of await Promise.all(waiting)) expect(ended).toEqual(failure('TIMEOUT', expect.any(String)));
    // A call given up while it waited frees its place.
    const next = egress.request('a', urlOf(upstream), get({ signal: AbortSignal.timeout(50) }));
    await expect(next).rejects.toEqual(failure('TIMEOUT', expect.any(String)));
  });

  it('closes the longest unused pool to make room, and none that is in use', async () => {
    const closed: string[] = [];
    const upstream = keep(
      await startUpstream((request, response) => {
        request.socket.once('close', () => closed.push(request.url ?? ''));
        if (request.url !== '/busy') response.end();
      }),
    );
    const egress = keep(createEgress({ allowedCidrs: ['127.0.0.0/8'], maxPools: 3 }));
    const call = (key: string) => egress.request(key, urlOf(upstream, `/${key}`), get());
    const busy = [failureOf(call('busy'))];
    for (const key of ['b', 'c', 'b', 'd']) await call(key);
    await vi.waitFor(() => expect(closed).toEqual(['/c']), { timeout: 10_000 });
    for (const key of ['b', 'd']) busy.push(failureOf(egress.request(key, urlOf(upstream, '/busy'), get())));
    await expect(call('e')).rejects.toEqual(failure('UNREACHABLE', 'no'));
    await egress.close();
    expect(await Promise.all(busy)).toHaveLength(3);
  });

  it('lets calls in flight finish when a pool is closed, and opens new sockets afterwards', async () => {
    const upstream = keep(
      await startUpstream(
        (request, response) => void setTimeout(() => response.end(), request.url === '/slow' ? 1_000 : 0),
      ),
    );
    const egress = newEgress();
    const slow = egress.request('a', urlOf(upstream, '/slow'), get());
    await vi.waitFor(() => expect(upstream.connections()).toBe(1));
    const closing = egress.closePool('a');
    expect((await egress.request('a', urlOf(upstream), get())).status).toBe(200);
    expect(upstream.connections()).toBe(2);
    expect((await slow).status).toBe(200);
    await closing;
  });

  it('ends every call when it is closed, those of closing pools included, and takes no more', async () => {
    const upstream = keep(await startRaw());
    const egress = newEgress();
    const first = failureOf(egress.request('a', urlOf(upstream), get()));
    const second = failureOf(egress.request('b', urlOf(upstream), get()));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closing = egress.closePool('a');
    await egress.close();
    await closing;
    expect(await first).toEqual(failure('ABORTED', 'maybe'));
    expect(await second).toEqual(failure('ABORTED', 'maybe'));
    await expect(egress.request('a', urlOf(upstream), get())).rejects.toEqual(failure('ABORTED', 'no'));
  });
});

describe('stream', () => {
  it('hands out chunks while they arrive and closes the socket when the reader leaves', async () => {
    let closed: Promise<unknown> = Promise.resolve();
    const upstream = keep(
      await startUpstream((_request, response) => {
        response.write('first');
        closed = new Promise((resolve) => response.on('close', () => resolve('closed')));
      }),
    );
    const egress = newEgress();
    for (const leave of ['break', 'close'] as const) {
      const { body } = await egress.stream('a', urlOf(upstream), get());
      if (leave === 'close') body.close();
      else {
        for await (const chunk of body) {
          expect(Buffer.from(chunk).toString()).toBe('first');
          break;
        }
      }
      expect(await closed).toBe('closed');
    }
  });

  it('waits for a slow reader instead of collecting what arrives', async () => {
    let written = 0;
    const upstream = keep(
      await startUpstream((_request, response) => {
        const chunk = Buffer.alloc(64 * 1024);
        const pump = () => {
          do written += chunk.length;
          while (!response.destroyed && response.write(chunk));
        };
        response.on('drain', pump);
        pump();
      }),
    );
    const { body } = await newEgress().stream('a', urlOf(upstream), get({ maxBytes: 1_000 * MIB }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(written).toBeLessThan(32 * MIB);
    body.close();
  });

  it('limits each event of an event stream and not their sum', async () => {
    const upstream = keep(
      await startUpstream((request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
        if (request.url === '/lines') return response.end('data: 123456789\n'.repeat(200));
        const [events, bytes] = (request.url ?? '').slice(1).split('-').map(Number);
        for (let event = 0; event < (events ?? 0); event += 1) {
          response.write(`data: ${'x'.repeat(bytes ?? 0)}\r\n`);
          response.write('\r');
          response.write('\n');
        }
        return response.end();
      }),
    );
    const egress = newEgress();
    const total = async (path: string) => {
      let bytes = 0;
      for await (const chunk of (await egress.stream('a', urlOf(upstream, path), get({ maxBytes: 2_000 }))).body) {
        bytes += chunk.length;
      }
      return bytes;
    };
    expect(await total('/100-1000')).toBe(100 * 1_010);
    await expect(total('/1-2000')).rejects.toEqual(failure('TOO_LARGE', 'maybe'));
    await expect(total('/lines')).rejects.toEqual(failure('TOO_LARGE', 'maybe'));
  });
});

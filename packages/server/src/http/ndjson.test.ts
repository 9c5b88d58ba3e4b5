// Lines: bounded, ended by a caller who goes away, and never half a list that looks whole.
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { sendLines, wantsLines } from './ndjson.ts';

describe('wantsLines', () => {
  it.each([
    ['application/x-ndjson', true],
    ['text/html, Application/X-NDJSON;q=0.5', true],
    ['application/x-ndjson;q=0', false],
    ['application/json', false],
    ['*/*', false],
    [undefined, false],
  ])('of %s is %s', (accept, wanted) => {
    expect(wantsLines(accept)).toBe(wanted);
  });
});

describe('sendLines', () => {
  let close: () => Promise<void> = async () => undefined;
  afterEach(() => close());
  const serve = async (read: (page: number) => { items: unknown[]; nextCursor: string | null }) => {
    const app = Fastify({ forceCloseConnections: true });
    let reads = 0;
    app.get('/', (_, reply) =>
      sendLines(reply, async (cursor) => {
        reads += 1;
        return read(Number(cursor ?? 0));
      }),
    );
    await app.listen({ port: 0 });
    close = () => app.close();
    return { url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`, reads: () => reads };
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const big = Array.from({ length: 100 }, (_, n) => ({ n, text: 'x'.repeat(1_000) }));

  it('reads the next page only when the last was taken, and none for a caller who has gone', async () => {
    const { url, reads } = await serve((page) => ({ items: big, nextCursor: String(page + 1) }));
    const gone = new AbortController();
    const response = await fetch(url, { signal: gone.signal });
    await response.body?.getReader().read();
    /** How many were read once no more are: the list has no end, so nothing else stops. */
    const settled = async (): Promise<number> => {
      for (const end = performance.now() + 20_000; performance.now() < end; ) {
        const before = reads();
        await pause(400);
        if (reads() === before) return before;
      }
      return Number.POSITIVE_INFINITY;
    };
    // What fits into the sockets' buffers was read, and no more.
    const whileWaiting = await settled();
    expect(whileWaiting).toBeLessThan(1_000);
    gone.abort();
    const afterwards = await settled();
    expect(afterwards).toBeLessThanOrEqual(whileWaiting + 1);
  });

  it('cuts the connection when a later page fails: half a list is no list', async () => {
    const { url } = await serve((page) => {
      if (page === 2) throw new Error('the database has gone');
      return { items: [{ page }], nextCursor: String(page + 1) };
    });
    await expect(fetch(url).then((response) => response.text())).rejects.toThrow();
  });

  it('answers an empty list with nothing', async () => {
    const { url } = await serve(() => ({ items: [], nextCursor: null }));
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([200, '']);
  });
});

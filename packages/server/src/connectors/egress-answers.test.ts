// What an answer may cost, for both ways of reading one, against real loopback upstreams that misbehave.
import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
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
  signal: AbortSignal.timeout(5_000),
  ...init,
});
const failure = (code: string, sent: string) => expect.objectContaining({ code, sent });

/** A few kilobytes each that unpack to 300 and 64 MiB; gzip may be concatenated. */
const BOMBS: Record<string, Buffer> = {
  gzip: Buffer.concat(Array<Buffer>(30).fill(zlib.gzipSync(Buffer.alloc(10 * MIB), { level: 1 }))),
  br: zlib.brotliCompressSync(Buffer.alloc(64 * MIB), { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } }),
};

/** Both ways of reading an answer, so that every limit is shown to hold for both. */
const READERS: Array<[string, (egress: Egress, url: string, init: EgressInit) => Promise<Buffer>]> = [
  ['request', async (egress, url, init) => (await egress.request('a', url, init)).body],
  [
    'stream',
    async (egress, url, init) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of (await egress.stream('a', url, init)).body) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
  ],
];

describe.each(READERS)('%s', (_name, read) => {
  it('returns the body byte for byte, whatever its size', async () => {
    const body = Buffer.alloc(3 * MIB, 'abcdefg');
    const upstream = keep(await startUpstream((_request, response) => response.end(body)));
    const received = await read(newEgress(), urlOf(upstream), get());
    expect(createHash('sha256').update(received).digest('hex')).toBe(createHash('sha256').update(body).digest('hex'));
  });

  it('decodes gzip, deflate and br', async () => {
    const text = 'decoded '.repeat(10_000);
    const encoded: Record<string, [string, Buffer]> = {
      gzip: ['gzip', zlib.gzipSync(text)],
      'x-gzip': ['X-GZIP', zlib.gzipSync(text)],
      deflate: ['deflate', zlib.deflateSync(text)],
      br: ['br', zlib.brotliCompressSync(text)],
      identity: ['identity', Buffer.from(text)],
    };
    const upstream = keep(
      await startUpstream((request, response) => {
        const [coding, body] = encoded[request.url?.slice(1) ?? ''] ?? ['', Buffer.alloc(0)];
        response.writeHead(200, { 'content-encoding': coding }).end(body);
      }),
    );
    const egress = newEgress();
    for (const name of Object.keys(encoded)) {
      expect((await read(egress, urlOf(upstream, `/${name}`), get())).toString(), name).toBe(text);
    }
  });

  it('refuses codings that were not offered, stacked codings and damaged ones', async () => {
    const answers: Record<string, [string, Buffer]> = {
      zstd: ['zstd', Buffer.from('x')],
      stacked: ['gzip, gzip', zlib.gzipSync(zlib.gzipSync('x'))],
      damaged: ['gzip', Buffer.from('not gzip at all')],
      cut: ['gzip', zlib.gzipSync('x'.repeat(10_000)).subarray(0, 30)],
    };
    const upstream = keep(
      await startUpstream((request, response) => {
        const [coding, body] = answers[request.url?.slice(1) ?? ''] ?? ['', Buffer.alloc(0)];
        response.writeHead(200, { 'content-encoding': coding }).end(body);
      }),
    );
    const egress = newEgress();
    for (const name of Object.keys(answers)) {
      await expect(read(egress, urlOf(upstream, `/${name}`), get()), name).rejects.toEqual(failure('BROKEN', 'maybe'));
    }
  });

  it('stops a compressed bomb at the limit', async () => {
    const upstream = keep(
      await startUpstream((request, response) => {
        const coding = request.url?.slice(1) ?? '';
        response.writeHead(200, { 'content-encoding': coding }).end(BOMBS[coding]);
      }),
    );
    const egress = newEgress();
    const before = process.memoryUsage.rss();
    for (const coding of Object.keys(BOMBS)) {
      await expect(read(egress, urlOf(upstream, `/${coding}`), get()), coding).rejects.toEqual(
        failure('TOO_LARGE', 'maybe'),
      );
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(150 * MIB);
  });

  it('stops an endless body at 10 MiB, and at a smaller limit to the byte', async () => {
    const upstream = keep(
      await startUpstream((request, response) => {
        if (request.url !== '/endless') return response.end(Buffer.alloc(1_000));
        const chunk = Buffer.alloc(64 * 1024);
        const pump = () => {
          while (!response.destroyed && response.write(chunk));
        };
        response.on('drain', pump);
        return pump();
      }),
    );
    const egress = newEgress();
    await expect(read(egress, urlOf(upstream, '/endless'), get())).rejects.toEqual(failure('TOO_LARGE', 'maybe'));
    expect(upstream.bytes()).toBeLessThan(64 * 1024);
    expect(await read(egress, urlOf(upstream), get({ maxBytes: 1_000 }))).toHaveLength(1_000);
    await expect(read(egress, urlOf(upstream), get({ maxBytes: 999 }))).rejects.toEqual(failure('TOO_LARGE', 'maybe'));
  });

  it('ends a dripping answer at the deadline and a cancelled one at once', async () => {
    const closed: Promise<unknown>[] = [];
    const upstream = keep(
      await startUpstream((_request, response) => {
        const timer = setInterval(() => response.write('.'), 10);
        closed.push(new Promise((resolve) => response.on('close', resolve)).finally(() => clearInterval(timer)));
      }),
    );
    const egress = newEgress();
    const late = read(egress, urlOf(upstream), get({ signal: AbortSignal.timeout(1_000) }));
    await expect(late).rejects.toEqual(failure('TIMEOUT', 'maybe'));
    const cancel = new AbortController();
    const failing = failureOf(read(egress, urlOf(upstream), get({ signal: cancel.signal })));
    await vi.waitFor(() => expect(closed).toHaveLength(2), { timeout: 4_000 });
    cancel.abort(new Error('canary-reason'));
    const cancelled = await failing;
    expect(cancelled).toEqual(failure('ABORTED', 'maybe'));
    expect(String(cancelled)).not.toContain('canary');
    await Promise.all(closed);
    expect(closed).toHaveLength(2);
  });

  it('ends a silent upstream at the deadline', async () => {
    const upstream = keep(await startRaw());
    const late = read(newEgress(), urlOf(upstream), get({ signal: AbortSignal.timeout(1_000) }));
    await expect(late).rejects.toEqual(failure('TIMEOUT', 'maybe'));
  });

  it('sends nothing when the signal has already ended', async () => {
    const upstream = keep(await startRaw());
    const aborted = read(newEgress(), urlOf(upstream), get({ signal: AbortSignal.abort() }));
    await expect(aborted).rejects.toEqual(failure('ABORTED', 'no'));
    expect(upstream.connections()).toBe(0);
  });

  it('refuses every redirect and never asks its target, credentials stay where they were sent', async () => {
    const target = keep(await startRaw());
    const upstream = keep(
      await startUpstream((request, response) => {
        response.writeHead(Number(request.url?.slice(1)), { location: urlOf(target) }).end();
      }),
    );
    const egress = newEgress();
    for (const status of [301, 302, 303, 307, 308]) {
      const init = get({ method: 'POST', body: '{}', headers: { 'x-api-key': 'k' } });
      await expect(read(egress, urlOf(upstream, `/${status}`), init)).rejects.toEqual(failure('REDIRECT', 'maybe'));
    }
    expect(target.connections()).toBe(0);
  });

  it('refuses answers that are not HTTP, are cut short, or carry more than 16 KiB of headers', async () => {
    const answers: Record<string, [string, string]> = {
      garbage: ['BROKEN', 'canary-garbage\r\n\r\n'],
      short: ['BROKEN', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'],
      chunk: ['BROKEN', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n'],
      both: ['BROKEN', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
      upgrade: ['BROKEN', 'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'],
      none: ['BROKEN', ''],
      headers: ['TOO_LARGE', `HTTP/1.1 200 OK\r\n${`x-a: ${'b'.repeat(1_000)}\r\n`.repeat(17)}\r\n`],
    };
    const upstream = keep(
      await startRaw((socket) => {
        socket.once('data', (head: Buffer) =>
          socket.end(answers[/\/(\w*)/.exec(head.toString())?.[1] ?? '']?.[1] ?? ''),
        );
      }),
    );
    const egress = newEgress();
    for (const [name, [code]] of Object.entries(answers)) {
      const broken = await failureOf(read(egress, urlOf(upstream, `/${name}`), get()));
      expect(broken, name).toEqual(failure(code, 'maybe'));
      expect(JSON.stringify([String(broken), broken, (broken as Error).stack]), name).not.toContain('canary');
    }
  });

  it('skips informational answers and survives header names that mean something to JavaScript', async () => {
    const upstream = keep(
      await startRaw((socket) => {
        socket.once('data', () =>
          socket.end(
            'HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n__proto__: a\r\n__proto__: b\r\n' +
              'constructor: c\r\ncontent-length: 2\r\n\r\nok',
          ),
        );
      }),
    );
    expect((await read(newEgress(), urlOf(upstream), get())).toString()).toBe('ok');
  });
});

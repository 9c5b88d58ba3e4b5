// Lists as lines: an entry at a time, bounded, ended by whoever reads, and never a part that passes for the whole.
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { AbortError, ConnectionError, PermissionError, ResponseError, TimeoutError } from './index.ts';
import { clientOf, json } from './stand-in.test-support.ts';

const lines = (response: ServerResponse, text: string, type = 'application/x-ndjson; charset=utf-8') =>
  response.writeHead(200, { 'content-type': type }).write(text);
const whole = (response: ServerResponse, text: string, type?: string): void => {
  lines(response, text, type);
  response.end();
};
const line = (eventId: string) => `${JSON.stringify({ eventId })}\n`;

async function idsOf(list: AsyncIterable<{ eventId: string }>, into: string[] = []): Promise<string[]> {
  for await (const { eventId } of list) into.push(eventId);
  return into;
}

describe('an export', () => {
  it('gives every entry, wherever the network cut the lines', async () => {
    const text = ['a', 'b', 'ü\u2028'].map(line).join('');
    const { client, seen } = await clientOf(async (_, response) => {
      const bytes = Buffer.from(text);
      lines(response, '\n');
      for (const byte of bytes) {
        response.write(Buffer.from([byte]));
        if (byte === 0x0a) await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
    expect(await idsOf(client.audit.export({ outcome: 'refused' }))).toEqual(['a', 'b', 'ü\u2028']);
    expect(seen[0]).toMatchObject({ path: '/api/audit?outcome=refused', headers: { accept: 'application/x-ndjson' } });
  });

  it('asks for calls and for what a user did in the same way', async () => {
    const { client, seen } = await clientOf((_, response) => whole(response, ''));

    for await (const _ of client.calls.export({ userId: 'alice' })) expect.unreachable();
    for await (const _ of client.users.exportHistory('alice', { from: '2026-01-01T00:00:00Z' })) expect.unreachable();
    expect(seen.map(({ path }) => path).slice(-2)).toEqual([
      '/api/calls?userId=alice',
      '/api/users/alice/history?from=2026-01-01T00%3A00%3A00Z',
    ]);
  });

  it('sends nothing before somebody reads, and retries what failed before the first line', async () => {
    const { client, seen } = await clientOf((_, response, count) =>
      count === 1 ? json(response, 503, {}, { 'retry-after-ms': '1' }) : whole(response, line('a')),
    );
    const list = client.audit.export();
    expect(seen).toEqual([]);
    expect(await idsOf(list)).toEqual(['a']);
    expect(seen).toHaveLength(2);
  });

  it('throws when the list breaks off, after the entries that had come', async () => {
    const found: string[] = [];
    const { client, seen } = await clientOf(async (_, response) => {
      lines(response, line('a'));
      await expect.poll(() => found).toEqual(['a']);
      response.destroy();
    });
    await expect(idsOf(client.audit.export(), found)).rejects.toThrowError(ConnectionError);
    expect(found).toEqual(['a']);
    expect(seen).toHaveLength(1);
  });

  it.each([
    ['within a line', `${line('a')}{"eventId":"b`, 'application/x-ndjson', 'UNREADABLE_ANSWER'],
    ['with a line that is no JSON', `${line('a')}<html>\n`, 'application/x-ndjson', 'UNREADABLE_ANSWER'],
    ['as something else than lines', '{"events":[]}', 'application/json', 'UNREADABLE_ANSWER'],
    ['with a line without end', `${line('a')}${'x'.repeat(4_300_000)}`, 'application/x-ndjson', 'ANSWER_TOO_LARGE'],
  ])('refuses an answer that ends %s', async (_, text, type, code) => {
    const { client } = await clientOf((__, response) => whole(response, text, type));
    const error = await idsOf(client.audit.export()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ResponseError);
    expect(error).toMatchObject({ code, operation: 'audit.export', executed: 'no' });
  });

  it('ends the request when the reader leaves, and when the signal fires', async () => {
    let closed = 0;
    const { client } = await clientOf((_, response) => {
      lines(response, line('a'));
      response.on('close', () => closed++);
    });
    for await (const { eventId } of client.audit.export()) if (eventId === 'a') break;
    await expect.poll(() => closed).toBe(1);
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of client.audit.export({}, { signal: controller.signal })) controller.abort();
    })();
    await expect(reading).rejects.toThrowError(AbortError);
    await expect.poll(() => closed).toBe(2);
  });

  it('does not wait for ever between two lines', async () => {
    const { client } = await clientOf((_, response) => void lines(response, line('a')), { timeout: 150 });
    await expect(idsOf(client.audit.export())).rejects.toThrowError(TimeoutError);
  });

  it('throws the class of a refusal', async () => {
    const { client } = await clientOf((_, r) => json(r, 403, { error: { code: 'FORBIDDEN', message: 'no' } }));
    await expect(idsOf(client.audit.export())).rejects.toThrowError(PermissionError);
  });
});

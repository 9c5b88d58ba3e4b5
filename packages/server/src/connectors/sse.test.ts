// The event-stream grammar, cut at every byte, and what one event may cost.
import { describe, expect, it } from 'vitest';
import { parseSse, type SseEvent, sseEvents } from './sse.ts';

async function* cut(body: Buffer, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let from = 0; from < body.length; from += size) yield body.subarray(from, from + size);
}

async function parsed(body: string | Buffer, size = 1_024, maxEventBytes?: number): Promise<SseEvent[]> {
  const events: SseEvent[] = [];
  const limits = maxEventBytes === undefined ? {} : { maxEventBytes };
  for await (const event of parseSse(cut(Buffer.from(body), size), limits)) events.push(event);
  return events;
}

const CASES: Array<[string, string, SseEvent[]]> = [
  ['one event', 'data: {"a":1}\n\n', [{ data: '{"a":1}' }]],
  ['CRLF', 'event: message\r\ndata: a\r\n\r\ndata: b\r\n\r\n', [{ event: 'message', data: 'a' }, { data: 'b' }]],
  ['CR', 'data: a\r\rdata: b\r\r', [{ data: 'a' }, { data: 'b' }]],
  ['mixed line ends', 'data: a\r\ndata: b\n\r\ndata: c\r\n\n', [{ data: 'a\nb' }, { data: 'c' }]],
  ['several data lines', 'data: a\ndata:\ndata: c\n\n', [{ data: 'a\n\nc' }]],
  ['comments', ': ping\n\n:\ndata: a\n: between\ndata: b\n\n', [{ data: 'a\nb' }]],
  ['an id of its own event only', 'id: 1\ndata: a\n\ndata: b\n\n', [{ id: '1', data: 'a' }, { data: 'b' }]],
  ['an empty data line', 'id: 7\ndata:\n\n', [{ id: '7', data: '' }]],
  ['nothing for events without data', 'event: x\nid: 3\n\n\n\nretry: 5\n\ndata: a\n\n', [{ data: 'a' }]],
  ['one leading space removed', 'data:  a\ndata:b\ndata:\tc\n\n', [{ data: ' a\nb\n\tc' }]],
  ['a field without colon and unknown fields', 'data\nfoo: bar\nDATA: x\n\n', [{ data: '' }]],
  ['ids with NUL ignored', 'id: a\0b\ndata: x\n\n', [{ data: 'x' }]],
  ['colons in the value', 'data: a:b: c\n\n', [{ data: 'a:b: c' }]],
  ['a byte order mark', '\ufeffdata: a\n\n', [{ data: 'a' }]],
  ['characters of several bytes', 'data: héllo 😀 日本\n\n', [{ data: 'héllo 😀 日本' }]],
  ['no unfinished event', 'data: a\n\ndata: b\n', [{ data: 'a' }]],
  [
    'the last event type wins',
    'event: a\nevent: b\ndata: x\n\nevent: c\nevent:\ndata: y\n\n',
    [{ event: 'b', data: 'x' }, { data: 'y' }],
  ],
];

describe('parseSse', () => {
  it.each(CASES)('reads %s, however it is cut', async (_name, body, events) => {
    expect(sseEvents(Buffer.from(body))).toEqual(events);
    for (let size = 1; size <= Math.min(Buffer.byteLength(body), 12); size += 1) {
      expect(await parsed(body, size), `chunks of ${size}`).toEqual(events);
    }
  });

  it('limits each event and not their sum, comments and unfinished lines included', async () => {
    const tooLarge = { code: 'TOO_LARGE' };
    expect(await parsed('data: 1234567890\n\n'.repeat(50), 7, 40)).toHaveLength(50);
    await expect(parsed(`data: ${'x'.repeat(100)}\n\n`, 1_024, 90)).rejects.toMatchObject(tooLarge);
    await expect(parsed('x'.repeat(100), 1_024, 90)).rejects.toMatchObject(tooLarge);
    await expect(parsed(': ping\n'.repeat(100), 10, 90)).rejects.toMatchObject(tooLarge);
    await expect(parsed('data: 日\n'.repeat(20), 10, 90)).rejects.toMatchObject(tooLarge);
    await expect(parsed('data\n'.repeat(600_000), 64 * 1_024)).rejects.toMatchObject(tooLarge);
  });

  it('reads a large event that drips in linear time', async () => {
    const body = Buffer.from(`data: ${'x'.repeat(4 * 1024 * 1024)}\n\n`);
    const startedAt = performance.now();
    const [event] = await parsed(body, 512);
    expect(event?.data).toHaveLength(4 * 1024 * 1024);
    expect(performance.now() - startedAt).toBeLessThan(6_000);
  });
});

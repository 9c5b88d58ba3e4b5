// Lines from chunks that are cut anywhere, the end of a long text, and what of a line is a message.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createLineReader,
  createRing,
  messagesOf,
} from '../../packages/server/src/connectors/backends/mcp-stdio-lines.ts';

function linesOf(chunks: readonly Buffer[], maxBytes = 1_000): { lines: string[]; isWithin: boolean } {
  const lines: string[] = [];
  const reader = createLineReader(maxBytes, (line) => lines.push(line));
  const accepted = chunks.map((chunk) => reader.push(chunk));
  return { lines, isWithin: !accepted.includes(false) };
}

describe('a line reader', () => {
  it('gives the same lines however the bytes are cut, also inside a character', () => {
    const text = fc.array(fc.string({ unit: 'grapheme', maxLength: 30 }).map((line) => line.replaceAll('\n', '')));
    fc.assert(
      fc.property(text, fc.array(fc.nat(200), { maxLength: 20 }), (written, cuts) => {
        const bytes = Buffer.from(written.map((line) => `${line}\n`).join(''));
        const places = [...new Set([0, ...cuts.filter((cut) => cut < bytes.length), bytes.length])].sort(
          (a, b) => a - b,
        );
        const chunks = places.slice(1).map((end, at) => bytes.subarray(places[at], end));
        expect(linesOf(chunks, 100_000)).toEqual({
          lines: written.map((line) => Buffer.from(line).toString()),
          isWithin: true,
        });
      }),
    );
  });

  it('keeps an unfinished line to itself', () => {
    expect(linesOf([Buffer.from('one\ntw'), Buffer.from('o')]).lines).toEqual(['one']);
  });

  it.each([
    ['a whole line of the limit', ['123456\n'], true],
    ['a whole line above it', ['1234567\n'], false],
    ['a line that never ends', ['123', '456', '7'], false],
  ])('counts %s', (_, chunks, isWithin) => {
    expect(
      linesOf(
        chunks.map((chunk) => Buffer.from(chunk)),
        6,
      ).isWithin,
    ).toBe(isWithin);
  });

  it('takes nothing more after a line that was too long', () => {
    expect(linesOf([Buffer.from('12345678'), Buffer.from('\nok\n')], 6)).toEqual({ lines: [], isWithin: false });
  });
});

describe('a ring', () => {
  it('holds the last bytes of what was written', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{0,20}$/)), (parts) => {
        const ring = createRing(16);
        for (const part of parts) ring.push(Buffer.from(part));
        expect(ring.text()).toBe(parts.join('').slice(-16));
      }),
    );
  });
});

describe('a line', () => {
  it.each([
    ['{"jsonrpc":"2.0","id":1,"result":{}}', 1],
    ['[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]', 2],
    ['  {"jsonrpc":"2.0","method":"a"}\r', 1],
    ['listening on port 3000', 0],
    ['{"level":"info","msg":"started"}', 0],
    ['{"jsonrpc":"1.0","id":1}', 0],
    ['{broken', 0],
    ['[1, null, "x"]', 0],
    ['', 0],
  ])('%s holds %i messages', (line, count) => {
    expect(messagesOf(line)).toHaveLength(count);
  });
});

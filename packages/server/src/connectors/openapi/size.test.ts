// The sizing rules of REST results: 25, 50, and the one array that dominates.
import { describe, expect, it } from 'vitest';
import { sizeResult } from './size.ts';

const entries = (count: number) => Array.from({ length: count }, (_, id) => ({ id, name: `entry ${id}` }));

describe('a REST result', () => {
  it.each([0, 1, 25])('with %i entries is left as it is', (count) => {
    const body = { ok: true, channels: entries(count) };
    expect(sizeResult(body)).toBe(body);
  });

  it.each([26, 50])('with %i entries shows the first 25', (count) => {
    const body = { ok: true, channels: entries(count), response_metadata: { next_cursor: 'dGVhbQ==' } };
    expect(sizeResult(body)).toEqual({
      data: entries(25),
      metadata: {
        originalCount: count,
        displayedCount: 25,
        truncated: true,
        paginationHint: `channels of the reply has ${count} entries, the first 25 are shown. For the rest: response_metadata.next_cursor = dGVhbQ==.`,
      },
    });
  });

  it('with more than 50 entries asks to refine and shows five samples', () => {
    const sized = sizeResult(entries(51)) as Record<string, unknown>;
    expect(Object.keys(sized)).toEqual([
      'needsRefinement',
      'message',
      'guidance',
      'suggestions',
      'searchInstructions',
      'samples',
    ]);
    expect(sized).toMatchObject({ needsRefinement: true, samples: entries(5) });
    expect(sized['searchInstructions']).toContain('id, name');
  });

  it('finds the array inside the reply', () => {
    expect(sizeResult({ data: { page: { items: entries(30) } } })).toMatchObject({ metadata: { originalCount: 30 } });
  });

  it('is left as it is when no array dominates it', () => {
    const body = { ids: Array.from({ length: 100 }, (_, id) => id), text: 'x'.repeat(2_000) };
    expect(sizeResult(body)).toBe(body);
  });

  it.each([null, 'text', 5, { a: 1 }])('that is no list is left as it is: %j', (body) => {
    expect(sizeResult(body)).toBe(body);
  });
});

// What cursors promise: they continue where the page ended, and nothing else passes for one.
import { describe, expect, it } from 'vitest';
import { closePage, openPage, rowsToRead } from './page.ts';
import { Refusal } from './refusal.ts';

const letters = [...'abcdefghij'];
const read = (cursor: string | undefined, limit: number) => {
  const page = openPage('letters', ['text'], { cursor, limit });
  const rest = letters
    .filter((l) => page.after === undefined || l > (page.after[0] as string))
    .slice(0, rowsToRead(page));
  return closePage(page, rest, letters.length, (l) => [l]);
};

describe('a list read page by page', () => {
  it('hands out every row exactly once and then ends', () => {
    const seen: string[] = [];
    const offsets: number[] = [];
    let cursor: string | undefined;
    do {
      const { rows, facts } = read(cursor, 3);
      seen.push(...rows);
      offsets.push(facts.offset);
      expect(facts.hasMore).toBe(facts.nextCursor !== null);
      cursor = facts.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(letters);
    expect(offsets).toEqual([0, 3, 6, 9]);
  });

  it('says that there is no next page when the last row fills the page', () => {
    expect(read(undefined, letters.length).facts).toMatchObject({ hasMore: false, nextCursor: null, total: 10 });
  });

  it('uses 100 rows and the beginning when nothing is asked for', () => {
    expect(openPage('letters', ['text'], {})).toEqual({
      list: 'letters',
      limit: 100,
      offset: 0,
      after: undefined,
      isCounted: true,
    });
  });
});

describe('a cursor', () => {
  const own = read(undefined, 3).facts.nextCursor ?? '';
  const made = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

  it.each([
    ['of another list', made(['numbers', 3, 'c'])],
    ['with too few key parts', made(['letters', 3])],
    ['with too many key parts', made(['letters', 3, 'c', 'd'])],
    ['with a negative offset', made(['letters', -1, 'c'])],
    ['with a fractional offset', made(['letters', 1.5, 'c'])],
    ['with a NUL', made(['letters', 3, '\u0000'])],
    ['with a lone surrogate', made(['letters', 3, '\ud800'])],
    ['with a number for text', made(['letters', 3, 4])],
    ['that is an object', made({ 0: 'letters', 1: 3, 2: 'c' })],
    ['that is no JSON', Buffer.from('letters').toString('base64url')],
    ['with foreign characters', `${own}=`],
    ['that is cut', own.slice(0, -5)],
  ])('%s is refused as INVALID_REQUEST', (_, cursor) => {
    expect(() => openPage('letters', ['text'], { cursor })).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    );
  });

  it('is refused beside an offset', () => {
    expect(() => openPage('letters', ['text'], { cursor: own, offset: 3 })).toThrow(Refusal);
  });

  it.each([
    ['sequence', '1e3'],
    ['sequence', '-1'],
    ['time', '999999999999999'],
    ['time', 'NaN'],
  ] as const)('refuses a %s part of %s, which the database could not compare', (part, text) => {
    expect(() => openPage('letters', [part], { cursor: made(['letters', 1, text]) })).toThrow(Refusal);
  });
});

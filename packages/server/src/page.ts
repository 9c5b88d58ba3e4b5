// Pages of a list: where one begins, how the next is named. Pure: no I/O, no clock.
// A cursor names the last row seen, so that rows added or deleted meanwhile neither repeat nor skip others. It is not sealed: it says
// nothing that the list did not say, every query filters by account anyway, and a made-up one is only a position.
import { isStorableText } from '@mcp-valet/shared';
import { Refusal } from './refusal.ts';

export interface PageQuery {
  limit?: number | undefined;
  offset?: number | undefined;
  cursor?: string | undefined;
}

/** Where a page begins: after a row (by its sort key) when a cursor was given, else at an offset. */
export interface Page {
  list: string;
  limit: number;
  /** Rows before this page, as far as the caller has counted. */
  offset: number;
  /** Sort key of the last row of the page before. */
  after: readonly string[] | undefined;
  /** False: nobody will read how many there are. */
  isCounted: boolean;
}

export interface PageFacts {
  total: number;
  limit: number;
  offset: number;
  hasMore: boolean;
  nextCursor: string | null;
}

const defaultLimit = 100;
/** Where lists that grow for ever stop counting: an exact count of millions would cost more than any page. */
export const maxTotal = 10_000;
const maxCursorLength = 512;

/** Each part of a sort key as text, and whether a text can be such a part: a cursor is a caller's input. */
export const keyParts = {
  text: (part: string) => part.length <= 256 && isStorableText(part),
  sequence: (part: string) => /^\d{1,15}$/.test(part),
  /** Milliseconds since 1970, up to the year 9999. */
  time: (part: string) => /^\d{1,15}$/.test(part) && Number(part) <= 253_402_300_799_999,
} as const;
export type KeyPart = keyof typeof keyParts;

/** Reads limit, offset and cursor of the list named `list`, whose rows are sorted by `key`. */
export function openPage(list: string, key: readonly KeyPart[], query: PageQuery, isCounted = true): Page {
  const limit = query.limit ?? defaultLimit;
  if (query.cursor === undefined) return { list, limit, offset: query.offset ?? 0, after: undefined, isCounted };
  if (query.offset !== undefined) throw invalid('offset', 'Must not stand beside cursor');
  const parts = decode(query.cursor);
  const [name, offset, ...after] = parts ?? [];
  const fits =
    name === list &&
    typeof offset === 'number' &&
    Number.isSafeInteger(offset) &&
    offset >= 0 &&
    after.length === key.length &&
    after.every((part, i) => typeof part === 'string' && keyParts[key[i] as KeyPart](part));
  if (!fits) throw invalid('cursor', 'Must be a nextCursor of this list');
  return { list, limit, offset, after: after as string[], isCounted };
}

/** How many rows to ask for: one more than the page holds tells whether there is another page. */
export const rowsToRead = (page: Page): number => page.limit + 1;

/** Cuts what was read for a page to its size and says where the next one begins. */
export function closePage<Row>(
  page: Page,
  read: readonly Row[],
  total: number,
  keyOf: (row: Row) => readonly string[],
): { rows: Row[]; facts: PageFacts } {
  const rows = read.slice(0, page.limit);
  const hasMore = read.length > rows.length;
  const last = rows.at(-1);
  const nextCursor =
    hasMore && last !== undefined ? encode([page.list, page.offset + rows.length, ...keyOf(last)]) : null;
  return { rows, facts: { total, limit: page.limit, offset: page.offset, hasMore, nextCursor } };
}

function encode(parts: readonly unknown[]): string {
  return Buffer.from(JSON.stringify(parts), 'utf8').toString('base64url');
}

function decode(cursor: string): readonly unknown[] | undefined {
  if (cursor.length > maxCursorLength || !/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    return Array.isArray(parts) ? parts : undefined;
  } catch (error) {
    // Not ours, hence not a cursor; anything else is a defect and must be seen.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function invalid(path: string, message: string): Refusal {
  return new Refusal('INVALID_REQUEST', `Invalid request: ${path}: ${message}`, {
    details: { issues: [{ path, message }] },
  });
}

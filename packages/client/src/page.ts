// Pages of a list: by cursor where the server gives one, else by offset. Cursors are data: sent back as they are, never followed.
import type { Call, Page } from './call.ts';
import { ValidationError } from './errors.ts';

/** Where the next page begins. */
export type Position = { cursor: string } | { offset: number };

class PageOf<T> implements Page<T> {
  readonly items: readonly T[];
  readonly hasMore: boolean;
  declare readonly total?: number;
  readonly #fetchNext: () => Call<Page<T>>;

  constructor(items: readonly T[], total: number | undefined, hasMore: boolean, fetchNext: () => Call<Page<T>>) {
    this.items = items;
    this.hasMore = hasMore;
    if (total !== undefined) this.total = total;
    this.#fetchNext = fetchNext;
  }

  next(): Call<Page<T>> {
    return this.#fetchNext();
  }

  async *pages(): AsyncGenerator<Page<T>> {
    yield this;
    if (!this.hasMore) return;
    let page = await this.next();
    yield page;
    while (page.hasMore) {
      page = await page.next();
      yield page;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for await (const page of this.pages()) yield* page.items;
  }

  async toArray(options: { limit: number }): Promise<T[]> {
    const { limit } = options;
    if (!(Number.isInteger(limit) && limit > 0)) {
      throw new ValidationError({ message: 'limit must be a positive integer', path: 'limit' });
    }
    const all: T[] = [];
    for await (const item of this) {
      all.push(item);
      if (all.length >= limit) break;
    }
    return all;
  }
}

export const makePage = <T>(
  items: readonly T[],
  total: number | undefined,
  hasMore: boolean,
  fetchNext: () => Call<Page<T>>,
): Page<T> => new PageOf(items, total, hasMore, fetchNext);

/**
 * Where the page after this reply begins, or `undefined` at the end. A cursor that repeats, or an empty page that claims
 * more, would be read for ever, so they end the list.
 */
export function nextPosition(
  reply: Readonly<Record<string, unknown>>,
  query: Readonly<Record<string, unknown>>,
  count: number,
): Position | undefined {
  const cursor = reply['nextCursor'];
  if (typeof cursor === 'string' && cursor !== '') return cursor === query['cursor'] ? undefined : { cursor };
  if (reply['hasMore'] !== true || count === 0) return undefined;
  const offset = reply['offset'] ?? query['offset'] ?? 0;
  return typeof offset === 'number' ? { offset: offset + count } : undefined;
}

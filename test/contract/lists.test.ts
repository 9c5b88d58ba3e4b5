// Every list that pages: by cursor and by offset, complete, without repetition while rows are added, and never another account's rows.
import { routes } from '@mcp-valet/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import type { Json } from '../support/gateway.ts';
import { codeOf, type Stage, sendWire, startStage } from './stage.ts';
import { lists, type Row } from './table.ts';

describe.each(testDatabases())('paging on $kind', ({ open }) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage(open);
  });
  afterAll(() => stage?.close());

  describe.each(lists)('$id', (row) => {
    const { route, sample } = row;
    // How old something is differs from page to page.
    const items = (body: Json): Json[] => body[route.items ?? ''].map(({ toolsAge: _, ...item }: Json) => item);
    const add = (): Promise<string> => (sample as Required<Row['sample']>).add(stage);
    const ids = (found: Json[]): string[] => found.map((item) => item[sample.idOf ?? '']);
    const isUsers = route.dialect === 'users';
    const nextOf = (body: Json): string | null => (isUsers ? body.next_cursor : body.nextCursor);
    const hasMore = (body: Json): boolean => (isUsers ? body.has_more : body.hasMore);
    const get = async (query: Record<string, unknown>, key = stage.home.admin) => {
      const { params } = await sample.valid(stage);
      return sendWire(stage, route, { ...(params && { params }), query }, { key });
    };
    const page = async (query: Record<string, unknown>): Promise<Json> => {
      const answer = await get(query);
      if (answer.status !== 200) throw new Error(answer.text);
      return answer.body;
    };
    let added: string[];
    beforeAll(async () => {
      added = [await add(), await add(), await add()];
    });

    it('shows 100 by default, and says how many there are', async () => {
      const body = await page({});
      expect(body).toMatchObject({ limit: 100, offset: 0 });
      expect(body.total).toBe(items(body).length);
      expect(hasMore(body)).toBe(false);
      expect(nextOf(body)).toBeNull();
      expect(ids(items(body))).toEqual(expect.arrayContaining(added));
    });

    it('walks by cursor over everything once', async () => {
      const whole = await page({ limit: 1000 });
      const walked: Json[] = [];
      let cursor: string | null = null;
      do {
        const body: Json = await page({ limit: 2, ...(cursor !== null && { cursor }) });
        expect(body.total).toBe(whole.total);
        expect(items(body).length).toBeLessThanOrEqual(2);
        walked.push(...items(body));
        cursor = nextOf(body);
        expect(hasMore(body)).toBe(cursor !== null);
      } while (cursor !== null && walked.length <= whole.total);
      expect(walked).toEqual(items(whole));
    });

    it('walks by offset over everything once', async () => {
      const whole = await page({ limit: 1000 });
      const walked: Json[] = [];
      for (let offset = 0; offset < whole.total; offset += 2) {
        const body = await page({ limit: 2, offset });
        expect(body.offset).toBe(offset);
        expect(hasMore(body)).toBe(offset + 2 < whole.total);
        walked.push(...items(body));
      }
      expect(walked).toEqual(items(whole));
      expect(items(await page({ offset: whole.total + 5 }))).toEqual([]);
    });

    it('neither repeats nor skips what was there when something is added on the way', async () => {
      const before = items(await page({ limit: 1000 }));
      const first = await page({ limit: 2 });
      await add();
      const rest = await page({ limit: 1000, cursor: nextOf(first) });
      const walked = [...items(first), ...items(rest)];
      const text = (item: Json) => JSON.stringify(item);
      expect(new Set(walked.map(text)).size).toBe(walked.length);
      expect(walked.map(text)).toEqual(expect.arrayContaining(before.map(text)));
    });

    it('refuses positions that are none', async () => {
      for (const limit of [0, -1, 1001, 1.5, 'all']) expect((await get({ limit })).status, `limit ${limit}`).toBe(400);
      for (const offset of [-1, 0.5, 'x']) expect((await get({ offset })).status, `offset ${offset}`).toBe(400);
      const { next_cursor, nextCursor = next_cursor } = await page({ limit: 1 });
      expect((await get({ cursor: nextCursor, offset: 1 })).status).toBe(400);
      for (const cursor of ['x', 'W10', Buffer.from('["other",1,"a"]').toString('base64url')]) {
        const answer = await get({ cursor });
        expect([answer.status, codeOf(answer)], cursor).toEqual([400, 'INVALID_REQUEST']);
      }
    });

    it('shows another account none of it', async () => {
      const isOperators = ['/api/accounts', '/api/audit/checkpoints'].includes(route.path);
      const answer = await get({ limit: 1000 }, isOperators ? stage.home.enterprise : stage.other.admin);
      // What is listed is inside of something that the other account does not have.
      const isInside = route.path.includes('{groupId}');
      expect(answer.status).toBe(isOperators ? 403 : isInside ? 404 : 200);
      const shown: string[] = answer.status === 200 ? ids(items(answer.body)) : [];
      expect(shown.filter((id) => added.includes(id))).toEqual([]);
    });
  });

  it('is part of every list that may grow without bound', () => {
    const unpaged = routes
      .filter(({ route, id }) => route.items !== undefined && !lists.some((row) => row.id === id))
      .map(({ id }) => id);
    // The named secrets of one user for one connector: at most 100.
    expect(unpaged).toEqual(['secrets.list']);
  });
});

// Arrays of text and integers as both engines give them: PostgreSQL's driver is told of these two types and asks for no others.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '../../packages/server/src/db/client.ts';
import { installationScope, scopedQuery } from '../../packages/server/src/db/scope.ts';
import { type TestDatabase, testDatabases } from '../support/database.ts';

describe.each(testDatabases())('arrays on $kind', ({ open }) => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await open();
    db = await openDatabase({ url: test.url });
  });
  afterAll(async () => {
    await db?.close();
    await test?.close();
  });

  it('come back as they were written, whatever they hold', async () => {
    const texts = ['a', '', 'b c', 'q"x', 'b\\y', 'c,d', '{e}', 'ü', 'NULL', 'line\nbreak'];
    const [row] = await scopedQuery<{ t: string[]; i: number[]; e: string[]; n: string[] | null }>(
      db,
      installationScope,
      "select $1::text[] as t, $2::integer[] as i, '{}'::text[] as e, null::text[] as n",
      [texts, [1, -2, 3]],
    );
    expect(row).toEqual({ t: texts, i: [1, -2, 3], e: [], n: null });
  });
});

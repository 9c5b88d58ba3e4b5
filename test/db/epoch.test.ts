// The segment of the journal that the database names: the same while it is the same database, another one for a copy.
import { cpSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '../../packages/server/src/db/client.ts';
import { readEpoch } from '../../packages/server/src/db/epoch.ts';
import { migrate } from '../../packages/server/src/db/migrate.ts';
import { openTestDatabase, type TestDatabase, testDatabases } from '../support/database.ts';

describe.each(testDatabases())('the epoch on $kind', ({ open }) => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await open();
    db = await openDatabase({ url: database.url });
  });
  afterAll(async () => {
    await db?.close();
    await database?.close();
  });

  it('is one, whoever asks and however many ask at once', async () => {
    const epochs = await Promise.all(Array.from({ length: 8 }, () => readEpoch(db)));
    expect(new Set(epochs).size).toBe(1);
    expect(epochs[0]).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('the epoch', () => {
  it('is the same for every replica on PostgreSQL, and another one in another database of the cluster', async () => {
    const [one, two] = [await openTestDatabase('postgres'), await openTestDatabase('postgres')];
    const replicas = await Promise.all([one, one, two].map(({ url }) => openDatabase({ url })));
    try {
      const [a, b, c] = await Promise.all(replicas.map(readEpoch));
      expect(b).toBe(a);
      expect(c).not.toBe(a);
      expect(replicas.map(({ isDurable }) => isDurable)).toEqual([true, true, true]);
    } finally {
      for (const replica of replicas) await replica.close();
      await one.close();
      await two.close();
    }
  });

  it('is another one at every start in memory, also when memory begins with a copy', async () => {
    const { url } = await openTestDatabase('pglite');
    const epochs: string[] = [];
    for (let start = 0; start < 2; start++) {
      const db = await openDatabase({ url });
      epochs.push(await readEpoch(db));
      expect(db.isDurable).toBe(false);
      await db.close();
    }
    expect(new Set(epochs).size).toBe(2);
  });

  it('stays over a restart on a directory and over its moving, and ends when the directory is put back from a copy', async () => {
    const root = mkdtempSync(join(tmpdir(), 'valet-epoch-'));
    const [dir, copy] = [join(root, 'data'), join(root, 'copy')];
    const epochOf = async (): Promise<string> => {
      const db = await openDatabase({ url: `pglite:${dir}` });
      try {
        await migrate(db);
        expect(db.isDurable).toBe(true);
        return await readEpoch(db);
      } finally {
        await db.close();
      }
    };
    try {
      const first = await epochOf();
      expect(await epochOf()).toBe(first);
      cpSync(dir, copy, { recursive: true });
      renameSync(dir, `${dir}-away`);
      renameSync(`${dir}-away`, dir);
      expect(await epochOf()).toBe(first);
      rmSync(dir, { recursive: true });
      renameSync(copy, dir);
      const restored = await epochOf();
      expect(restored).not.toBe(first);
      expect(await epochOf()).toBe(restored);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});

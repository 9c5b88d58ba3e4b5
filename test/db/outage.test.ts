// DUR-2 and DUR-3 of the database itself: a hung server ends every wait at its deadline, and one directory has one gateway.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '../../packages/server/src/db/client.ts';
import type { Db } from '../../packages/server/src/db/driver.ts';
import { DatabaseUnavailable } from '../../packages/server/src/db/errors.ts';
import { DirectoryLocked, lockDirectory } from '../../packages/server/src/db/lock.ts';
import { accountScope, installationScope, scopedQuery, withScope } from '../../packages/server/src/db/scope.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

describe('a PostgreSQL that stops answering', () => {
  let test: TestDatabase;
  let proxy: TcpProxy;
  let db: Database;
  beforeAll(async () => {
    test = await openTestDatabase('postgres');
    proxy = await TcpProxy.before(new URL(test.url));
    db = await openDatabase({ url: proxy.url });
    await scopedQuery(db, installationScope, 'select 1');
  });
  afterAll(async () => {
    await db?.close();
    await proxy?.close();
    await test?.close();
  });

  const timed = async (work: Promise<unknown>): Promise<{ ms: number; error: unknown }> => {
    const start = performance.now();
    const error = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { ms: performance.now() - start, error };
  };

  it('ends reads, transactions and queued work with DatabaseUnavailable within their deadline, then works again', async () => {
    proxy.fault = { kind: 'silent' };
    let late = 0;
    const write = () => withScope(db, accountScope('acc_x'), async () => void late++);
    // More than the pool holds: the last ones never get a connection.
    const waits = await Promise.all([
      ...Array.from({ length: 8 }, () => timed(scopedQuery(db, installationScope, 'select * from accounts'))),
      ...Array.from({ length: 8 }, () => timed(write())),
    ]);
    for (const { ms, error } of waits) {
      expect(error).toBeInstanceOf(DatabaseUnavailable);
      // Three seconds are the deadline, and what hangs would hang for ever.
      expect(ms).toBeLessThan(8_000);
    }
    const started = late;
    expect(await db.ping(300)).toBe(false);
    proxy.heal();
    const deadline = performance.now() + 10_000;
    while (!(await db.ping(500))) expect(performance.now()).toBeLessThan(deadline);
    await scopedQuery(db, installationScope, 'select 1');
    await new Promise((resolve) => setTimeout(resolve, 500));
    // Work that had given up is not done after all once the server is back.
    expect(late).toBe(started);
  });

  it('ends a transaction whose statement hangs, without running what follows', async () => {
    let reached = false;
    const { ms, error } = await timed(
      withScope(db, installationScope, async (tx) => {
        await tx.execute('select 1');
        proxy.fault = { kind: 'silent' };
        await tx.execute('select 2');
        reached = true;
      }),
    );
    proxy.heal();
    expect(error).toBeInstanceOf(DatabaseUnavailable);
    expect([reached, ms < 8_000]).toEqual([false, true]);
    const deadline = performance.now() + 10_000;
    while (!(await db.ping(500))) expect(performance.now()).toBeLessThan(deadline);
  });

  it.each([
    [
      'between two statements',
      async (tx: Db) => {
        await tx.execute('select 1');
        proxy.cut();
        await sleep(50);
      },
    ],
    [
      'in a statement',
      async (tx: Db) => {
        setTimeout(() => proxy.cut(), 50);
        await tx.execute('select pg_sleep(1)');
      },
    ],
  ])('ends a transaction whose connection goes %s, and not the process', async (_, work) => {
    const uncaught: unknown[] = [];
    const note = (error: unknown): void => void uncaught.push(error);
    process.on('uncaughtException', note);
    try {
      await expect(withScope(db, installationScope, work)).rejects.toThrow(DatabaseUnavailable);
      await sleep(100);
    } finally {
      process.off('uncaughtException', note);
    }
    expect(uncaught).toEqual([]);
    expect(await scopedQuery(db, installationScope, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('answers at once when nobody listens at the address', async () => {
    const nobody = await openDatabase({ url: 'postgres://u:p@127.0.0.1:1/none' });
    const { ms, error } = await timed(scopedQuery(nobody, installationScope, 'select 1'));
    await nobody.close();
    expect(error).toBeInstanceOf(DatabaseUnavailable);
    expect(ms).toBeLessThan(8_000);
  });
});

describe('the lock of an embedded database', () => {
  let folder: string;
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const newFolder = () => {
    folder = mkdtempSync(join(tmpdir(), 'valet-lock-'));
    return join(folder, 'data');
  };

  /** Another process that opens the lock, says so, and holds it until it is killed. */
  const holder = (dir: string) => {
    const script = `import { lockDirectory } from ${JSON.stringify(new URL('../../packages/server/src/db/lock.ts', import.meta.url).href)};
      await lockDirectory(${JSON.stringify(dir)}); console.log('held'); setInterval(() => {}, 1000);`;
    return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: new URL('../..', import.meta.url).pathname,
    });
  };

  it('is refused to a second process while the first lives, and free as soon as that one is killed', async () => {
    const dir = newFolder();
    const child = holder(dir);
    try {
      await once(child.stdout, 'data');
      await expect(lockDirectory(dir)).rejects.toThrow(DirectoryLocked);
      await expect(lockDirectory(dir)).rejects.toThrow(dir);
      child.kill('SIGKILL');
      await once(child, 'exit');
      const lock = await lockDirectory(dir);
      lock.release();
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('holds against this process too, through another spelling and a symbolic link, and not for its children', async () => {
    const dir = newFolder();
    const lock = await lockDirectory(dir);
    symlinkSync(dir, join(folder, 'alias'));
    await expect(lockDirectory(join(folder, 'alias'))).rejects.toThrow(DirectoryLocked);
    await expect(lockDirectory(join(dir, '..', 'data'))).rejects.toThrow(DirectoryLocked);
    const child = spawn('sleep', ['30'], { stdio: 'ignore' });
    try {
      lock.release();
      (await lockDirectory(dir)).release();
      expect(child.exitCode).toBeNull();
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('says what to install when the program is missing', async () => {
    const dir = newFolder();
    const path = process.env.PATH;
    process.env.PATH = folder;
    try {
      await expect(lockDirectory(dir)).rejects.toThrow(/util-linux/);
    } finally {
      process.env.PATH = path;
    }
    expect(spawnSync('flock', ['--version']).status).toBe(0);
  });

  it('keeps what was committed when the process is reopened', async () => {
    const dir = newFolder();
    const { migrate } = await import('../../packages/server/src/db/migrate.ts');
    const first = await openDatabase({ url: `pglite:${dir}` });
    await migrate(first);
    await expect(openDatabase({ url: `pglite:${dir}` })).rejects.toThrow(DirectoryLocked);
    await scopedQuery(first, accountScope('acc_x'), "insert into accounts (id, name) values ('acc_x', 'x')");
    await first.close();
    const second = await openDatabase({ url: `pglite:${dir}` });
    try {
      expect(await scopedQuery(second, installationScope, 'select * from accounts')).toHaveLength(1);
      expect((await migrate(second)).applied).toEqual([]);
      expect(existsSync(`${dir}.lock`)).toBe(true);
    } finally {
      await second.close();
    }
  }, 120_000);
});

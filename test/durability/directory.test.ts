// DUR-2: one gateway per data directory, decided by a lock of the kernel: a second one is refused with words that help, whoever asks, and the
// directory is free again the moment its holder is killed.
import { readFileSync, symlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../packages/server/src/db/client.ts';
import { ChildGateway, sharedEnvironment } from './support/child-gateway.ts';
import { type DirectoryDatabase, openDirectory } from './support/data-directory.ts';
import { sender } from './support/load.ts';

describe('a data directory', () => {
  let database: DirectoryDatabase;
  let env: Record<string, string>;
  let holder: ChildGateway;

  beforeAll(async () => {
    database = await openDirectory();
    env = sharedEnvironment(database.url);
    holder = await new ChildGateway(env).up();
  });
  afterAll(async () => {
    await holder?.kill();
    await database?.close();
  });

  it('refuses a second gateway, by any of its names, without disturbing the first', async () => {
    const link = `${database.dir}-link`;
    symlinkSync(database.dir, link);
    const send = sender(holder.url, env['VALET_API_KEY'] as string);
    expect((await send('POST', '/users', { username: 'before' }))?.status).toBe(201);
    for (const path of [database.dir, link]) {
      const second = new ChildGateway({ ...env, DATABASE_URL: `pglite:${path}` });
      const { code } = await second.exited;
      expect(code).toBe(1);
      expect(second.output).toContain('is in use by another gateway');
      expect(second.output).not.toMatch(/\bat .+:\d+:\d+/);
    }
    // The same process family, another door: a tool that opens the database in the tests' own process.
    await expect(openDatabase({ url: database.url })).rejects.toThrow('is in use by another gateway');
    expect((await send('GET', '/users/before'))?.status).toBe(200);
    expect((await send('POST', '/users', { username: 'after' }))?.status).toBe(201);
  }, 90_000);

  it('is free at once when its holder is killed, whatever the lock file says', async () => {
    await holder.kill();
    // No process id, no age: there is nothing in the file that could be believed.
    expect(readFileSync(`${database.dir}.lock`, 'utf8')).toBe('');
    holder = await new ChildGateway(env).up();
    const send = sender(holder.url, env['VALET_API_KEY'] as string);
    expect((await send('GET', '/users/after'))?.status).toBe(200);
  }, 60_000);

  it('refuses a start with another master key, and changes nothing', async () => {
    await holder.kill();
    const stranger = new ChildGateway({
      ...env,
      VALET_MASTER_KEY: Buffer.alloc(32, 'another key of 32 bytes, really!').toString('base64'),
    });
    const { code } = await stranger.exited;
    expect(code).toBe(1);
    expect(stranger.output).not.toContain('listens on');
    holder = await new ChildGateway(env).up();
    const send = sender(holder.url, env['VALET_API_KEY'] as string);
    expect((await send('GET', '/users/after'))?.status).toBe(200);
  }, 90_000);
});

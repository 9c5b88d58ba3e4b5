// The seals of a gateway that is killed in the middle of its work: the chain is whole, no row is missing from it, and the command says so from
// outside, with and without the copy. Also: what the command answers to a tampered trail and to somebody who cannot be answered.
import { execFile } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { internalsOf, openDatabase } from '../../packages/server/src/db/client.ts';
import { ChildGateway, gatewayCommand, sharedEnvironment } from './support/child-gateway.ts';
import { type DirectoryDatabase, openDirectory } from './support/data-directory.ts';

describe('a gateway that is killed while it seals', () => {
  let database: DirectoryDatabase;
  let env: Record<string, string>;
  let folder: string;
  let copy: string;
  beforeAll(async () => {
    database = await openDirectory();
    folder = mkdtempSync(join(tmpdir(), 'valet-copy-'));
    copy = join(folder, 'checkpoints.ndjson');
    env = { ...sharedEnvironment(database.url), VALET_AUDIT_CHECKPOINT_FILE: copy, LOG_LEVEL: 'info' };
  });
  afterAll(async () => {
    await database?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const command = (args: readonly string[], more: Record<string, string> = {}) =>
    new Promise<{ code: number; out: string; err: string }>((resolve) => {
      const { PATH = '', HOME = '' } = process.env;
      execFile(
        process.execPath,
        [...gatewayCommand(), ...args],
        { env: { PATH, HOME, ...env, ...more } },
        (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
      );
    });
  const checkpointsCopied = (): number => (existsSync(copy) ? readFileSync(copy, 'utf8').trim().split('\n').length : 0);
  const tamper = async (script: string): Promise<void> => {
    const db = await openDatabase({ url: database.url });
    await internalsOf(db).driver.asOwner((owner) =>
      owner.transaction(async (run) => void (await run(`set local session_replication_role = replica; ${script}`))),
    );
    await db.close();
  };

  it('leaves a whole chain each time, and the copy agrees', { timeout: 240_000 }, async () => {
    for (let kill = 0; kill < 3; kill++) {
      const gateway = await new ChildGateway(env).up();
      const post = (n: number) =>
        fetch(`${gateway.url}/users`, {
          method: 'POST',
          headers: { authorization: `Bearer ${env['VALET_API_KEY']}`, 'content-type': 'application/json' },
          body: JSON.stringify({ username: `u-${kill}-${n}` }),
        }).then((response) => response.status);
      let made = 0;
      const work = (async () => {
        for (let n = 0; ; n++) if ((await post(n)) === 201) made++;
      })().catch(() => undefined);
      // In the midst of its work, however slow the machine: once it has written users and sealed twice, at some point of its second.
      const before = checkpointsCopied();
      await expect.poll(() => [made > 0, checkpointsCopied() - before > 1], { timeout: 60_000 }).toEqual([true, true]);
      await new Promise((resolve) => setTimeout(resolve, kill * 350));
      await gateway.kill();
      await work;
      expect(made).toBeGreaterThan(0);
    }
    const found = await command(['audit', 'verify', '--against', copy, '--json']);
    expect(found).toMatchObject({ code: 0, err: '' });
    const verdict = JSON.parse(found.out);
    expect(verdict).toMatchObject({ ok: true, firstBad: null });
    // Sealed each second, not at the end only: the process never came to its end.
    expect(verdict.checkpoints).toBeGreaterThan(3);
    expect(checkpointsCopied()).toBeGreaterThan(3);
  });

  it('is told of by the command: whole, tampered with, or not to be checked', { timeout: 240_000 }, async () => {
    const whole = await command(['audit', 'verify']);
    expect(whole).toMatchObject({ code: 0, out: expect.stringContaining('The trail is whole') });
    await tamper(
      `update audit_events set target = 'somebody-else' where seq = (select min(seq) + 2 from audit_events)`,
    );
    const changed = await command(['audit', 'verify', '--json']);
    expect(changed.code).toBe(1);
    const { firstBad } = JSON.parse(changed.out);
    expect(firstBad).toMatchObject({
      table: 'audit_events',
      id: expect.stringMatching(/^aud_/),
      seq: expect.any(Number),
    });
    expect(await command(['audit', 'verify'])).toMatchObject({ code: 1, out: expect.stringContaining(firstBad.id) });
    // Nobody can be answered without the right key, the right words or a copy that is one.
    writeFileSync(join(folder, 'empty'), '');
    appendFileSync(
      join(folder, 'contrary'),
      '{"checkpointId":1,"signature":"aa"}\n{"checkpointId":1,"signature":"bb"}\n',
    );
    for (const [args, more] of [
      [['audit'], {}],
      [['audit', 'repair'], {}],
      [['audit', 'verify', '--fast'], {}],
      [['audit', 'verify', '--against', join(folder, 'nowhere')], {}],
      [['audit', 'verify', '--against', join(folder, 'empty')], {}],
      [['audit', 'verify', '--against', join(folder, 'contrary')], {}],
      [['audit', 'verify'], { VALET_MASTER_KEY: 'T2hubHlhbm90aGVya2V5dGhhdGRvZXNub3RmaXQhISE=' }],
      [['audit', 'verify'], { DATABASE_URL: `pglite:${join(folder, 'no-database')}` }],
      [['unknown'], {}],
    ] as const) {
      const { code, out, err } = await command(args, more);
      expect([code, out], args.join(' ')).toEqual([2, '']);
      expect(err.length).toBeGreaterThan(20);
    }
  });
});

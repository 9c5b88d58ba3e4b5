// OPS-5: what was backed up comes back on either engine, with every secret, and a database moves from the embedded engine to PostgreSQL. Old revocations
// hold, idempotency keys of before are not believed, the trail verifies across the restore, and a wrong master key is noticed before any write.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { groupsFor } from '../../packages/server/src/cli/commands.ts';
import { runCommand } from '../../packages/server/src/cli/program.ts';
import { type DatabaseKind, openEmptyPostgres, openTestDatabase, type TestDatabase } from '../support/database.ts';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';
import { openDirectory } from './support/data-directory.ts';

const masterKey = randomBytes(32).toString('base64');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'valet-backup-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The command line in this process, with a configuration of its own. */
async function command(url: string, args: readonly string[], env: Record<string, string> = {}) {
  let [out, err] = ['', ''];
  const code = await runCommand(args, await groupsFor(args), {
    say: (text) => {
      out += text;
    },
    complain: (text) => {
      err += text;
    },
    isInteractive: false,
    env: { DATABASE_URL: url, VALET_MASTER_KEY: masterKey, ...env },
  });
  return { code, out, err };
}

const open = (kind: DatabaseKind): Promise<TestDatabase> =>
  kind === 'pglite' ? openDirectory() : openTestDatabase(kind);
const rigOn = (database: TestDatabase): Promise<Rig> =>
  startRig({ database: { ...database, close: async () => undefined }, env: { VALET_MASTER_KEY: masterKey } });

const call = (rig: Rig, key: string, marker: string) =>
  rig.send('/mcp/tool/call', { key, body: { serverName: 'demo', methodName: 'echo', args: { marker } } });

async function sentBy(rig: Rig, fixtures: Fixtures, key: string): Promise<string | undefined> {
  const marker = randomBytes(8).toString('hex');
  const answer = await call(rig, key, marker);
  if (answer.status !== 200) return `${answer.status}`;
  return fixtures.upstream.recorded.findLast(({ body }) => body.includes(marker))?.headers.authorization;
}

const epochOf = async (rig: Rig, key: string): Promise<string | null> =>
  (await rig.send('/api/me', { key })).headers.get('valet-idempotency');

/** Everybody's secret arrives, dead keys are dead, a key of before is not believed, and the trail is whole with what came after. */
async function expectRestored(
  target: TestDatabase,
  fixtures: Fixtures,
  before: { epoch: string | null; rows: number },
): Promise<void> {
  const rig = await rigOn(target);
  try {
    const { home, other, dead } = fixtures;
    for (const person of [home.alice, home.bob, other.alice, other.bob])
      expect(await sentBy(rig, fixtures, person.key)).toBe(`Bearer ${person.canary}`);
    for (const key of [dead.revoked, dead.expired, dead.deleted])
      expect((await call(rig, key, 'dead')).status).toBe(401);
    expect(await epochOf(rig, home.admin)).not.toBe(before.epoch);
    await rig.manage('POST', '/users', { username: 'afterwards' }, home.admin);
    const { events } = await rig.manage('GET', '/api/audit?action=database.restore', undefined, home.admin);
    expect(events).toHaveLength(1);
  } finally {
    await rig.close();
  }
  const { code, out } = await command(target.url, ['audit', 'verify', '--json']);
  const verdict = JSON.parse(out);
  expect([code, verdict.firstBad]).toEqual([0, null]);
  // The last rows are not sealed yet where another suite's transaction on the same cluster holds the seal back.
  expect(verdict.rows + verdict.unsealed).toBeGreaterThan(before.rows);
}

async function emptyOf(kind: DatabaseKind): Promise<TestDatabase> {
  return kind === 'pglite' ? openDirectory() : openEmptyPostgres();
}

describe.each(['pglite', 'postgres'] as const)('a backup of %s', (kind) => {
  let source: TestDatabase;
  let target: TestDatabase;
  let fixtures: Fixtures;
  let file: string;
  const before = { epoch: null as string | null, rows: 0 };
  beforeAll(async () => {
    [source, target] = [await open(kind), await emptyOf(kind)];
    file = join(folder, `${kind}.backup`);
    const rig = await rigOn(source);
    fixtures = await addFixtures(rig);
    expect(await sentBy(rig, fixtures, fixtures.home.alice.key)).toContain(fixtures.home.alice.canary);
    before.epoch = await epochOf(rig, rig.admin);
    await rig.close();
    before.rows = JSON.parse((await command(source.url, ['audit', 'verify', '--json'])).out).rows;
  });
  afterAll(async () => {
    await fixtures?.close();
    await source?.close();
    await target?.close();
  });

  it('is a file for its owner only that holds neither the master key nor a secret, and is not written over', async () => {
    expect(await command(source.url, ['db', 'backup', file])).toMatchObject({ code: 0 });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const text = readFileSync(file, 'utf8');
    const key = Buffer.from(masterKey, 'base64');
    for (const secret of [
      masterKey,
      key.toString('hex'),
      key.toString('base64url'),
      fixtures.home.alice.canary,
      fixtures.home.alice.key,
    ])
      expect(text.includes(secret)).toBe(false);
    expect(await command(source.url, ['db', 'backup', file])).toMatchObject({
      code: 2,
      err: expect.stringContaining('exists'),
    });
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('is refused, and nothing written, with a wrong key, when damaged, cut off, or without a word about keys', async () => {
    const text = readFileSync(file, 'utf8');
    const [damaged, cut] = [join(folder, `${kind}.damaged`), join(folder, `${kind}.cut`)];
    writeFileSync(damaged, text.replace('"username":"alice"', '"username":"mallory"'));
    writeFileSync(cut, text.slice(0, text.lastIndexOf('{"end"')));
    const nowhere = kind === 'pglite' ? `pglite:${join(folder, 'nowhere')}` : target.url;
    const tries = [
      [[file, '--keep-keys'], { VALET_MASTER_KEY: randomBytes(32).toString('base64') }, /not the one of this database/],
      [[damaged, '--keep-keys'], {}, /damaged/],
      [[cut, '--keep-keys'], {}, /damaged|no backup/],
      [[file], {}, /--revocations/],
      [[join(folder, 'no-file'), '--keep-keys'], {}, /ENOENT/],
    ] as const;
    for (const [args, env, why] of tries) {
      const { code, err } = await command(nowhere, ['db', 'restore', ...args], env);
      expect([code, err]).toEqual([2, expect.stringMatching(why)]);
    }
    if (kind === 'pglite') expect(existsSync(join(folder, 'nowhere'))).toBe(false);
    else {
      const sql = postgres(target.url, { max: 1 });
      expect(
        await sql`select from pg_class where relnamespace = 'public'::regnamespace`.finally(() => sql.end()),
      ).toHaveLength(0);
    }
  });

  it('comes back whole, into an empty database only', { timeout: 120_000 }, async () => {
    expect(await command(target.url, ['db', 'restore', file, '--keep-keys'])).toMatchObject({ code: 0 });
    await expectRestored(target, fixtures, before);
    const again = await command(target.url, ['db', 'restore', file, '--keep-keys']);
    expect(again).toMatchObject({ code: 2, err: expect.stringContaining('not empty') });
  });
});

it('ends what was ended after the backup, by what was alive later or altogether', { timeout: 120_000 }, async () => {
  const source = await open('postgres');
  const targets = [await openEmptyPostgres(), await openEmptyPostgres()] as const;
  const rig = await rigOn(source);
  const fixtures = await addFixtures(rig);
  const { alice, bob } = fixtures.home;
  const disabled = fixtures.other.bob;
  const [file, alive, older, foreign] = ['early.backup', 'alive', 'older', 'foreign'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  try {
    expect(await command(source.url, ['db', 'revocations', older])).toMatchObject({ code: 0 });
    writeFileSync(foreign, JSON.stringify({ createdAt: '2999-01-01T00:00:00.000Z', keys: [], users: [] }));
    // A gateway on PostgreSQL goes on meanwhile.
    expect(await command(source.url, ['db', 'backup', file])).toMatchObject({ code: 0 });
    await rig.manage('POST', '/keys/revoke', { key_id: bob.keyId });
    await rig.manage('PATCH', `/users/${disabled.username}/enable`, { enabled: false }, fixtures.other.admin);
    expect(await command(source.url, ['db', 'revocations', alive])).toMatchObject({ code: 0 });
    // What cannot know of an end must not be taken for a list of the living.
    for (const [list, why] of [
      [older, /older than the backup/],
      [foreign, /was not made by/],
    ] as const)
      expect(await command(targets[0].url, ['db', 'restore', file, '--revocations', list])).toMatchObject({
        code: 2,
        err: expect.stringMatching(why),
      });
    for (const [target, choice, statuses] of [
      [targets[0], ['--revocations', alive], [200, 401, 403]],
      [targets[1], ['--revoke-keys'], [401, 401, 401]],
    ] as const) {
      expect(await command(target.url, ['db', 'restore', file, ...choice])).toMatchObject({ code: 0 });
      const restored = await rigOn(target);
      const answers: number[] = [];
      for (const { key } of [alice, bob, disabled]) answers.push((await call(restored, key, 'm')).status);
      expect(answers).toEqual(statuses);
      await restored.close();
    }
    // Into the very database that it came from, emptied: for PostgreSQL it is the same place, and yet another segment.
    const epoch = await epochOf(rig, fixtures.home.admin);
    await rig.close();
    const sql = postgres(source.url, { max: 1, onnotice: () => undefined });
    await sql.unsafe('drop schema public cascade; create schema public').finally(() => sql.end());
    expect(await command(source.url, ['db', 'restore', file, '--keep-keys'])).toMatchObject({ code: 0 });
    const back = await rigOn(source);
    expect(await epochOf(back, fixtures.home.admin)).toMatch(/epoch=/);
    expect(await epochOf(back, fixtures.home.admin)).not.toBe(epoch);
    await back.close();
  } finally {
    await rig.close();
    await fixtures.close();
    for (const database of [source, ...targets]) await database.close();
  }
});

it('moves from the embedded database to PostgreSQL', { timeout: 120_000 }, async () => {
  const [source, target] = [await openDirectory(), await openEmptyPostgres()];
  const rig = await rigOn(source);
  const fixtures = await addFixtures(rig);
  try {
    await call(rig, fixtures.home.alice.key, 'before');
    const before = { epoch: await epochOf(rig, rig.admin), rows: 10 };
    const inUse = await command(target.url, ['db', 'migrate', '--from', source.url]);
    expect(inUse).toMatchObject({ code: 2, err: expect.stringContaining('in use by another gateway') });
    await rig.close();
    expect(await command(target.url, ['db', 'migrate', '--from', source.url])).toMatchObject({ code: 0 });
    await expectRestored(target, fixtures, before);
    expect(await command(target.url, ['db', 'migrate'])).toMatchObject({
      code: 0,
      out: 'The database is of this version.',
    });
  } finally {
    await rig.close();
    await fixtures.close();
    await source.close();
    await target.close();
  }
});

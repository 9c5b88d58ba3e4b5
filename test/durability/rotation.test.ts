// CRY-3: the master key is rotated while calls and secrets are under way, and whoever rotates is killed again and again. Every secret opens to what
// was last acknowledged, calls go on, and at the end nothing lies under the old key. PROOF_LONG=1: 100 kills and more users.
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MCPClient } from '@mcp-valet/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../packages/server/src/db/client.ts';
import { installationScope, scopedQuery } from '../../packages/server/src/db/scope.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { demoConnector } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { ChildGateway, gatewayCommand, sharedEnvironment } from './support/child-gateway.ts';
import { openDirectory } from './support/data-directory.ts';
import { sender } from './support/load.ts';

const isLong = process.env.PROOF_LONG === '1';
const kills = isLong ? 100 : 20;
const people = isLong ? 600 : 60;
const newKey = () => randomBytes(32).toString('base64');
const value = () => `value-${randomBytes(12).toString('hex')}`;

let upstream: RecordingUpstream;
beforeAll(async () => {
  upstream = await startRecordingUpstream({ record: true });
});
const children: ChildGateway[] = [];
const started = (env: Readonly<Record<string, string>>): ChildGateway => {
  const child = new ChildGateway(env);
  children.push(child);
  return child;
};
afterAll(async () => {
  for (const child of children) await child.kill();
  await upstream?.close();
});

/** Each user's secret as it was acknowledged last, and those that were sent later without an answer. */
type Secrets = Map<string, string[]>;

async function addPeople(send: ReturnType<typeof sender>, count: number): Promise<Secrets> {
  const secrets: Secrets = new Map();
  await send('POST', '/api/connectors', demoConnector(upstream.url));
  const names = Array.from({ length: count }, (_, n) => `person${n}`);
  const worker = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      await send('POST', '/users', { username: name });
      await setSecret(send, secrets, name);
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
  return secrets;
}

async function setSecret(send: ReturnType<typeof sender>, secrets: Secrets, username: string): Promise<number> {
  const secretValue = value();
  const possible = [...(secrets.get(username) ?? []), secretValue];
  secrets.set(username, possible);
  const reply = await send('POST', '/secrets/set', { username, serverName: 'demo', secretName: 'TOKEN', secretValue });
  if (reply?.status === 200) secrets.set(username, [secretValue]);
  return reply?.status ?? 0;
}

/** What arrives at the upstream for each user is a secret that may be the newest. Answers those for whom it is not. */
async function wrongSecrets(client: MCPClient, secrets: Secrets): Promise<string[]> {
  const wrong: string[] = [];
  const names = [...secrets.keys()];
  const worker = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      try {
        // Answers are scrubbed of secrets; what the upstream received is not.
        const marker = randomBytes(8).toString('hex');
        await client.forUser(name).runAction('demo', 'echo', { marker });
        const sent =
          upstream.recorded.findLast(({ body }) => body.includes(marker))?.headers.authorization ?? 'nothing';
        if (!secrets.get(name)?.some((possible) => sent === `Bearer ${possible}`)) wrong.push(`${name}: ${sent}`);
      } catch (error) {
        wrong.push(`${name}: ${String(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
  return wrong;
}

const command = (args: readonly string[], env: Readonly<Record<string, string>>) =>
  new Promise<{ code: number; out: string; err: string }>((resolve) => {
    const { PATH = '', HOME = '' } = process.env;
    execFile(process.execPath, [...gatewayCommand(), ...args], { env: { PATH, HOME, ...env } }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });

/** Starts the command and kills it `ms` after its first sign of work, or lets it end before that. */
async function rotateAndKill(env: Readonly<Record<string, string>>, ms: number): Promise<void> {
  const { PATH = '', HOME = '' } = process.env;
  const args = [...gatewayCommand(), 'master-key', 'rotate', '--batch', '1', '--json'];
  const child = spawn(process.execPath, args, { env: { PATH, HOME, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  await Promise.race([exited, new Promise((resolve) => child.stderr.once('data', resolve))]);
  await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, ms))]);
  child.kill('SIGKILL');
  await exited;
}

const versionsOf = async (url: string) => {
  const db = await openDatabase({ url });
  try {
    const rows = await scopedQuery<{ version: number; state: string }>(
      db,
      installationScope,
      'select version, state from master_keys order by version',
    );
    return rows.map(({ version, state }) => `${version} ${state}`);
  } finally {
    await db.close();
  }
};

describe('rotation of the master key on postgres', () => {
  let database: TestDatabase;
  let env: Record<string, string>;
  beforeAll(async () => {
    database = await openTestDatabase('postgres');
    env = { ...sharedEnvironment(database.url), VALET_MASTER_KEY_NEXT: newKey(), LOG_LEVEL: 'silent' };
  });
  afterAll(() => database?.close());

  it('loses nothing, whenever the rotating process is killed and whatever is called meanwhile', {
    timeout: 300_000,
  }, async () => {
    const apiKey = env['VALET_API_KEY'] ?? '';
    const gateway = await started(env).up();
    const send = sender(gateway.url, apiKey);
    const secrets = await addPeople(send, people);
    const client = new MCPClient({ baseUrl: gateway.url, apiKey, logLevel: 'off' });

    let isOver = false;
    const statuses: Record<number, number> = {};
    const failed: string[] = [];
    let calls = 0;
    const setAll = async (): Promise<void> => {
      for (let n = 0; !isOver; n++) {
        // Old users and new ones: what is made meanwhile ends under the new key too.
        const name = n % 4 === 0 ? `late${n}` : `person${(n * 7) % people}`;
        if (n % 4 === 0) await send('POST', '/users', { username: name });
        const status = await setSecret(send, secrets, name);
        statuses[status] = (statuses[status] ?? 0) + 1;
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    };
    const callAll = async (): Promise<void> => {
      for (let n = 0; !isOver; n++) {
        await client
          .forUser(`person${(n * 11) % people}`)
          .runAction('demo', 'whoami', {})
          .then(
            () => calls++,
            (error: unknown) => failed.push(String(error)),
          );
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const load = Promise.all([setAll(), callAll()]);
    const seen = new Set<string>();
    for (let kill = 0; kill < kills; kill++) {
      await rotateAndKill(env, Math.random() * 60);
      for (const state of await versionsOf(database.url)) seen.add(state);
    }
    const between = await command(['master-key', 'status', '--json'], env);
    const last = await command(['master-key', 'rotate', '--batch', '20', '--json'], env);
    isOver = true;
    await load;
    // Counted when nothing is added any more: users came in until now.
    const ended = await command(['master-key', 'status', '--json'], env);
    expect([between.code, last.code, last.err]).toEqual([0, 0, expect.any(String)]);
    // The kills met it at work, and not before or after.
    expect([...seen]).toEqual(expect.arrayContaining(['1 old', '2 current']));
    const counts = (out: string) => JSON.parse(out).versions.map((v: { keys: number }) => v.keys);
    expect(counts(between.out)[1]).toBeGreaterThan(4);
    expect(JSON.parse(last.out).versions[0]).toMatchObject({ state: 'retired', keys: 0 });
    expect(JSON.parse(ended.out).versions).toEqual([
      { version: 1, state: 'retired', keys: 0, held: true },
      { version: 2, state: 'current', keys: secrets.size + 4, held: true },
    ]);
    expect([statuses, failed]).toEqual([{ 200: expect.any(Number) }, []]);
    expect(calls).toBeGreaterThan(20);
    expect(await wrongSecrets(client, secrets)).toEqual([]);
    await gateway.kill();

    // The old key opens nothing any more, the new one alone opens all of it.
    const { VALET_MASTER_KEY: oldKey = '', VALET_MASTER_KEY_NEXT: key = '', ...rest } = env;
    const withOld = await started({ ...rest, VALET_MASTER_KEY: oldKey }).exited;
    expect(withOld.code).toBe(1);
    const after = await started({ ...rest, VALET_MASTER_KEY: key }).up();
    const fresh = new MCPClient({ baseUrl: after.url, apiKey, logLevel: 'off' });
    expect(await wrongSecrets(fresh, secrets)).toEqual([]);
    const ask = sender(after.url, apiKey);
    for (const step of ['announced', 'switched', 'retired'])
      expect((await ask('GET', `/api/audit?action=master_key.${step}`))?.body.events).toHaveLength(1);
    after.signal('SIGTERM');
    await after.exited;
    expect(await command(['audit', 'verify'], { ...rest, VALET_MASTER_KEY: key })).toMatchObject({ code: 0 });
  });

  it('does not let a key take over that a running gateway does not hold', { timeout: 120_000 }, async () => {
    const other = await openTestDatabase('postgres');
    const only: Record<string, string> = { ...sharedEnvironment(other.url), LOG_LEVEL: 'silent' };
    const both = { ...only, VALET_MASTER_KEY_NEXT: newKey() };
    const gateway = await started(only).up();
    try {
      const refused = await command(['master-key', 'rotate', '--wait', '0', '--json'], both);
      expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('do not hold the next key')]);
      expect(await versionsOf(other.url)).toEqual(['1 current', '2 next']);
      gateway.signal('SIGTERM');
      await gateway.exited;
      expect(await command(['master-key', 'rotate', '--wait', '0'], both)).toMatchObject({ code: 0 });
      expect(await versionsOf(other.url)).toEqual(['1 retired', '2 current']);
      // A key that was retired does not come back, even where the two were mixed up.
      const swapped = {
        ...only,
        VALET_MASTER_KEY: both.VALET_MASTER_KEY_NEXT,
        VALET_MASTER_KEY_NEXT: only['VALET_MASTER_KEY'] ?? '',
      };
      expect(await command(['master-key', 'rotate', '--wait', '0'], swapped)).toMatchObject({ code: 0 });
      expect(await versionsOf(other.url)).toEqual(['1 retired', '2 current']);
    } finally {
      await gateway.kill();
      await other.close();
    }
  });
});

describe('rotation of the master key on an embedded database', () => {
  it('is done by the gateway itself, and goes on where it was killed', { timeout: 180_000 }, async () => {
    const database = await openDirectory();
    const folder = mkdtempSync(join(tmpdir(), 'valet-rotation-'));
    const key = newKey();
    writeFileSync(join(folder, 'next.key'), key, { mode: 0o600 });
    try {
      const first: Record<string, string> = { ...sharedEnvironment(database.url), LOG_LEVEL: 'silent' };
      const apiKey = first['VALET_API_KEY'] ?? '';
      const before = await started(first).up();
      const secrets = await addPeople(sender(before.url, apiKey), 24);
      await before.kill();
      const both = { ...first, VALET_MASTER_KEY_NEXT_FILE: join(folder, 'next.key') };
      // At its first second: in the middle, or not yet begun.
      for (const ms of isLong ? [0, 20, 40, 80] : [20]) {
        const gateway = await started(both).up();
        await new Promise((resolve) => setTimeout(resolve, ms));
        await gateway.kill();
      }
      const gateway = await started(both).up();
      const client = new MCPClient({ baseUrl: gateway.url, apiKey, logLevel: 'off' });
      expect(await wrongSecrets(client, secrets)).toEqual([]);
      await expect
        .poll(
          async () =>
            (await sender(gateway.url, apiKey)('GET', '/api/audit?action=master_key.retired'))?.body.events.length,
          { timeout: 90_000 },
        )
        .toBe(1);
      gateway.signal('SIGTERM');
      await gateway.exited;
      expect(await versionsOf(database.url)).toEqual(['1 retired', '2 current']);
      const after = await started({ ...first, VALET_MASTER_KEY: key }).up();
      expect(await wrongSecrets(new MCPClient({ baseUrl: after.url, apiKey, logLevel: 'off' }), secrets)).toEqual([]);
      await after.kill();
    } finally {
      await database.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

// CRY-2: whoever can write the database moves sealed values, data keys, names and versions around. Nothing that was moved opens: not in the
// vault, over thousands of combinations of real rows, and not in a call, which ends in an error and sends nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SealedSecret, SecretPlace } from '../../packages/server/src/credentials/vault.ts';
import { SealError } from '../../packages/server/src/crypto/envelope.ts';
import { type TestDatabase, testDatabases } from '../support/database.ts';
import { type Reader, withReader } from './support/dump.ts';
import { inParallel } from './support/wire.ts';
import { buildWorld, type World, type WorldAccount } from './support/world.ts';

interface Row {
  place: SecretPlace;
  secret: SealedSecret;
}

const rowsSql = `select s.account_id, s.user_id, c.connector_id, s.credential_id, s.name, s.version, encode(s.sealed, 'base64') as sealed, k.id as key_id,
  encode(k.wrapped, 'base64') as wrapped, k.kek_version
  from secrets s join credentials c on c.account_id = s.account_id and c.id = s.credential_id
  join data_keys k on k.account_id = s.account_id and k.user_id = s.user_id and k.id = encode(substring(s.sealed from 2 for 16), 'hex')
  order by s.account_id, s.user_id, s.credential_id, s.name`;

async function readRows(read: Reader): Promise<Row[]> {
  return (await read(rowsSql)).map((row) => ({
    place: {
      account: String(row['account_id']),
      user: String(row['user_id']),
      connector: String(row['connector_id']),
      credential: String(row['credential_id']),
    },
    secret: {
      name: String(row['name']),
      version: Number(row['version']),
      sealed: Buffer.from(String(row['sealed']), 'base64'),
      dataKeyId: String(row['key_id']),
      wrappedDataKey: Buffer.from(String(row['wrapped']), 'base64'),
      kekVersion: Number(row['kek_version']),
    },
  }));
}

describe.each(testDatabases())('sealed rows on $kind', ({ open }) => {
  let database: TestDatabase;
  let world: World;

  beforeAll(async () => {
    database = await open();
    world = await buildWorld(database);
    // A second name and a second version, so that these can be mixed up too.
    for (const account of [world.a, world.b]) {
      for (const username of ['alice', 'bob']) {
        for (const secretName of ['TOKEN2', 'TOKEN2', 'TOKEN3'])
          await manage(account, 'POST', '/secrets/set', {
            username,
            serverName: 'demo',
            secretName,
            secretValue: world.canaries.make('more'),
          });
      }
    }
  });
  afterAll(() => world?.close());

  const manage = (account: WorldAccount, method: string, path: string, body?: unknown) =>
    world.rig.manage(method, path, body, account.admin);
  const reading = <T>(work: (read: Reader) => Promise<T>) =>
    withReader(database, world.rig.gateway.gateway.parts.db, work);

  it('open at the place for which they were sealed, and nowhere else', async () => {
    const { vault } = world.rig.gateway.gateway.parts;
    const rows = await reading(readRows);
    expect(rows.length).toBeGreaterThan(20);
    for (const { place, secret } of rows)
      expect((await vault.open(place, [secret])).get(secret.name)).toContain(world.canaries.stem);

    const opened: string[] = [];
    const kinds = new Set<string>();
    let tried = 0;
    const mustNotOpen = async (what: string, place: SecretPlace, secret: SealedSecret): Promise<void> => {
      tried++;
      try {
        await vault.open(place, [secret]);
        opened.push(`${what}: ${JSON.stringify(place)} ${secret.name} ${secret.version}`);
      } catch (error) {
        kinds.add(error instanceof SealError ? 'sealed' : String(error));
      }
    };
    const flip = (bytes: Uint8Array, at: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy.writeUInt8(copy.readUInt8(at) ^ (1 << (at % 8)), at);
      return copy;
    };
    for (const [i, { place, secret }] of rows.entries()) {
      for (const [j, other] of rows.entries()) {
        if (i === j) continue;
        // The whole foreign value here; the foreign value with this row's key, and the other way round; this value under the other's names.
        await mustNotOpen('value and key', place, { ...other.secret, name: secret.name, version: secret.version });
        if (other.secret.dataKeyId !== secret.dataKeyId) {
          await mustNotOpen('value', place, { ...secret, sealed: other.secret.sealed });
          // An unwrapped key that is still kept would make the moved one irrelevant.
          vault.forgetAll();
          await mustNotOpen('key', place, { ...secret, wrappedDataKey: other.secret.wrappedDataKey });
          await mustNotOpen('key and its id', place, {
            ...secret,
            wrappedDataKey: other.secret.wrappedDataKey,
            dataKeyId: other.secret.dataKeyId,
          });
        }
        if (other.place.credential !== place.credential)
          await mustNotOpen('credential', { ...place, credential: other.place.credential }, secret);
      }
      for (const wrong of [
        { ...place, account: 'acc_x' },
        { ...place, user: 'usr_x' },
        { ...place, connector: place.connector === 'demo' ? 'notes' : 'demo' },
        { ...place, user: '' },
      ])
        await mustNotOpen('place', wrong, secret);
      for (const wrong of [
        { ...secret, name: 'OTHER' },
        { ...secret, version: secret.version + 1 },
        { ...secret, version: secret.version - 1 },
        { ...secret, kekVersion: secret.kekVersion + 1 },
      ])
        await mustNotOpen('name or version', place, wrong);
      for (let at = 0; at < secret.sealed.length; at++)
        await mustNotOpen(`bit of byte ${at}`, place, { ...secret, sealed: flip(secret.sealed, at) });
      for (const length of [0, 1, 16, 29, secret.sealed.length - 12, secret.sealed.length - 1])
        await mustNotOpen(`cut at ${length}`, place, { ...secret, sealed: secret.sealed.subarray(0, length) });
    }
    expect(opened.slice(0, 10)).toEqual([]);
    expect(tried).toBeGreaterThan(5_000);
    // Refused for what it is, not by accident.
    expect([...kinds].filter((kind) => kind !== 'sealed' && !kind.includes('MasterKeyError'))).toEqual([]);
  }, 60_000);

  it('end a call without sending anything, when SQL has moved them', async () => {
    const { a, b, upstreams } = world;
    const id = (text: string) => `'${text}'`;
    const [alice, bob, other] = [a.users.alice, a.users.bob, b.users.alice];
    const secretOf = (credential: string, name = 'TOKEN') =>
      `(select sealed from secrets where credential_id = ${id(credential)} and name = '${name}')`;
    const setSealed = (value: string) =>
      `update secrets set sealed = ${value} where credential_id = ${id(alice.credentials.demo)} and name = 'TOKEN'`;
    const renamed = (credential: string, from: string, to: string) =>
      `update secrets set name = '${to}' where credential_id = ${id(credential)} and name = '${from}'`;
    const keyOf = (user: string) => `(select wrapped from data_keys where user_id = ${id(user)} and is_current)`;
    const attacks: Record<string, string> = {
      'the value of another user': setSealed(secretOf(bob.credentials.demo)),
      'the value of another connector': setSealed(secretOf(alice.credentials.notes)),
      'the value of another name': setSealed(secretOf(alice.credentials.demo, 'TOKEN2')),
      'the value of the same user in another account': setSealed(secretOf(other.credentials.demo)),
      'another version': `update secrets set version = version + 1 where credential_id = ${id(alice.credentials.demo)} and name = 'TOKEN'`,
      'another name': ['TOKEN>TMP', 'TOKEN2>TOKEN', 'TMP>TOKEN2']
        .map((move) => renamed(alice.credentials.demo, ...(move.split('>') as [string, string])))
        .join(';'),
      'another data key under the same id': `update data_keys set wrapped = ${keyOf(bob.id)} where user_id = ${id(alice.id)}`,
      // One that is in use, or the foreign key would refuse it.
      'another version of the master key': `insert into master_keys (version, key_id, state, key_check, live) values (2, 'other', 'next', 'x', 2)
        on conflict do nothing; update data_keys set kek_version = kek_version + 1 where user_id = ${id(alice.id)}`,
      'a changed bit': setSealed(`set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1)`),
      'an empty value': setSealed(`''::bytea`),
      'a plain value': setSealed(`'${alice.credentials.demo}'::bytea`),
    };
    const before = await reading(readRows);
    const wrong: string[] = [];
    let calls = 0;
    for (const [what, sql] of Object.entries(attacks)) {
      await reading(async (read) => {
        for (const statement of sql.split(';')) await read(statement);
      });
      await forgetAll();
      upstreams.demo.reset();
      const marker = `attack${++calls}`;
      const answer = await world.wire.send({
        method: 'POST',
        path: '/mcp/tool/call',
        headers: ['authorization', `Bearer ${alice.key}`, 'content-type', 'application/json'],
        body: JSON.stringify({ serverName: 'demo', methodName: 'whoami', args: { marker } }),
      });
      if (answer.status < 400) wrong.push(`${what}: ${answer.status} ${answer.text.slice(0, 200)}`);
      if (
        upstreams.demo.recorded.some(
          ({ body, headers }) => body.includes(marker) || headers.authorization !== undefined,
        )
      )
        wrong.push(`${what}: something was sent`);
      if (world.canaries.find(answer.text) !== undefined) wrong.push(`${what}: ${answer.text}`);
      await restore(before);
    }
    expect(wrong).toEqual([]);
    await forgetAll();
    const well = await world.wire.send({
      method: 'POST',
      path: '/mcp/tool/call',
      headers: ['authorization', `Bearer ${alice.key}`, 'content-type', 'application/json'],
      body: JSON.stringify({ serverName: 'demo', methodName: 'whoami', args: { marker: 'well' } }),
    });
    expect(well.status).toBe(200);
    expect(world.log.leaks).toEqual([]);
  }, 60_000);

  it('of two users swapped for each other serve neither', async () => {
    const { alice, bob } = world.a.users;
    await reading(async (read) => {
      const pair = `('${alice.credentials.demo}', '${bob.credentials.demo}')`;
      // Value, version and data key go over together: all that is left to tell is whose it was.
      await read(`update secrets s set sealed = o.sealed, version = o.version from secrets o where s.name = 'TOKEN' and o.name = 'TOKEN'
        and s.credential_id in ${pair} and o.credential_id in ${pair} and s.credential_id <> o.credential_id`);
      await read(
        `update data_keys set user_id = case user_id when '${alice.id}' then '${bob.id}' else '${alice.id}' end, is_current = false where user_id in ('${alice.id}', '${bob.id}')`,
      );
    });
    await forgetAll();
    world.upstreams.demo.reset();
    await inParallel([alice, bob], 2, async ({ key }) => {
      const answer = await world.wire.send({
        method: 'POST',
        path: '/mcp/tool/call',
        headers: ['authorization', `Bearer ${key}`, 'content-type', 'application/json'],
        body: JSON.stringify({ serverName: 'demo', methodName: 'whoami', args: {} }),
      });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(world.canaries.find(answer.text)).toBeUndefined();
    });
    expect(world.upstreams.demo.recorded.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  }, 30_000);

  /** What SQL did behind the gateway's back is seen when the caches are empty. */
  async function forgetAll(): Promise<void> {
    const { parts } = world.rig.gateway.gateway;
    parts.vault.forgetAll();
    for (const { credentials } of [world.a.users.alice, world.a.users.bob])
      await manage(world.a, 'PATCH', `/api/credentials/${credentials.notes}`, { label: 'seen' });
  }

  async function restore(rows: readonly Row[]): Promise<void> {
    const hex = (bytes: Uint8Array) => `'\\x${Buffer.from(bytes).toString('hex')}'::bytea`;
    const ours = rows.filter(({ place }) => place.user === world.a.users.alice.id);
    await reading(async (read) => {
      await read(`delete from secrets where user_id = '${world.a.users.alice.id}'`);
      for (const { place, secret } of ours) {
        await read(`insert into secrets (account_id, user_id, credential_id, name, version, sealed, fingerprint)
          values ('${place.account}', '${place.user}', '${place.credential}', '${secret.name}', ${secret.version}, ${hex(secret.sealed)}, '00000000')`);
        await read(
          `update data_keys set wrapped = ${hex(secret.wrappedDataKey)}, kek_version = ${secret.kekVersion} where id = '${secret.dataKeyId}'`,
        );
      }
    });
  }
});

// What the trail promises: events stand and fall with their change, refusals never throw, floods are counted exactly.
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../../../../test/support/database.ts';
import { type Database, openDatabase } from '../db/client.ts';
import { accountScope, withScope } from '../db/scope.ts';
import { openPage } from '../page.ts';
import { type AuditEntry, createTrail, recordEvent, sourceOf, systemAccount, type Trail } from './record.ts';
import { type AuditRow, listEvents } from './store.ts';

const entry: AuditEntry = {
  accountId: 'acc_1',
  actor: { keyId: 'key_1', kind: 'ent', userId: null },
  action: 'secret.set',
  outcome: 'refused',
  address: '203.0.113.9',
};

describe('the trail', () => {
  let db: Database;
  let trail: Trail;
  let now = 0;
  let lines: string[] = [];
  const log = pino(
    {},
    new Writable({
      write(line, _encoding, done) {
        lines.push(String(line));
        done();
      },
    }),
  );
  const read = async (accountId: string): Promise<AuditRow[]> =>
    (
      await withScope(db, accountScope(accountId), (tx) =>
        listEvents(tx, accountId, {}, { ...openPage('audit', ['sequence'], {}), limit: 1000 }),
      )
    ).rows;

  beforeEach(async () => {
    db = await openDatabase({ url: (await openTestDatabase('pglite')).url });
    lines = [];
    trail = createTrail({ db, log, now: () => now });
  });
  afterEach(async () => {
    await trail.close();
    await db.close();
  });

  it('holds no event of a change that was rolled back', async () => {
    const failing = withScope(db, accountScope('acc_1'), async (tx) => {
      await recordEvent(tx, { ...entry, outcome: 'ok' });
      throw new Error('the change failed');
    });
    await expect(failing).rejects.toThrow('the change failed');
    expect(await read('acc_1')).toEqual([]);
  });

  it('writes each of 60 refusals a minute from one source and counts the others exactly', async () => {
    for (let i = 0; i < 100; i++) await trail.refused({ ...entry, requestId: `r${i}` });
    expect(await read('acc_1')).toHaveLength(60);
    await trail.close();
    const [last] = await read('acc_1');
    expect(last).toMatchObject({ action: 'secret.set', requestId: null, details: { collapsed: 40 } });
    expect(await read('acc_1')).toHaveLength(61);
  });

  it('writes again when a minute is over', async () => {
    for (let i = 0; i < 60; i++) await trail.refused(entry);
    now += 60_000;
    await trail.refused({ ...entry, requestId: 'later' });
    expect((await read('acc_1'))[0]).toMatchObject({ requestId: 'later' });
  });

  it('counts per key: one that is refused all the time hides no other', async () => {
    for (let i = 0; i < 70; i++) await trail.refused(entry);
    await trail.refused({ ...entry, actor: { keyId: 'key_2', kind: 'std', userId: 'usr_2' } });
    expect((await read('acc_1'))[0]).toMatchObject({ actorKeyId: 'key_2', actorUserId: 'usr_2' });
  });

  it('keeps failed sign-ins under _system, with address and reason', async () => {
    await trail.signInFailed({ address: '203.0.113.9', requestId: 'r', reason: 'unknown_token' });
    expect(await read(systemAccount)).toEqual([
      expect.objectContaining({
        action: 'auth.sign_in',
        outcome: 'refused',
        reason: 'unknown_token',
        address: '203.0.113.9',
        actorKeyId: null,
      }),
    ]);
  });

  it('escapes what a caller sent, so that an attempted user cannot forge a line', async () => {
    await trail.refused({ ...entry, attemptedUser: `eve\n${'x'.repeat(300)}` });
    const [event] = await read('acc_1');
    expect(event?.attemptedUser).toMatch(/^eve\\u000ax+…$/);
    expect(event?.attemptedUser).toHaveLength(128);
  });

  it('never throws: a lost event is logged by name, without what it said', async () => {
    const broken = createTrail({ db: { ...db }, log, now: () => now });
    await broken.refused({ ...entry, target: 'a-target' });
    await broken.close();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('an audit event was lost');
    expect(lines[0]).not.toContain('a-target');
  });
});

describe('sourceOf', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['not an address', '-'],
    [undefined, '-'],
  ])('of %s is %s', (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});

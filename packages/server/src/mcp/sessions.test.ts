// When sessions end by themselves, and who may hold how many. Time is the test's; what a session is inside does not matter here.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LiveUse, type Owner } from '../live-use.ts';
import { type LiveSession, Sessions } from './sessions.ts';

const minute = 60_000;
const owner = (fields: Partial<Owner> = {}): Owner => ({
  accountId: 'acc',
  userId: 'usr_ada',
  keyId: 'key_1',
  kind: 'std',
  keyUserId: null,
  mintedBy: null,
  serverId: 'srv',
  issuerId: null,
  tokenId: null,
  expiresAt: null,
  since: 0,
  ...fields,
});

let now = 0;
let open: Sessions | undefined;
let tell: (topic: string) => void = () => undefined;
let live: LiveUse | undefined;
/** Ids of keys, users, servers and accounts that may stay no longer; `null`: the database does not answer. */
let gone: Set<string | null> | null = new Set();

function sessions(): Sessions {
  now = 0;
  gone = new Set();
  live = new LiveUse(
    {
      onChange: (listener) => {
        tell = listener;
      },
      findEnded: async (all) => {
        if (gone === null) throw new Error('the database is away');
        const ended = gone;
        return all.flatMap(({ accountId, userId, keyId, serverId }, at) =>
          [accountId, userId, keyId, serverId].some((id) => id !== null && ended.has(id)) ? [at] : [],
        );
      },
    },
    () => undefined,
  );
  open = new Sessions(
    live,
    () => now,
    (error) => {
      throw error;
    },
  );
  return open;
}
afterEach(async () => {
  vi.useRealTimers();
  await open?.close();
  live?.close();
});

let count = 0;
function session(fields: Partial<LiveSession> = {}): LiveSession & { ended: number; changes: number } {
  const made = {
    id: `session-${++count}`,
    owner: owner(),
    openedAt: now,
    usedAt: now,
    wasUsed: true,
    ended: 0,
    changes: 0,
    isBusy: () => false,
    end: async () => {
      made.ended++;
    },
    changed: () => {
      made.changes++;
    },
    ...fields,
  };
  return made;
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('a session ends by itself', () => {
  it.each([
    ['a minute after it was opened and never used', { wasUsed: false }, minute],
    ['half an hour after its last use', {}, 30 * minute],
  ])('%s', async (_, fields, lifeMs) => {
    const held = sessions();
    const one = session(fields);
    await held.add(one);
    now = lifeMs;
    expect(held.find(one.id)).toBe(one);
    now = lifeMs + 1;
    expect(held.find(one.id)).toBeUndefined();
    expect(one.ended).toBe(1);
  });

  it('a day after it was opened, even while it is busy', async () => {
    const held = sessions();
    const one = session({ isBusy: () => true });
    await held.add(one);
    now = 24 * 60 * minute;
    expect(held.find(one.id)).toBe(one);
    now += 1;
    expect(held.find(one.id)).toBeUndefined();
  });
});

describe('the number of sessions', () => {
  it('is limited per user by ending that user\u2019s longest unused one, never another user\u2019s', async () => {
    const held = sessions();
    const other = session({ owner: owner({ userId: 'usr_bob' }) });
    await held.add(other);
    const own = Array.from({ length: 21 }, (_, at) => session({ usedAt: at + 1 }));
    for (const one of own) await held.add(one);
    expect(own.map(({ ended }) => ended)).toEqual([1, ...Array.from({ length: 20 }, () => 0)]);
    expect(other.ended).toBe(0);
  });

  it('is limited for all by refusing the next, with a time to come back', async () => {
    const held = sessions();
    for (let i = 0; i < 5_000; i++) await held.add(session({ owner: owner({ userId: `usr_${i}` }) }));
    await expect(held.add(session())).rejects.toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: 5_000 });
  });
});

describe('a change', () => {
  it.each([
    ['key:key_1', 'key_1', 1],
    ['key:key_2', 'key_2', 0],
    ['account:acc', 'acc', 1],
    ['account:other', 'other', 0],
    ['user:usr_ada', 'usr_ada', 1],
    ['server:srv', 'srv', 1],
    ['*', '', 1],
  ])('%s that takes something away ends the sessions that need it: %i', async (topic, id, ended) => {
    const held = sessions();
    const one = session();
    await held.add(one);
    gone?.add(id);
    tell(topic);
    await settled();
    expect([one.ended, held.size.sessions]).toEqual([ended, 1 - ended]);
  });

  it('is told to those it concerns while they may stay', async () => {
    const held = sessions();
    const [ada, bob] = [session(), session({ owner: owner({ userId: 'usr_bob', keyId: 'key_2', serverId: null }) })];
    await held.add(ada);
    await held.add(bob);
    for (const topic of ['user:usr_ada', 'server:srv', 'key:key_1', 'connectors:acc', 'groups:acc', 'limits:acc'])
      tell(topic);
    await settled();
    expect([ada.changes, bob.changes, ada.ended, bob.ended]).toEqual([5, 2, 0, 0]);
  });

  it('of the user of a key, or of the key that minted a token, concerns whoever acts by them', async () => {
    const held = sessions();
    const acting = session({ owner: owner({ userId: 'usr_bob', keyUserId: 'usr_ada' }) });
    const minted = session({ owner: owner({ userId: 'usr_bob', keyId: 'key_token', mintedBy: 'key_1' }) });
    await held.add(acting);
    await held.add(minted);
    tell('user:usr_ada');
    tell('key:key_1');
    await settled();
    expect([acting.changes, minted.changes]).toEqual([2, 1]);
  });

  it('ends whoever it concerns when nobody can be asked who may stay', async () => {
    const held = sessions();
    const one = session();
    await held.add(one);
    gone = null;
    tell('key:key_1');
    await settled();
    expect(one.ended).toBe(1);
  });
});

describe('without any notification', () => {
  it('a session ends at the next look after its key did', async () => {
    vi.useFakeTimers();
    const held = sessions();
    const [one, other] = [session(), session({ owner: owner({ keyId: 'key_2' }) })];
    await held.add(one);
    await held.add(other);
    gone?.add('key_1');
    await vi.advanceTimersByTimeAsync(2_000);
    expect([one.ended, other.ended]).toEqual([1, 0]);
  });

  it('a session ends when its credential expires', async () => {
    vi.useFakeTimers();
    const held = sessions();
    const one = session({ owner: owner({ expiresAt: Date.now() + 3_000 }) });
    await held.add(one);
    await vi.advanceTimersByTimeAsync(2_500);
    expect(one.ended).toBe(0);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(one.ended).toBe(1);
  });

  it('a stream ends too, and nobody stays longer than five seconds when the database does not answer', async () => {
    vi.useFakeTimers();
    const held = sessions();
    const stream = session();
    held.open(stream);
    gone = null;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(stream.ended).toBe(0);
    await vi.advanceTimersByTimeAsync(3_000);
    expect([stream.ended, held.size.streams]).toEqual([1, 0]);
  });
});

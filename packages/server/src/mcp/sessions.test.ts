// When sessions end by themselves, and who may hold how many. Time is the test's; what a session is inside does not matter here.
import { afterEach, describe, expect, it } from 'vitest';
import { type LiveSession, type Owner, Sessions } from './sessions.ts';

const minute = 60_000;
const owner = (fields: Partial<Owner> = {}): Owner => ({
  accountId: 'acc',
  userId: 'usr_ada',
  keyId: 'key_1',
  keyUserId: null,
  serverId: 'srv',
  ...fields,
});

let now = 0;
let open: Sessions | undefined;
let tell: (topic: string) => void = () => undefined;
const known = new Map([
  ['usr_ada', true],
  ['usr_bob', true],
]);

function sessions(): Sessions {
  now = 0;
  known.set('usr_ada', true);
  const directory = {
    onChange: (listener: (topic: string) => void) => {
      tell = listener;
    },
    user: async (_: string, id: string) => (known.has(id) ? ({ id, enabled: known.get(id) } as never) : undefined),
    server: async (_: string, id: string) => (id === 'srv' ? ({ id } as never) : undefined),
  };
  open = new Sessions(
    directory,
    () => now,
    (error) => {
      throw error;
    },
  );
  return open;
}
afterEach(() => open?.close());

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
    ['key:key_1', 1],
    ['key:key_2', 0],
    ['account:acc', 1],
    ['account:other', 0],
    ['*', 1],
  ])('%s ends sessions of its owner: %i', async (topic, ended) => {
    const held = sessions();
    const one = session();
    await held.add(one);
    tell(topic);
    await settled();
    expect(one.ended).toBe(ended);
  });

  it('of a user, server or connector is told to those it concerns while they may stay', async () => {
    const held = sessions();
    const [ada, bob] = [session(), session({ owner: owner({ userId: 'usr_bob', serverId: null }) })];
    await held.add(ada);
    await held.add(bob);
    for (const topic of ['user:usr_ada', 'server:srv', 'connectors:acc']) tell(topic);
    await settled();
    expect([ada.changes, bob.changes, ada.ended, bob.ended]).toEqual([3, 1, 0, 0]);
  });

  it('that disables or removes the user, or the user of the key, ends the session', async () => {
    const held = sessions();
    const own = session();
    const acting = session({ owner: owner({ userId: 'usr_bob', keyUserId: 'usr_ada' }) });
    await held.add(own);
    await held.add(acting);
    known.set('usr_ada', false);
    tell('user:usr_ada');
    await settled();
    expect([own.ended, acting.ended]).toEqual([1, 1]);
  });

  it('that removes the server ends its sessions', async () => {
    const held = sessions();
    const one = session({ owner: owner({ serverId: 'gone' }) });
    await held.add(one);
    tell('server:gone');
    await settled();
    expect(one.ended).toBe(1);
  });
});

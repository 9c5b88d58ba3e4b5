// Permits through the real limiter plugin: policies, a server's own limit, places in flight, and what happens when the store fails.
import fastify, { type FastifyInstance } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import type { Config } from '../config.ts';
import type { Principal } from '../identity/principal.ts';
import { Refusal } from '../refusal.ts';
import { ownWindows, type Windows } from './shared-windows.ts';
import { createLimits, type LimitSources, limitHeaders } from './take.ts';
import { SlidingWindowStore } from './window.ts';

const apps: FastifyInstance[] = [];
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

const account = { id: 'acc', callsPerMinute: null };
const nobody: LimitSources = {
  account: async () => undefined,
  limits: async () => [],
  quotas: {
    take: async () => {
      throw new Error('no rule, no quota');
    },
    usedUpFor: () => undefined,
    used: async () => [],
  },
};

async function limitsOf(
  limits: Partial<Config['limits']> = {},
  now?: () => number,
  sources: Partial<LimitSources> = {},
  windows?: Windows,
) {
  const clock = { ms: 1_000_000 };
  const app = fastify();
  apps.push(app);
  const config = {
    limits: { callsPerMinute: 100, listsPerMinute: 1_000, managementPerMinute: 600, concurrentCalls: 10, ...limits },
  } as Config;
  const own = now ?? (() => clock.ms);
  return { clock, limits: await createLimits(app, config, { ...nobody, ...sources }, own, windows) };
}

const refusalOf = async (work: Promise<unknown>): Promise<Refusal> => {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof Refusal)) throw new Error('expected a refusal');
  return outcome;
};
const admitted = async (works: Promise<unknown>[]): Promise<number> =>
  (await Promise.allSettled(works)).filter(({ status }) => status === 'fulfilled').length;
const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

describe('calls of a user', () => {
  it('are admitted up to the limit and refused with the time until the next', async () => {
    const { clock, limits } = await limitsOf({ callsPerMinute: 3 });
    const permits = [];
    for (let i = 0; i < 3; i++) permits.push(await limits.call('acc', 'usr', null));
    expect(permits.map(({ remaining }) => remaining)).toEqual([2, 1, 0]);
    expect(permits[2]).toMatchObject({ policy: 'user', limit: 3, windowSeconds: 60, remaining: 0, resetSeconds: 61 });
    clock.ms += 500;
    const refusal = await refusalOf(limits.call('acc', 'usr', null));
    expect(refusal).toMatchObject({
      code: 'RATE_LIMITED',
      message: 'Rate limit exceeded',
      retryAfterMs: 60_500,
      executed: 'no',
    });
    expect(refusal.details).toEqual({ policy: 'user', limit: 3, windowSeconds: 60 });
    clock.ms += 60_500;
    await expect(limits.call('acc', 'usr', null)).resolves.toMatchObject({ remaining: 2 });
  });

  it('are admitted exactly to the limit when all come at once', async () => {
    const { limits } = await limitsOf();
    expect(await admitted(times(1_000, () => limits.call('acc', 'usr', null)))).toBe(100);
  });

  it('are counted per account and user', async () => {
    const { limits } = await limitsOf({ callsPerMinute: 1 });
    await limits.call('acc', 'usr', null);
    await expect(limits.call('acc', 'other', null)).resolves.toBeDefined();
    await expect(limits.call('other', 'usr', null)).resolves.toBeDefined();
    expect((await refusalOf(limits.call('acc', 'usr', null))).code).toBe('RATE_LIMITED');
  });

  it('cost nothing of lists and management, nor the other way round', async () => {
    const { limits } = await limitsOf({ callsPerMinute: 1, listsPerMinute: 2, managementPerMinute: 1 });
    await limits.call('acc', 'usr', null);
    await limits.list('acc', 'usr');
    await limits.list('acc', 'usr');
    expect((await refusalOf(limits.list('acc', 'usr'))).details).toMatchObject({ policy: 'user-lists', limit: 2 });
    const principal = { keyId: 'usr' } as Principal;
    await expect(limits.management(principal)).resolves.toMatchObject({ policy: 'management', remaining: 0 });
    expect((await refusalOf(limits.management(principal))).reason).toBe('rate_limit:management');
  });

  it('can be looked at without being spent', async () => {
    const { limits } = await limitsOf({ callsPerMinute: 2 });
    for (let i = 0; i < 5; i++)
      expect(await limits.peek('user', account, 'usr')).toMatchObject({ remaining: 2, resetSeconds: 0 });
    await limits.call('acc', 'usr', null);
    expect(await limits.peek('user', account, 'usr')).toMatchObject({ remaining: 1, resetSeconds: 61 });
    expect(await limits.peek('user-lists', account, 'usr')).toMatchObject({ policy: 'user-lists', remaining: 1_000 });
  });
});

describe("a server's own limit", () => {
  const server = { serverId: 'srv', max: 2, windowSeconds: 3_600 };

  it('lowers the limit of a user on that server only', async () => {
    const { limits } = await limitsOf({ callsPerMinute: 5 });
    await limits.call('acc', 'usr', server);
    expect(await limits.call('acc', 'usr', server)).toMatchObject({ limit: 2, windowSeconds: 3_600, remaining: 0 });
    expect((await refusalOf(limits.call('acc', 'usr', server))).details).toMatchObject({ limit: 2 });
    await expect(limits.call('acc', 'usr', { ...server, serverId: 'other' })).resolves.toBeDefined();
    await expect(limits.call('acc', 'other', server)).resolves.toBeDefined();
  });

  it('never raises it', async () => {
    const { limits } = await limitsOf({ callsPerMinute: 2 });
    const wide = { ...server, max: 1_000 };
    expect(await limits.call('acc', 'usr', wide)).toMatchObject({ limit: 2, remaining: 1 });
    await limits.call('acc', 'usr', wide);
    expect((await refusalOf(limits.call('acc', 'usr', wide))).details).toMatchObject({ limit: 2 });
  });

  it('takes no permit of the user when it refuses, and none of its own when the user is refused', async () => {
    const { clock, limits } = await limitsOf({ callsPerMinute: 3 });
    await limits.call('acc', 'usr', server);
    await limits.call('acc', 'usr', server);
    for (let i = 0; i < 5; i++) await refusalOf(limits.call('acc', 'usr', server));
    expect(await limits.peek('user', account, 'usr')).toMatchObject({ remaining: 1 });
    await limits.call('acc', 'usr', null);
    const hourly = { serverId: 'hourly', max: 2, windowSeconds: 3_600 };
    for (let i = 0; i < 5; i++)
      expect((await refusalOf(limits.call('acc', 'usr', hourly))).details).toMatchObject({ limit: 3 });
    clock.ms += 61_000;
    expect(await limits.call('acc', 'usr', hourly)).toMatchObject({ remaining: 1 });
  });
});

describe("an account's own limit", () => {
  it('lowers the limit of each of its users, and never raises it', async () => {
    const sources = { account: async (id: string) => ({ id, callsPerMinute: id === 'small' ? 1 : 1_000 }) };
    const { limits } = await limitsOf({ callsPerMinute: 2 }, undefined, sources);
    await limits.call('small', 'usr', null);
    expect((await refusalOf(limits.call('small', 'usr', null))).details).toMatchObject({ policy: 'user', limit: 1 });
    expect(await limits.call('small', 'other', null)).toMatchObject({ limit: 1, remaining: 0 });
    expect(await limits.call('wide', 'usr', null)).toMatchObject({ limit: 2, remaining: 1 });
    expect(await limits.peek('user', { id: 'small', callsPerMinute: 1 }, 'usr')).toMatchObject({
      limit: 1,
      remaining: 0,
    });
  });
});

describe('a permit that is given back', () => {
  it('leaves user and server as if the call had not come', async () => {
    const { limits } = await limitsOf({ callsPerMinute: 2 });
    const server = { serverId: 'srv', max: 1, windowSeconds: 60 };
    for (let i = 0; i < 10; i++) (await limits.call('acc', 'usr', server)).giveBack();
    expect(await limits.peek('user', account, 'usr')).toMatchObject({ remaining: 2 });
    await expect(limits.call('acc', 'usr', server)).resolves.toMatchObject({ remaining: 0 });
  });
});

describe('when the store fails', () => {
  const broken = (): never => {
    throw new Error('it says: secret');
  };
  const good = ownWindows(new SlidingWindowStore(() => 1_000_000));
  it.each<[string, (() => number) | undefined, Windows | undefined]>([
    ['its clock', broken, undefined],
    ['whatever it is asked', undefined, { ...good, take: async () => broken(), peek: async () => broken() }],
    ['what it throws at once', undefined, { ...good, take: broken, peek: broken }],
  ])('refuses with 503 and never lets a call through: %s', async (_what, now, windows) => {
    const rule = { userId: null, groupId: null, serverId: null, connectorId: null, action: null, shared: false };
    const sources = { limits: async () => [{ ...rule, id: 'lim', max: 5, windowSeconds: 60 }] };
    const { limits } = await limitsOf({}, now, sources, windows);
    const ruled = { accountId: 'acc', user: { id: 'usr', groups: [] }, serverId: null };
    const works = [
      limits.call('acc', 'usr', null),
      limits.call('acc', 'usr', { serverId: 'srv', max: 1, windowSeconds: 1 }),
      limits.list('acc', 'usr'),
      limits.management({ keyId: 'key' } as Principal),
      limits.takeRules(ruled),
    ];
    for (const work of works) {
      const refusal = await refusalOf(work);
      expect(refusal).toMatchObject({ code: 'UNAVAILABLE', status: 503, reason: 'limiter_failed' });
      expect(refusal.message).not.toContain('secret');
    }
  });

  it('charges nobody for a call of which it cannot say whether the user has room', async () => {
    let taken = 0;
    const take: Windows['take'] = (...asked) => {
      taken++;
      return good.take(...asked);
    };
    const { limits } = await limitsOf({}, undefined, {}, { ...good, take, glance: broken });
    const refusal = await refusalOf(limits.call('acc', 'usr', { serverId: 'srv', max: 1, windowSeconds: 1 }));
    expect([refusal.status, taken]).toEqual([503, 0]);
  });
});

describe('calls in flight', () => {
  it('hold a place each until they are let go, once', async () => {
    const { limits } = await limitsOf({ concurrentCalls: 2 });
    const leave = limits.enter('acc', 'usr');
    limits.enter('acc', 'usr');
    expect(() => limits.enter('acc', 'usr')).toThrow(Refusal);
    expect(() => limits.enter('other', 'usr')).not.toThrow();
    leave();
    leave();
    limits.enter('acc', 'usr');
    expect(() => limits.enter('acc', 'usr')).toThrow('Rate limit exceeded');
  });

  it('are refused in a second, under their own policy', async () => {
    const { limits } = await limitsOf({ concurrentCalls: 0 });
    const refusal = await refusalOf((async () => limits.enter('acc', 'usr'))());
    expect(refusal).toMatchObject({
      code: 'RATE_LIMITED',
      retryAfterMs: 1_000,
      details: { policy: 'user-concurrent' },
    });
  });
});

describe('limitHeaders', () => {
  it('tells policy, what is left and when', () => {
    expect(limitHeaders({ policy: 'user', limit: 100, windowSeconds: 60, remaining: 7, resetSeconds: 12 })).toEqual({
      'ratelimit-policy': '"user";q=100;w=60',
      ratelimit: '"user";r=7;t=12',
      'x-ratelimit-limit': '100',
      'x-ratelimit-remaining': '7',
      'x-ratelimit-reset': '12',
    });
  });

  it('tells another policy beside the tightest, and the same one once', () => {
    const user = { policy: 'user', limit: 100, windowSeconds: 60, remaining: 99, resetSeconds: 12 };
    const narrow = { policy: 'lim_1', limit: 5, windowSeconds: 86_400, remaining: 4, resetSeconds: 30 };
    expect(limitHeaders(narrow, user)).toEqual({
      'ratelimit-policy': '"lim_1";q=5;w=86400, "user";q=100;w=60',
      ratelimit: '"lim_1";r=4;t=30, "user";r=99;t=12',
      'x-ratelimit-limit': '5',
      'x-ratelimit-remaining': '4',
      'x-ratelimit-reset': '30',
    });
    expect(limitHeaders(user, user)).toEqual(limitHeaders(user));
  });
});

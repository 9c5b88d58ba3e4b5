// Who goes next and when, in simulated time: order, fairness, bounds, and what is forgotten. What is learned from a whole server is in
// test/client/gate-simulation.test.ts.
import { describe, expect, it } from 'vitest';
import { Gate } from './gate.ts';
import type { Ask, Denial, Pass, Waiter } from './gate-ask.ts';
import { readPolicies } from './gate-headers.ts';
import { type GateOptions, type RateLimitOptions, resolveRateLimit } from './gate-options.ts';
import { randomOf, Timeline } from './timeline.test-support.ts';

interface Taken {
  result: Pass | Denial | undefined;
  waiter: Waiter | undefined;
}

function rig(given: RateLimitOptions = {}) {
  const timeline = new Timeline();
  const gate = new Gate(timeline.clock(randomOf(1)));
  const options = resolveRateLimit(given) as GateOptions;
  const order: string[] = [];
  const enter = (user: string, ask: Partial<Ask> = {}, name = user): Taken => {
    const taken: Taken = { result: undefined, waiter: undefined };
    const whole: Ask = {
      scope: 'calls',
      user,
      mode: options.mode,
      options,
      patienceMs: options.maxWaitMs,
      deadlineAt: undefined,
      isBack: false,
      ...ask,
    };
    taken.waiter = gate.enter(whole, (result) => {
      taken.result = result;
      if (result.ok) order.push(name);
    });
    return taken;
  };
  const answer = (taken: Taken, headers: Record<string, string> = {}, retryAfterMs?: number, limited = false) => {
    if (!taken.result?.ok) throw new Error('It was not let in');
    gate.leave(
      taken.result,
      { reports: readPolicies(new Headers(headers), 0), limited, retryAfterMs, unsent: false },
      options.learn,
    );
  };
  const told = (remaining: number, seconds: number, limit = 100, name = 'user') => ({
    'ratelimit-policy': `"${name}";q=${limit};w=60`,
    ratelimit: `"${name}";r=${remaining};t=${seconds}`,
  });
  return { timeline, gate, enter, answer, told, order, options };
}

const isIn = (taken: Taken) => taken.result?.ok === true;

describe('before anything is known', () => {
  it('lets eight of a user go, and the others when the first is answered', () => {
    const { enter, answer, told } = rig({ mode: 'wait' });
    const taken = Array.from({ length: 10 }, () => enter('a'));
    expect(taken.map(isIn)).toEqual([...Array<boolean>(8).fill(true), false, false]);
    answer(taken[0] as Taken, told(99, 61));
    expect(taken.every(isIn)).toBe(true);
  });

  it('lets half of the limit go that another user was told', () => {
    const { enter, answer, told } = rig({ mode: 'wait' });
    answer(enter('a'), told(3, 61, 4));
    expect(Array.from({ length: 3 }, () => enter('b')).map(isIn)).toEqual([true, true, false]);
  });
});

describe('a known window', () => {
  it('is not overdrawn by requests under way', () => {
    const { enter, answer, told } = rig({ mode: 'wait', maxConcurrentPerUser: 50 });
    answer(enter('a'), told(3, 61));
    expect(Array.from({ length: 5 }, () => enter('a')).filter(isIn)).toHaveLength(3);
  });

  it('holds its user, not the others, until the server takes more, and then sends one to ask', () => {
    const { enter, answer, told, timeline } = rig({ mode: 'wait' });
    answer(enter('a'), told(0, 30));
    const waiting = [enter('a'), enter('a'), enter('a')];
    expect(isIn(enter('b'))).toBe(true);
    timeline.runUntil(29_900);
    expect(waiting.some(isIn)).toBe(false);
    timeline.runUntil(30_100);
    expect(waiting.map(isIn)).toEqual([true, false, false]);
    answer(waiting[0] as Taken, told(50, 30));
    expect(waiting.every(isIn)).toBe(true);
  });

  it('that is named account holds everybody of the credential', () => {
    const { enter, answer, told, timeline } = rig({ mode: 'wait' });
    answer(enter('a'), told(0, 30, 100, 'account'));
    const others = [enter('b'), enter('c', { scope: 'management' })];
    expect(others.some(isIn)).toBe(false);
    timeline.runUntil(40_000);
    expect(others.every(isIn)).toBe(true);
  });

  it('is forgotten once it has passed, and takes no timer while nobody waits', () => {
    const { enter, answer, told, timeline, gate } = rig();
    answer(enter('a'), told(0, 30));
    expect(timeline.pending).toBe(0);
    timeline.runUntil(70_000);
    answer(enter('b'));
    enter('c');
    expect(gate.snapshot('calls', 'a', rig().options).remaining).toBeUndefined();
    expect(gate.size).toBe(2);
  });
});

describe('a 429', () => {
  it('holds the whole queue for as long as it says, and its request goes first', () => {
    const { enter, answer, timeline, order } = rig({ mode: 'wait' });
    const first = enter('a');
    answer(first, {}, 5000, true);
    enter('a', {}, 'second');
    enter('a', { isBack: true }, 'first again');
    timeline.runUntil(4999);
    expect(order).toEqual(['a']);
    timeline.runUntil(5001);
    expect(order.slice(0, 2)).toEqual(['a', 'first again']);
  });

  it('without a time blocks 1, 2, 4 seconds and more, a fifth up or down', () => {
    const { enter, answer, timeline } = rig({ mode: 'wait' });
    answer(enter('a'), {}, undefined, true);
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      const since = timeline.now;
      const again = enter('a');
      timeline.runUntil(since + seconds * 1000 * 0.79);
      expect(isIn(again)).toBe(false);
      timeline.runUntil(since + seconds * 1000 * 1.21);
      expect(isIn(again)).toBe(true);
      answer(again, {}, undefined, true);
    }
  });

  it('about requests in flight halves how many may be, and gives one back per clean minute', () => {
    const { enter, answer, timeline } = rig({ mode: 'wait' });
    answer(enter('a'));
    const ten = Array.from({ length: 10 }, () => enter('a'));
    expect(ten.every(isIn)).toBe(true);
    const concurrent = {
      'ratelimit-policy': '"user-concurrent";q=10;qu="concurrent-requests"',
      ratelimit: '"user-concurrent";r=0;t=1',
    };
    answer(ten[0] as Taken, concurrent, 1000, true);
    for (const each of ten.slice(1)) answer(each);
    timeline.runUntil(2000);
    const next = Array.from({ length: 8 }, () => enter('a'));
    expect(next.filter(isIn)).toHaveLength(5);
    timeline.runUntil(63_000);
    answer(next[0] as Taken);
    expect(next.filter(isIn)).toHaveLength(7);
  });
});

describe('who may not wait', () => {
  it('is refused at once by reject, with the time to come back', () => {
    const { enter, answer, told } = rig({ mode: 'reject' });
    answer(enter('a'), told(0, 30));
    expect(enter('a').result).toMatchObject({ ok: false, why: 'limited', retryAfterMs: 30_000, policy: 'user' });
  });

  it('is refused at once by auto when it certainly takes too long, and waits when it does not', () => {
    const { enter, answer, told, timeline } = rig();
    answer(enter('a'), told(0, 30));
    expect(enter('a').result).toMatchObject({ why: 'limited', retryAfterMs: 30_000 });
    timeline.runUntil(28_500);
    const soon = enter('a');
    expect(soon.result).toBeUndefined();
    timeline.runUntil(30_000);
    expect(isIn(soon)).toBe(true);
  });

  it('tries an unknown wait as long as auto allows', () => {
    const { enter, timeline } = rig({ maxConcurrentPerUser: 1 });
    enter('a');
    const second = enter('a');
    timeline.runUntil(1999);
    expect(second.result).toBeUndefined();
    timeline.runUntil(2000);
    expect(second.result).toMatchObject({ why: 'limited', retryAfterMs: undefined });
    expect(timeline.pending).toBe(0);
  });

  it('ends with the deadline of its call', () => {
    const { enter, timeline } = rig({ mode: 'wait', maxConcurrentPerUser: 1 });
    enter('a');
    const second = enter('a', { deadlineAt: 5000 });
    timeline.runUntil(5000);
    expect(second.result).toMatchObject({ why: 'deadline' });
  });

  it('is refused when a user, or all together, have too many waiting', () => {
    const { enter } = rig({ mode: 'wait', maxConcurrentPerUser: 1, maxQueuePerUser: 2, maxQueue: 3 });
    for (const user of ['a', 'a', 'a', 'b']) enter(user);
    expect(enter('a').result).toMatchObject({ why: 'full' });
    enter('b');
    expect(enter('b').result).toMatchObject({ why: 'full' });
  });

  it('leaves at once when it is cancelled, and those behind it move up', () => {
    const { enter, answer, gate, timeline } = rig({ mode: 'wait', maxConcurrentPerUser: 1 });
    const [first, second, third] = [enter('a'), enter('a'), enter('a')];
    gate.cancel(second?.waiter as Waiter);
    expect(gate.waiting).toBe(1);
    answer(first);
    expect([isIn(second), isIn(third)]).toEqual([false, true]);
    expect(timeline.pending).toBe(0);
  });
});

describe('between users', () => {
  it('goes in turn under the cap on all, first come first served for each', () => {
    const { enter, answer, order } = rig({ mode: 'wait', maxConcurrent: 1 });
    const running = enter('x', {}, 'x');
    const taken = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1'].map((name) => enter(name.slice(0, 1), {}, name));
    answer(running);
    const answered = new Set<Taken>();
    for (;;) {
      const next = taken.find((each) => isIn(each) && !answered.has(each));
      if (next === undefined) break;
      answered.add(next);
      answer(next);
    }
    expect(order).toEqual(['x', 'a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  });

  it('takes any text for a user', () => {
    const { enter, answer, told, gate, options } = rig({ mode: 'reject' });
    for (const user of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      answer(enter(user), told(0, 30));
      expect(enter(user).result).toMatchObject({ why: 'limited' });
      expect(gate.snapshot('calls', user, options)).toMatchObject({ remaining: 0, limit: 100 });
    }
    expect(isIn(enter('valueOf'))).toBe(true);
  });

  it('forgets the one unused for longest when there are too many, and lets go whom it cannot remember', () => {
    const { enter, answer, told, gate } = rig({ maxUsers: 2, mode: 'reject' });
    for (const user of ['a', 'b', 'c']) answer(enter(user), told(0, 30));
    expect(gate.size).toBe(2);
    expect(isIn(enter('a'))).toBe(true);
    expect(enter('c').result).toMatchObject({ why: 'limited' });
    enter('b');
    expect(isIn(enter('d'))).toBe(true);
    expect(gate.size).toBeLessThanOrEqual(2);
  });
});

describe('a configured quota', () => {
  it('holds whatever the server says, and comes back evenly', () => {
    const { enter, answer, told, timeline } = rig({ mode: 'reject', quota: { limit: 60, windowMs: 60_000, burst: 3 } });
    for (let i = 0; i < 3; i++) answer(enter('a'), told(1000, 60, 1000));
    expect(enter('a').result).toMatchObject({ why: 'limited', retryAfterMs: 1000 });
    timeline.runUntil(1000);
    expect(isIn(enter('a'))).toBe(true);
    expect(enter('a').result).toMatchObject({ why: 'limited', retryAfterMs: 1000 });
  });

  it('counts each user alone', () => {
    const { enter } = rig({ mode: 'reject', quota: { limit: 1, windowMs: 60_000 } });
    expect([enter('a'), enter('b'), enter('a')].map(isIn)).toEqual([true, true, false]);
  });
});

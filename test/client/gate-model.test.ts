// Whatever comes in whatever order: one user's calls go in the order they came, nobody waits while there is room, caps hold, and at the end
// nobody is left waiting and no timer runs. A model without a limit of the server, so that only the queue is at work.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Gate } from '../../packages/client/src/gate.ts';
import type { Denial, Pass, Waiter } from '../../packages/client/src/gate-ask.ts';
import { type GateOptions, resolveRateLimit } from '../../packages/client/src/gate-options.ts';
import { randomOf, Timeline } from '../../packages/client/src/timeline.test-support.ts';

interface Call {
  id: number;
  user: string;
  result: Pass | Denial | undefined;
  waiter: Waiter | undefined;
  cancelled: boolean;
  left: boolean;
}

type Step = { do: 'enter'; user: string } | { do: 'answer' | 'cancel'; pick: number } | { do: 'pass'; ms: number };

const users = ['a', 'constructor', '__proto__', 'd'];
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('enter' as const), user: fc.constantFrom(...users) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('answer' as const), pick: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), pick: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(3000) }) },
);

describe('the queue', () => {
  it('keeps each user in order, leaves no room unused and nobody behind', () => {
    const run = (steps: readonly Step[], perUser: number, inAll: number, mode: 'wait' | 'auto') => {
      const timeline = new Timeline();
      const gate = new Gate(timeline.clock(randomOf(1)));
      const options = resolveRateLimit({
        maxConcurrentPerUser: perUser,
        maxConcurrent: inAll,
        learn: false,
      }) as GateOptions;
      const calls: Call[] = [];
      const admitted: Call[] = [];
      const running = () => calls.filter((call) => call.result?.ok && !call.left);
      const waiting = () => calls.filter((call) => call.result === undefined && !call.cancelled);

      const enter = (user: string) => {
        const call: Call = {
          id: calls.length,
          user,
          result: undefined,
          waiter: undefined,
          cancelled: false,
          left: false,
        };
        calls.push(call);
        const ask = {
          scope: 'calls' as const,
          user,
          mode,
          options,
          patienceMs: 2000,
          deadlineAt: undefined,
          isBack: false,
        };
        call.waiter = gate.enter(ask, (result) => {
          expect(call.result).toBeUndefined();
          call.result = result;
          if (result.ok) admitted.push(call);
        });
      };
      const answer = (call: Call) => {
        call.left = true;
        gate.leave(call.result as Pass, { reports: [], limited: false, retryAfterMs: undefined, unsent: false }, false);
      };
      const check = () => {
        const now = running();
        expect(now.length).toBeLessThanOrEqual(inAll);
        expect(gate.waiting).toBe(waiting().length);
        for (const user of users) {
          const own = now.filter((call) => call.user === user).length;
          expect(own).toBeLessThanOrEqual(perUser);
          const isWaiting = waiting().some((call) => call.user === user);
          // Room for this user and for all, and still waiting: that would be a lost wake-up.
          expect(isWaiting && own < perUser && now.length < inAll).toBe(false);
        }
        if (waiting().length === 0) expect(timeline.pending).toBe(0);
      };

      for (const each of steps) {
        if (each.do === 'enter') enter(each.user);
        else if (each.do === 'pass') timeline.runUntil(timeline.now + each.ms);
        else {
          const among = each.do === 'answer' ? running() : waiting();
          const call = among[each.pick % Math.max(1, among.length)];
          if (call && each.do === 'answer') answer(call);
          else if (call?.waiter) {
            call.cancelled = true;
            gate.cancel(call.waiter);
          }
        }
        check();
      }
      for (let next = running()[0]; next !== undefined; next = running()[0]) {
        answer(next);
        check();
      }
      expect(waiting()).toEqual([]);
      expect(timeline.pending).toBe(0);
      for (const user of users) {
        const ids = admitted.filter((call) => call.user === user).map(({ id }) => id);
        expect(ids).toEqual([...ids].sort((a, b) => a - b));
      }
    };
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 120 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom('wait' as const, 'auto' as const),
        run,
      ),
      { numRuns: 150 },
    );
  });

  it('lets everybody who waits go once before anybody goes twice', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 20 }), (counts) => {
        const timeline = new Timeline();
        const gate = new Gate(timeline.clock(randomOf(1)));
        const options = resolveRateLimit({ maxConcurrent: 1 }) as GateOptions;
        const order: number[] = [];
        let current: Pass | undefined;
        const enter = (user: number) =>
          gate.enter(
            {
              scope: 'calls',
              user: `u${user}`,
              mode: 'wait',
              options,
              patienceMs: 0,
              deadlineAt: undefined,
              isBack: false,
            },
            (result) => {
              if (!result.ok) return;
              current = result;
              order.push(user);
            },
          );
        enter(-1);
        counts.forEach((count, user) => {
          for (let i = 0; i < count; i++) enter(user);
        });
        const total = counts.reduce((sum, count) => sum + count, 1);
        for (let i = 1; i < total; i++) {
          gate.leave(current as Pass, { reports: [], limited: false, retryAfterMs: undefined, unsent: false }, true);
        }
        const left = [...counts];
        let at = 1;
        while (left.some((count) => count > 0)) {
          const turn = left.flatMap((count, user) => (count > 0 ? [user] : []));
          expect(order.slice(at, at + turn.length).sort((a, b) => a - b)).toEqual(turn);
          at += turn.length;
          for (const user of turn) left[user] = (left[user] ?? 0) - 1;
        }
        expect(at).toBe(total);
      }),
      { numRuns: 60 },
    );
  });
});

// RAT-1 for an account's own limits: generated rules and calls on a clock of the test's, against a list of what was admitted.

import fc from 'fast-check';
import fastify, { type FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Config } from '../../packages/server/src/config.ts';
import type { LimitRecord } from '../../packages/server/src/identity/records.ts';
import type { Quotas } from '../../packages/server/src/rate-limits/quotas.ts';
import { type CallFacts, createLimits, type Limits } from '../../packages/server/src/rate-limits/take.ts';
import { Refusal } from '../../packages/server/src/refusal.ts';
import { holdsAsync } from '../support/holds.ts';

const dayMs = 86_400_000;
const clock = { ms: 1_000_000 };
let rules: LimitRecord[] = [];
const unlimited = { callsPerMinute: 1e9, listsPerMinute: 1e9, managementPerMinute: 1e9, concurrentCalls: 1e9 };

/** Daily counts as the database keeps them, in memory and on the test's clock: all that a call counts against, or none. */
function quotasInMemory(): Quotas {
  const counts = new Map<string, number>();
  const day = () => Math.floor(clock.ms / dayMs);
  const key = ({ limitId, subject }: { limitId: string; subject: string }) => `${limitId} ${subject} ${day()}`;
  return {
    async take(_account, quotas) {
      const resetMs = (day() + 1) * dayMs - clock.ms;
      const full = quotas.find((quota) => (counts.get(key(quota)) ?? 0) >= quota.max);
      if (full) return [{ limitId: full.limitId, used: full.max, max: full.max, refused: true, resetMs }];
      return quotas.map((quota) => {
        const used = (counts.get(key(quota)) ?? 0) + 1;
        counts.set(key(quota), used);
        return { limitId: quota.limitId, used, max: quota.max, refused: false, resetMs };
      });
    },
    usedUpFor: () => undefined,
    used: async (_account, quotas) => quotas.map((quota) => counts.get(key(quota)) ?? 0),
  };
}

const users = ['ann', 'bob', 'cleo'].map((id, i) => ({ id, groups: ['g1', 'g2'].slice(0, i).map((g) => ({ id: g })) }));
const maybe = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: null, freq: 2 });
const anyRule = fc.record({
  userId: maybe('ann', 'bob'),
  groupId: fc.option(fc.constantFrom('g1', 'g2'), { nil: null, freq: 1 }),
  serverId: maybe('s1', 's2'),
  connectorId: maybe('c1', 'c2'),
  action: fc.option(fc.constantFrom('a1', 'a2'), { nil: null, freq: 1 }),
  max: fc.nat({ max: 6 }),
  windowSeconds: fc.constantFrom(null, 1, 7, 60, 3600),
  shared: fc.boolean(),
});
const anyCall = fc.record({
  user: fc.nat({ max: users.length - 1 }),
  serverId: fc.constantFrom(null, 's1', 's2'),
  connectorId: fc.constantFrom(null, 'c1', 'c2'),
  action: fc.constantFrom(null, 'a1', 'a2'),
  waitMs: fc.oneof({ weight: 6, arbitrary: fc.nat({ max: 400 }) }, fc.nat({ max: 90_000 }), fc.constant(dayMs / 3)),
});
type Call = typeof anyCall extends fc.Arbitrary<infer T> ? T : never;

const factsOf = (call: Call): CallFacts => ({
  accountId: 'acc',
  user: users[call.user] as (typeof users)[number],
  serverId: call.serverId,
  connectorId: call.connectorId,
  action: call.action,
});

/** The reference: every admitted call with its time, and per rule a count over the list. */
interface Admitted {
  ms: number;
  call: Call;
}
function counts(rule: LimitRecord, call: Call): boolean {
  const wants: [string | null, readonly (string | null)[]][] = [
    [rule.userId, [users[call.user]?.id ?? null]],
    [rule.groupId, users[call.user]?.groups.map(({ id }) => id) ?? []],
    [rule.serverId, [call.serverId]],
    [rule.connectorId, [call.connectorId]],
    [rule.action, [call.action]],
  ];
  return wants.every(([wanted, has]) => wanted === null || has.includes(wanted));
}
/** A window is 61 slots of which the oldest counts in full; a day ends at midnight. */
function used(rule: LimitRecord, call: Call, admitted: readonly Admitted[]): number {
  const seconds = rule.windowSeconds;
  const slot = (ms: number) => (seconds === null ? Math.floor(ms / dayMs) : Math.floor((ms * 60) / (seconds * 1000)));
  const from = slot(clock.ms) - (seconds === null ? 0 : 60);
  return admitted.filter(
    (one) => slot(one.ms) >= from && counts(rule, one.call) && (rule.shared || one.call.user === call.user),
  ).length;
}

let app: FastifyInstance;
let limits: Limits;
beforeAll(async () => {
  app = fastify();
  const sources = { account: async () => undefined, limits: async () => rules, quotas: quotasInMemory() };
  limits = await createLimits(app, { limits: unlimited } as Config, sources, () => clock.ms);
});
afterAll(() => app.close());

const refusalOf = (work: Promise<unknown>): Promise<Refusal | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof Refusal) return error;
      throw error;
    },
  );
let sequence = 0;
function begin(made: readonly Omit<LimitRecord, 'id'>[]): void {
  sequence++;
  rules = made.map((rule, i) => ({ ...rule, id: `lim_${sequence}_${i}` }));
}

describe("an account's own limits", () => {
  it('admit exactly what a list of the admitted calls allows, in 5,000 generated sequences', async () => {
    const seen = { admitted: 0, refused: 0, early: 0, day: 0 };
    await holdsAsync(
      fc.asyncProperty(
        fc.array(anyRule, { minLength: 1, maxLength: 4 }),
        fc.array(anyCall, { minLength: 5, maxLength: 30 }),
        async (made, calls) => {
          begin(made);
          const admitted: Admitted[] = [];
          for (const call of calls) {
            clock.ms += call.waitMs;
            const full = rules.filter((rule) => counts(rule, call) && used(rule, call, admitted) >= rule.max);
            const facts = factsOf(call);
            const left = new Map((await limits.peekAll(facts, null)).map((one) => [one.policy, one.remaining]));
            for (const rule of rules) {
              const expected = counts(rule, call) ? Math.max(0, rule.max - used(rule, call, admitted)) : undefined;
              if (left.get(rule.id) !== expected) return false;
            }
            const { connectorId: _, action: __, ...unplanned } = facts;
            const early = await refusalOf(limits.checkRules(unplanned));
            // What refuses before planning would refuse after it too.
            if (early !== undefined && full.length === 0) return false;
            const refusal = await refusalOf(limits.takeRules(facts));
            if ((refusal === undefined) !== (full.length === 0)) return false;
            if (refusal !== undefined) {
              if (refusal.code !== 'RATE_LIMITED' || !((refusal.retryAfterMs ?? 0) > 0)) return false;
              if (!full.some(({ id }) => id === refusal.details?.['policy'])) return false;
              if (full.some(({ windowSeconds }) => windowSeconds === null)) seen.day++;
            } else {
              admitted.push({ ms: clock.ms, call });
            }
            seen.admitted += refusal === undefined ? 1 : 0;
            seen.refused += refusal === undefined ? 0 : 1;
            seen.early += early === undefined ? 0 : 1;
          }
          return true;
        },
      ),
      5_000,
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(1_000);
  }, 60_000);

  it('never admit more than the limit in any interval of the window, whoever comes when', async () => {
    await holdsAsync(
      fc.asyncProperty(
        fc.record({ max: fc.integer({ min: 1, max: 5 }), windowSeconds: fc.constantFrom(1, 7, 60) }),
        fc.array(fc.nat({ max: 3_000 }), { minLength: 20, maxLength: 60 }),
        async ({ max, windowSeconds }, waits) => {
          const none = { userId: null, groupId: null, serverId: null, connectorId: null, action: null };
          begin([{ ...none, max, windowSeconds, shared: true }]);
          const at: number[] = [];
          for (const [i, wait] of waits.entries()) {
            clock.ms += wait;
            const call = { user: i % 3, serverId: null, connectorId: null, action: null, waitMs: 0 };
            if ((await refusalOf(limits.takeRules(factsOf(call)))) === undefined) at.push(clock.ms);
          }
          return at.every((from) => at.filter((ms) => ms >= from && ms < from + windowSeconds * 1000).length <= max);
        },
      ),
      500,
    );
  });

  it('count as many calls as they admit when all come at once, and nothing of those that another one refuses', async () => {
    const call: Call = { user: 0, serverId: 's1', connectorId: 'c1', action: 'a1', waitMs: 0 };
    await holdsAsync(
      fc.asyncProperty(fc.array(anyRule, { minLength: 2, maxLength: 5 }), async (made) => {
        begin(made);
        clock.ms += 4_000_000;
        const answers = await Promise.all(Array.from({ length: 12 }, () => refusalOf(limits.takeRules(factsOf(call)))));
        const admitted = answers.filter((refusal) => refusal === undefined).length;
        const fitting = rules.filter((rule) => counts(rule, call));
        const left = await limits.peekAll(factsOf(call), null);
        return (
          admitted === Math.min(12, ...fitting.map(({ max }) => max)) &&
          fitting.every(({ id, max }) => left.find(({ policy }) => policy === id)?.remaining === max - admitted)
        );
      }),
      500,
    );
  });

  it('name the limit that keeps the caller waiting longest, and show the tightest to the admitted', async () => {
    const none = { userId: null, groupId: null, serverId: null, connectorId: null, action: null, shared: false };
    begin([
      { ...none, max: 1, windowSeconds: 1 },
      { ...none, max: 1, windowSeconds: 3600 },
      { ...none, max: 3, windowSeconds: null },
    ]);
    const call = factsOf({ user: 0, serverId: null, connectorId: null, action: null, waitMs: 0 });
    clock.ms += 4_000_000;
    expect(await limits.takeRules(call)).toMatchObject({ policy: rules[0]?.id, remaining: 0, limit: 1 });
    const refusal = await refusalOf(limits.takeRules(call));
    expect(refusal?.details).toEqual({ policy: rules[1]?.id, limit: 1, windowSeconds: 3600 });
    expect(refusal?.retryAfterMs).toBeGreaterThan(3_500_000);
  });
});

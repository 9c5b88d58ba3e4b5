// An account's own limits: which of them a call counts against, and how it is counted against all of them or none. They only narrow: a call
// that they admit has passed the gateway's and the server's limit before.
//
// Order: everything that is known is looked at first, then windows are counted, at last daily quotas, all at once. Whatever refuses
// gives back what was counted before it. Failure: a store that fails refuses the call and counts nothing.
import type { LimitRecord } from '../identity/records.ts';
import { type Limiter, type LimitKey, type Permit, permitOf, refuse, tighter } from './permit.ts';
import { daySeconds, type Quota, type Quotas } from './quotas.ts';

/** What a call is, as far as limits can ask. `connectorId` is undefined until the call is planned: then limits of connectors are left out. */
export interface CallFacts {
  accountId: string;
  user: { id: string; groups: readonly { id: string }[] };
  serverId: string | null;
  connectorId?: string | null | undefined;
  action?: string | null | undefined;
}

/** Whether the call counts: every selector that is set fits. */
export function fits(rule: LimitRecord, call: CallFacts): boolean {
  return (
    (rule.userId === null || rule.userId === call.user.id) &&
    (rule.groupId === null || call.user.groups.some(({ id }) => id === rule.groupId)) &&
    (rule.serverId === null || rule.serverId === call.serverId) &&
    (rule.connectorId === null || rule.connectorId === call.connectorId) &&
    (rule.action === null || rule.action === call.action)
  );
}

/** What a limit leaves of a call, for a dry run. */
export interface LimitView {
  policy: string;
  limit: number;
  remaining: number;
  window: number | 'day';
}

type WindowRule = LimitRecord & { windowSeconds: number };
const isWindow = (rule: LimitRecord): rule is WindowRule => rule.windowSeconds !== null;

const subjectOf = (rule: LimitRecord, call: CallFacts): string => (rule.shared ? '*' : call.user.id);
const keyOf = (rule: WindowRule, call: CallFacts): LimitKey => ({
  key: `r ${rule.id} ${subjectOf(rule, call)}`,
  max: rule.max,
  windowMs: rule.windowSeconds * 1000,
});
const quotaOf = (rule: LimitRecord, call: CallFacts): Quota => ({
  limitId: rule.id,
  subject: subjectOf(rule, call),
  max: rule.max,
});
const exhausted = (rule: LimitRecord, resetMs: number): Permit => ({
  policy: rule.id,
  limit: rule.max,
  windowSeconds: rule.windowSeconds ?? daySeconds,
  remaining: 0,
  resetSeconds: Math.ceil(resetMs / 1000),
});
const untilMidnight = (): number => new Date().setUTCHours(24, 0, 0, 0) - Date.now();

export interface RuleParts {
  limiter: Limiter;
  /** How long a window refuses from now on, as far as is known without asking; 0: it does not. */
  refusesFor(key: LimitKey): number;
  /** Takes back one count of a window that was made at or after `at`. */
  giveBack(key: LimitKey, at: number): void;
  quotas: Quotas;
}

export function createRules({ limiter, refusesFor: windowRefusesFor, giveBack, quotas }: RuleParts) {
  /** How long the rule refuses from now on, as far as this process knows without counting; 0: it does not. */
  function refusesFor(rule: LimitRecord, call: CallFacts): number {
    // A block needs no count, so a flood of them costs no memory.
    if (rule.max === 0) return isWindow(rule) ? rule.windowSeconds * 1000 : untilMidnight();
    if (!isWindow(rule)) return quotas.usedUpFor(quotaOf(rule, call)) ?? 0;
    return windowRefusesFor(keyOf(rule, call));
  }

  /** Throws the refusal of the rule that refuses longest: who waits for that one does not wait in vain. */
  function check(rules: readonly LimitRecord[], call: CallFacts): void {
    let longest: { rule: LimitRecord; ms: number } | undefined;
    for (const rule of rules) {
      const ms = refusesFor(rule, call);
      if (ms > (longest?.ms ?? 0)) longest = { rule, ms };
    }
    if (longest) refuse(exhausted(longest.rule, longest.ms), longest.rule.id, longest.ms);
  }

  async function takeWindows(rules: readonly WindowRule[], call: CallFacts, undo: (() => void)[]): Promise<Permit[]> {
    const permits: Permit[] = [];
    for (const rule of rules) {
      const key = keyOf(rule, call);
      const verdict = await limiter(key);
      const permit = permitOf(rule.id, key, verdict);
      if (verdict.isExceeded) refuse(permit, rule.id, verdict.ttl);
      undo.push(() => giveBack(key, verdict.at));
      permits.push(permit);
    }
    return permits;
  }

  async function takeDays(rules: readonly LimitRecord[], call: CallFacts): Promise<Permit[]> {
    if (rules.length === 0) return [];
    const states = await quotas.take(
      call.accountId,
      rules.map((rule) => quotaOf(rule, call)),
    );
    const permits = states.map(({ limitId, used, max, resetMs }) => ({
      policy: limitId,
      limit: max,
      windowSeconds: daySeconds,
      remaining: Math.max(0, max - used),
      resetSeconds: Math.ceil(resetMs / 1000),
    }));
    const last = states.at(-1);
    if (last?.refused) refuse({ limit: last.max, windowSeconds: daySeconds }, last.limitId, last.resetMs);
    return permits;
  }

  return {
    /** Refuses what will be refused whatever the call touches, before anything is planned. Counts nothing. */
    check: (all: readonly LimitRecord[], call: CallFacts): void =>
      check(
        all.filter((rule) => rule.connectorId === null && fits(rule, call)),
        call,
      ),
    /** Counts the call against every rule that it fits, or throws RATE_LIMITED and has counted nothing. The tightest permit, if any. */
    async take(all: readonly LimitRecord[], call: CallFacts): Promise<Permit | undefined> {
      const rules = all.filter((rule) => fits(rule, call));
      if (rules.length === 0) return undefined;
      check(rules, call);
      const undo: (() => void)[] = [];
      try {
        const permits = await takeWindows(rules.filter(isWindow), call, undo);
        permits.push(
          ...(await takeDays(
            rules.filter((rule) => !isWindow(rule)),
            call,
          )),
        );
        return permits.length === 0 ? undefined : permits.reduce(tighter);
      } catch (error) {
        for (const back of undo) back();
        throw error;
      }
    },
    /** What every rule that the call fits leaves of it. Counts nothing. */
    async peek(all: readonly LimitRecord[], call: CallFacts): Promise<LimitView[]> {
      const rules = all.filter((rule) => fits(rule, call));
      const days = rules.filter((rule) => !isWindow(rule)).map((rule) => quotaOf(rule, call));
      const used = days.length === 0 ? [] : await quotas.used(call.accountId, days);
      const usedOf = new Map(days.map(({ limitId }, i) => [limitId, used[i] ?? 0]));
      return Promise.all(
        rules.map(async (rule): Promise<LimitView> => {
          if (!isWindow(rule)) {
            const remaining = Math.max(0, rule.max - (usedOf.get(rule.id) ?? 0));
            return { policy: rule.id, limit: rule.max, remaining, window: 'day' };
          }
          const { remaining } =
            rule.max === 0 ? { remaining: 0 } : await limiter(keyOf(rule, call), { increment: false });
          return { policy: rule.id, limit: rule.max, remaining: Math.max(0, remaining), window: rule.windowSeconds };
        }),
      );
    },
  };
}

// Users, processes, latency and a limited server in simulated time: what the gate does in an hour takes a second, the same every time.

import { Gate } from '../../packages/client/src/gate.ts';
import type { Ask, Pass } from '../../packages/client/src/gate-ask.ts';
import { readPolicies } from '../../packages/client/src/gate-headers.ts';
import { type GateOptions, type RateLimitOptions, resolveRateLimit } from '../../packages/client/src/gate-options.ts';
import { retryAfterMs } from '../../packages/client/src/retry-after.ts';
import { randomOf, Timeline } from '../../packages/client/src/timeline.test-support.ts';
import { headersOf, type Limiter, type Telling } from './limited-servers.ts';

export interface Scenario {
  seed: number;
  limit: number;
  limiter: Limiter;
  telling: Telling;
  minutes: number;
  /** Processes that serve the same greedy users. */
  processes?: number;
  greedy?: number;
  modest?: number;
  /** Milliseconds that a tool runs between request and answer, which themselves take 5 to 150: least and most. */
  tool?: readonly [number, number];
  options?: RateLimitOptions;
}

export interface Outcome {
  /** Requests of greedy users, and of all, that were sent after the first minute, and those of them that were refused. */
  sent: number;
  refused: number;
  /** Admitted after the first minute, all greedy users together. */
  admitted: number;
  /** Of the least served greedy user. */
  leastAdmitted: number;
  /** Milliseconds that 99 of 100 calls of modest users waited less than. */
  modestP99: number;
  modestRefused: number;
  timersLeft: number;
}

const firstMinute = 61_000;
const maxReturns = 5;

export function simulate(scenario: Scenario): Outcome {
  const { limit, limiter, telling, minutes, processes = 1, greedy = 10, modest = 40, tool = [0, 0] } = scenario;
  const random = randomOf(scenario.seed);
  const timeline = new Timeline();
  const gates = Array.from({ length: processes }, () => new Gate(timeline.clock(random)));
  const options = resolveRateLimit(scenario.options) as GateOptions;
  const end = (minutes + 1) * 60_000 + 1000;
  const admittedOf = new Map<string, number>();
  const waits: number[] = [];
  const outcome: Outcome = {
    sent: 0,
    refused: 0,
    admitted: 0,
    leastAdmitted: 0,
    modestP99: 0,
    modestRefused: 0,
    timersLeft: 0,
  };

  const call = (gate: Gate, user: string, isModest: boolean, done: () => void) => {
    const startedAt = timeline.now;
    let returns = 0;
    const enter = (isBack: boolean) => {
      const ask: Ask = { scope: 'calls', user, mode: 'wait', options, patienceMs: 0, deadlineAt: undefined, isBack };
      gate.enter(ask, (result) => {
        if (!result.ok) throw new Error(`Refused: ${result.why}`);
        if (isModest && !isBack && startedAt >= firstMinute) waits.push(timeline.now - startedAt);
        go(result);
      });
    };
    const go = (pass: Pass) => {
      const wireMs = 5 + 145 * random();
      const thereMs = wireMs * (0.3 + 0.4 * random());
      const toolMs = tool[0] + random() * (tool[1] - tool[0]);
      const isLate = timeline.now >= firstMinute;
      if (isLate) outcome.sent++;
      timeline.after(thereMs, () => {
        const verdict = limiter(user, timeline.now);
        if (verdict.admitted && !isModest && timeline.now >= firstMinute && timeline.now < end) {
          admittedOf.set(user, (admittedOf.get(user) ?? 0) + 1);
        }
        if (!verdict.admitted && isLate) outcome.refused++;
        if (!verdict.admitted && isModest && isLate) outcome.modestRefused++;
        timeline.after(wireMs - thereMs + (verdict.admitted ? toolMs : 0), () => {
          const headers = new Headers(headersOf(verdict, limit, telling));
          gate.leave(
            pass,
            {
              reports: readPolicies(headers, timeline.now),
              limited: !verdict.admitted,
              retryAfterMs: verdict.admitted ? undefined : retryAfterMs(headers, timeline.now),
              unsent: false,
            },
            options.learn,
          );
          if (verdict.admitted || returns++ >= maxReturns) done();
          else enter(true);
        });
      });
    };
    enter(false);
  };

  for (const gate of gates) {
    for (let user = 0; user < greedy; user++) {
      const workers = 8 + Math.floor(random() * 13);
      for (let worker = 0; worker < workers; worker++) {
        const again = (): void => {
          if (timeline.now < end) call(gate, `greedy-${user}`, false, again);
        };
        timeline.after(random() * 2000, again);
      }
    }
  }
  for (let user = 0; user < modest; user++) {
    const gate = gates[user % gates.length] as Gate;
    // Between a tenth and a half of what they may.
    const perMinute = limit * (0.1 + 0.4 * random());
    const next = (): void => {
      if (timeline.now >= end) return;
      call(gate, `modest-${user}`, true, () => undefined);
      timeline.after((-Math.log(1 - random()) * 60_000) / perMinute, next);
    };
    timeline.after(random() * 5000, next);
  }

  timeline.runUntil(end);
  outcome.admitted = [...admittedOf.values()].reduce((sum, each) => sum + each, 0);
  outcome.leastAdmitted = Math.min(...Array.from({ length: greedy }, (_, i) => admittedOf.get(`greedy-${i}`) ?? 0));
  waits.sort((a, b) => a - b);
  outcome.modestP99 = waits[Math.floor(waits.length * 0.99)] ?? 0;
  // Everybody is answered after the end, and then nothing may be left.
  timeline.runUntil(end + 400_000);
  outcome.timersLeft = timeline.pending;
  return outcome;
}

/** What a client that never stops asking gets from one user's limit in the same time. */
export function mostAllowed(limiter: Limiter, minutes: number): number {
  let admitted = 0;
  for (let now = 0; now < (minutes + 1) * 60_000 + 1000; now += 20) {
    if (limiter('oracle', now).admitted && now >= firstMinute) admitted++;
  }
  return admitted;
}

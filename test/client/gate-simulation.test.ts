// The promise of the gate: once a user's limit is known, hardly a request meets a 429, hardly a permit is wasted, and who keeps within the limit
// does not wait for who does not. Fifty users, ten of them greedy, limit unknown at the start; in simulated time, against five kinds of server.
import { describe, expect, it } from 'vitest';
import { mostAllowed, simulate } from './gate-simulation.ts';
import {
  fixedWindow,
  gatewayWindow,
  gcra,
  type Limiter,
  slidingCounter,
  slidingLog,
  type Telling,
} from './limited-servers.ts';

const limit = 100;
const minutes = 6;
const servers: Record<string, () => Limiter> = {
  "the gateway's window": () => gatewayWindow(limit),
  'a sliding log': () => slidingLog(limit),
  'a fixed window': () => fixedWindow(limit),
  'a sliding counter': () => slidingCounter(limit),
  GCRA: () => gcra(limit),
};
const most = new Map<string, number>();
const allowed = (name: string, make: () => Limiter): number => {
  const known = most.get(name) ?? mostAllowed(make(), minutes);
  most.set(name, known);
  return known;
};

function measure(
  name: string,
  make: () => Limiter,
  telling: Telling,
  more: { processes?: number; seed?: number } = {},
) {
  const options = { maxQueuePerUser: 1000 };
  const outcome = simulate({ seed: 1, limit, limiter: make(), telling, minutes, options, ...more });
  const used = outcome.admitted / (10 * allowed(name, make));
  return { ...outcome, refusedShare: outcome.refused / outcome.sent, used };
}

describe.each(Object.entries(servers))('in front of %s', (name, make) => {
  it.each(['ietf', 'x-ratelimit'] as const)(
    'one process that is told by %s headers meets no 429 and wastes little',
    (telling) => {
      const found = measure(name, make, telling);
      expect(found.refusedShare).toBeLessThanOrEqual(0.001);
      expect(found.used).toBeGreaterThanOrEqual(0.95);
      expect(found.leastAdmitted / allowed(name, make)).toBeGreaterThanOrEqual(0.85);
      expect(found.modestP99).toBeLessThanOrEqual(250);
      expect(found.timersLeft).toBe(0);
    },
  );

  it('two processes that share the greedy users converge by headers', () => {
    const found = measure(name, make, 'ietf', { processes: 2 });
    expect(found.refusedShare).toBeLessThanOrEqual(0.01);
    expect(found.used).toBeGreaterThanOrEqual(0.9);
    expect(found.modestP99).toBeLessThanOrEqual(250);
  });

  it.each(['retry-after', 'nothing'] as const)('one process that is told %s finds the limit by itself', (telling) => {
    const found = measure(name, make, telling);
    expect(found.refusedShare).toBeLessThanOrEqual(0.01);
    expect(found.used).toBeGreaterThanOrEqual(0.9);
    expect(found.modestP99).toBeLessThanOrEqual(250);
    expect(found.timersLeft).toBe(0);
  });
});

describe('with tools that take 2 to 10 seconds', () => {
  it('stays within the limit, bound by ten calls in flight', () => {
    const found = simulate({
      seed: 2,
      limit,
      limiter: gatewayWindow(limit),
      telling: 'ietf',
      minutes,
      tool: [2000, 10_000],
      options: { maxQueuePerUser: 1000 },
    });
    expect(found.refused / found.sent).toBeLessThanOrEqual(0.01);
    expect(found.admitted / (10 * mostAllowed(gatewayWindow(limit), minutes))).toBeGreaterThanOrEqual(0.8);
  });
});

describe('a guess that is far too low', () => {
  it('is raised when the server soon lets more through', () => {
    // A burst of ten looks like a limit of ten; it is one of a hundred.
    const found = simulate({
      seed: 1,
      limit,
      limiter: gcra(limit, 10),
      telling: 'nothing',
      minutes,
      options: { maxQueuePerUser: 1000 },
    });
    expect(found.admitted / (10 * mostAllowed(gcra(limit, 10), minutes))).toBeGreaterThanOrEqual(0.9);
    expect(found.refused / found.sent).toBeLessThanOrEqual(0.01);
  });
});

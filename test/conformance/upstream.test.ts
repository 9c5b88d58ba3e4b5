// Proves the everything-upstream itself conforms, so that a failure through the gateway is the gateway's.
// Must not test the gateway.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import { requiredScenarios, runConformance, unmet } from './run.ts';

const minute = 60_000;
let upstream: EverythingUpstream;

beforeAll(async () => {
  upstream = await startEverything();
});
afterAll(async () => {
  await upstream.close();
});

describe('the everything-upstream, called directly', () => {
  it('passes the 30 server scenarios of 2025-11-25', { timeout: 4 * minute }, async () => {
    const required = await requiredScenarios('2025-11-25');
    expect(required).toHaveLength(30);
    const run = await runConformance({ url: upstream.url, requirements: '2025-11-25' });
    expect(unmet(run, required)).toEqual([]);
  });

  it('passes the 37 server scenarios of 2026-07-28 and leaves no warning', { timeout: 4 * minute }, async () => {
    const required = await requiredScenarios('2026-07-28');
    expect(required).toHaveLength(37);
    const run = await runConformance({ url: upstream.url, requirements: '2026-07-28' });
    expect(unmet(run, required, required)).toEqual([]);
  });

  it.each([
    ['http-header-validation', '2026-07-28'],
    ['http-custom-header-server-validation', '2026-07-28'],
    ['json-schema-2020-12', '2026-07-28'],
    ['json-schema-2020-12', '2025-11-25'],
    ['server-session-lifecycle', '2025-11-25'],
    ['server-sse-polling', '2025-11-25'],
  ] as const)('passes %s at %s without a warning', { timeout: minute }, async (scenario, specVersion) => {
    const run = await runConformance({ url: upstream.url, scenario, specVersion });
    expect(unmet(run, [scenario], [scenario])).toEqual([]);
  });
});

describe('the judgement of a run', () => {
  it('names a required scenario that only skipped its checks', { timeout: minute }, async () => {
    const sessionless = await startEverything({ sessions: false });
    try {
      const scenario = 'server-session-lifecycle';
      const run = await runConformance({ url: sessionless.url, scenario, specVersion: '2025-11-25' });
      expect(run.exitCode).toBe(0);
      expect(unmet(run, [scenario])).toEqual([expect.stringContaining('nothing was checked')]);
    } finally {
      await sessionless.close();
    }
  });

  it('names a scenario that never finished', { timeout: minute }, async () => {
    const options = { url: upstream.url, scenario: 'ping', timeoutMs: 1 };
    const run = await runConformance(options);
    expect(run.timedOut).toBe(true);
    expect(unmet(run, ['ping'])).toEqual(['ping: did not run before the deadline']);
  });
});

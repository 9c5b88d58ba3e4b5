// The public conformance suite through the gateway: direct mode, one connector without a prefix, the token in the path, no baseline.
// What fails here and passes in upstream.test.ts is the gateway's fault.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DirectGateway, startDirectGateway } from '../mcp/direct-gateway.ts';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import { requiredScenarios, runConformance, unmet } from './run.ts';

const minute = 60_000;
const fields = { connectors: ['everything'], prefix: 'none' };
let upstream: EverythingUpstream;
let direct: DirectGateway;

beforeAll(async () => {
  upstream = await startEverything();
  direct = await startDirectGateway([{ id: 'everything', url: upstream.url }]);
});
afterAll(async () => {
  await direct.close();
  await upstream.close();
});

describe('the gateway in front of the everything-upstream', () => {
  it('passes the 30 server scenarios of 2025-11-25', { timeout: 4 * minute }, async () => {
    const { url } = await direct.publish({ ...fields, sessions: 'auto' });
    const required = await requiredScenarios('2025-11-25');
    expect(required).toHaveLength(30);
    const run = await runConformance({ url, requirements: '2025-11-25' });
    expect(unmet(run, required)).toEqual([]);
  });

  it('passes the 37 server scenarios of 2026-07-28 and leaves no warning', { timeout: 4 * minute }, async () => {
    const { url } = await direct.publish({ ...fields, sessions: 'auto' });
    const required = await requiredScenarios('2026-07-28');
    expect(required).toHaveLength(37);
    const run = await runConformance({ url, requirements: '2026-07-28' });
    expect(unmet(run, required, required)).toEqual([]);
  });

  it.each([
    ['http-header-validation', '2026-07-28', 'auto'],
    ['http-custom-header-server-validation', '2026-07-28', 'auto'],
    ['json-schema-2020-12', '2026-07-28', 'auto'],
    ['json-schema-2020-12', '2025-11-25', 'auto'],
    ['server-session-lifecycle', '2025-11-25', 'always'],
  ] as const)(
    'passes %s at %s without a warning, sessions: %s',
    { timeout: minute },
    async (scenario, specVersion, sessions) => {
      const { url } = await direct.publish({ ...fields, sessions });
      const run = await runConformance({ url, scenario, specVersion });
      expect(unmet(run, [scenario], [scenario])).toEqual([]);
    },
  );
});

describe('the gateway in front of upstreams of one era', () => {
  it.each([
    ['legacy', '2025-11-25'],
    ['modern', '2026-07-28'],
  ] as const)(
    'passes every server scenario of the era where the upstream speaks only the %s one',
    { timeout: 4 * minute },
    async (era, requirements) => {
      const one = await startEverything({ eras: [era] });
      try {
        await direct.api('POST', '/api/connectors', { connectorId: era, name: era, kind: 'mcp-http', url: one.url });
        const { url } = await direct.publish({ connectors: [era], prefix: 'none', sessions: 'auto' });
        const required = await requiredScenarios(requirements);
        const run = await runConformance({ url, requirements });
        expect(unmet(run, required)).toEqual([]);
      } finally {
        await one.close();
      }
    },
  );
});

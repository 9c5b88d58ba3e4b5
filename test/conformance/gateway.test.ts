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
  ] as const)('passes %s at %s without a warning, sessions: %s', { timeout: minute }, async (scenario, specVersion, sessions) => {
    const { url } = await direct.publish({ ...fields, sessions });
    const run = await runConformance({ url, scenario, specVersion });
    expect(unmet(run, [scenario], [scenario])).toEqual([]);
  });
});

describe('the gateway in front of upstreams of one era', () => {
  it.each([
    ['keeps sessions', { eras: ['legacy'] as const }],
    ['keeps none', { eras: ['legacy'] as const, sessions: false }],
  ])('passes the 30 server scenarios of 2025-11-25 where the upstream knows only that era and %s', { timeout: 4 * minute }, async (name, options) => {
    const old = await startEverything(options);
    try {
      const id = name.replaceAll(' ', '-');
      await direct.api('POST', '/api/connectors', { connectorId: id, name: id, kind: 'mcp-http', url: old.url });
      const { url } = await direct.publish({ connectors: [id], prefix: 'none', sessions: 'auto' });
      const run = await runConformance({ url, requirements: '2025-11-25' });
      // Without a session an upstream can neither ask nor announce: what it fails itself is not the gateway's.
      const own = options.sessions === false ? await runConformance({ url: old.url, requirements: '2025-11-25' }) : undefined;
      const required = await requiredScenarios('2025-11-25');
      const impossible = own === undefined ? [] : required.filter((scenario) => unmet(own, [scenario]).length > 0);
      expect(unmet(run, required.filter((scenario) => !impossible.includes(scenario)))).toEqual([]);
    } finally {
      await old.close();
    }
  });
});

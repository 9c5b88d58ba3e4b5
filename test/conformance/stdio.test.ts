// The public conformance suite through the gateway in front of a local server: the everything-upstream as a child process, in both eras.
// What fails here and passes in gateway.test.ts is the stdio carrier's fault.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DirectGateway, startDirectGateway } from '../mcp/direct-gateway.ts';
import { bundleEverything, type EverythingBundle } from '../support/everything/stdio-bundle.ts';
import { type CatalogueFile, writeCatalogue } from '../upstreams/stdio-catalogue-file.ts';
import { requiredScenarios, runConformance, unmet } from './run.ts';

const minute = 60_000;
let bundle: EverythingBundle;
let catalogue: CatalogueFile;
let direct: DirectGateway;

beforeAll(async () => {
  bundle = await bundleEverything();
  const [both, legacy, modern] = [bundle.entry(), bundle.entry(['legacy']), bundle.entry(['modern'])];
  catalogue = writeCatalogue({ both, legacy, modern });
  direct = await startDirectGateway([], { env: { VALET_STDIO_CATALOG: catalogue.file } });
  for (const name of ['both', 'legacy', 'modern'])
    await direct.api('POST', '/api/connectors', { connectorId: name, name, kind: 'mcp-stdio', entry: name });
});
afterAll(async () => {
  await direct?.close();
  catalogue?.remove();
  await bundle?.remove();
});

describe('the gateway in front of a local server', () => {
  it.each([
    ['both', '2025-11-25', 30],
    ['both', '2026-07-28', 37],
    ['legacy', '2025-11-25', 30],
    ['modern', '2026-07-28', 37],
  ] as const)(
    'of eras: %s, passes every server scenario of %s',
    { timeout: 4 * minute },
    async (name, requirements, count) => {
      const { url } = await direct.publish({ connectors: [name], prefix: 'none', sessions: 'auto' });
      const required = await requiredScenarios(requirements);
      expect(required).toHaveLength(count);
      const run = await runConformance({ url, requirements });
      expect(unmet(run, required)).toEqual([]);
    },
  );
});

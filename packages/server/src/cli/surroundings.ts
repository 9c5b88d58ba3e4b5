// What a connector is checked against, as a gateway of this configuration checks it: the rules of addresses, and the catalogue of local servers.
import type { Config } from '../config.ts';
import type { Surroundings } from '../connectors/definition.ts';
import { createEgress } from '../connectors/egress.ts';
import { readStdioCatalog } from '../connectors/stdio-catalog.ts';

export async function surroundings(config: Config): Promise<Surroundings> {
  const egress = createEgress({ allowedCidrs: config.allowedUpstreamCidrs, denied: [] });
  const catalog = await readStdioCatalog(config.stdioCatalogFile);
  return { checkUrl: (url) => egress.check(url), entryEnv: (name) => catalog.get(name)?.env };
}

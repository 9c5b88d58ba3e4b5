// Several gateways in this process on one database, as replicas are: one configuration, one master key, limits that no test meets by accident.
import { sharedEnvironment } from '../durability/support/child-gateway.ts';
import type { TestDatabase } from './database.ts';
import { type Rig, startRig } from './gateway.ts';

/** The database stays open when one of them closes: it belongs to whoever opened it. */
export async function startReplicas(
  database: TestDatabase,
  count: number,
  more: Readonly<Record<string, string>> = {},
): Promise<Rig[]> {
  const { DATABASE_URL: _, LOG_LEVEL: __, ...env } = sharedEnvironment(database.url);
  const shared: TestDatabase = { ...database, close: async () => undefined };
  const replicas: Rig[] = [];
  for (let n = 0; n < count; n++) replicas.push(await startRig({ database: shared, env: { ...env, ...more } }));
  return replicas;
}

// Writes packages/server/schema.sql from a freshly migrated embedded database. Run by hand after a new migration.
import { writeFileSync } from 'node:fs';
import { openDatabase } from '../../packages/server/src/db/client.ts';
import { migrate } from '../../packages/server/src/db/migrate.ts';
import { dumpSchema } from './schema-dump.ts';

async function main(): Promise<void> {
  const db = await openDatabase({ url: 'pglite:memory' });
  await migrate(db);
  writeFileSync(new URL('../../packages/server/schema.sql', import.meta.url), await dumpSchema(db));
  await db.close();
}

await main();

// Where drizzle-kit finds the tables and writes migrations. Used by developers only, never at run time.
import { defineConfig } from 'drizzle-kit';

export default defineConfig({
  dialect: 'postgresql',
  schema: [
    './src/db/schema.ts',
    './src/db/schema-trail.ts',
    './src/db/schema-connect.ts',
    './src/db/schema-identity.ts',
    './src/db/schema-epoch.ts',
    './src/db/schema-dashboard.ts',
    './src/db/schema-master-keys.ts',
  ],
  out: './migrations',
});

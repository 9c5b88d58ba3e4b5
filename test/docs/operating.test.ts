// The guide to operating is true about PostgreSQL: what it tells an administrator to run is enough, and the gateway has nothing to warn about
// but what a test cluster really lacks.
import { randomBytes } from 'node:crypto';
import { startTestGateway } from '@mcp-valet/server/testing';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { read } from '../repo/workspace.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { blocksOf } from './markdown.ts';

const page = read('docs/guides/operating.md');
// One of its own: roles belong to a cluster, and the page makes them.
let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster?.stop();
});

/** The URL that the page shows, with this cluster's address. */
function shownUrl(): string {
  const shown = /`DATABASE_URL=(postgres:\S+)`/.exec(page)?.[1] ?? '';
  const url = new URL(shown);
  url.host = new URL(cluster.adminUrl).host;
  return url.href;
}

it('gives PostgreSQL the roles that the gateway needs, and no more', async () => {
  const sql = postgres(cluster.adminUrl, { max: 1, onnotice: () => undefined });
  const script =
    blocksOf(page).find(({ language, role }) => language === 'sql' && role === 'administrator')?.code ?? '';
  // One by one: a database cannot be created inside a transaction.
  for (const statement of script.split(';').filter((text) => text.trim() !== '')) await sql.unsafe(statement);
  await sql.end();

  const env = { DATABASE_URL: shownUrl(), VALET_MASTER_KEY: randomBytes(32).toString('base64') };
  const gateway = await startTestGateway({ env });
  try {
    const me = await gateway.fetch(`${gateway.url}/api/me`, { headers: { authorization: `Bearer ${gateway.apiKey}` } });
    expect(me.status).toBe(200);
    // The cluster of the tests runs without fsync; about the login there is nothing to say.
    expect(gateway.gateway.warnings).toEqual([expect.stringMatching(/^fsync or synchronous_commit is off/)]);
  } finally {
    await gateway.close();
  }
});

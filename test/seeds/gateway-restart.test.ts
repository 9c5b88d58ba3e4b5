// Seed gateway-user-management: "User data … survives container restarts". The same data directory, another process life. Checklist point 5.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { example, runCurl } from './example.ts';
import { type GatewayScene, startGatewayScene } from './gateway-scene.ts';

let parent: string;
let dataDir: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'valet-restart-'));
  dataDir = join(parent, 'data');
});
afterAll(() => rm(parent, { recursive: true }));

/** The guide's USERS_DB_PATH: where the data lives. The master key is the file that the first start writes beside it. */
const options = () => ({
  database: { kind: 'pglite' as const, url: `pglite:${dataDir}`, close: async () => undefined },
  env: { VALET_MASTER_KEY: '' },
});

describe('a restart on the same data directory', () => {
  let key = '';
  let admin = '';

  // Two starts on a real directory, the first of which makes the database.
  it('keeps users, keys, access rules and secrets', { timeout: 90_000 }, async () => {
    const before: GatewayScene = await startGatewayScene(options());
    try {
      admin = before.rig.admin;
      const seed = async (file: string) =>
        runCurl(await example(`gateway-user-management/${file}`, before.host), admin);
      await seed('create-user.sh');
      const [made] = await seed('generate-key.sh');
      key = made?.body.api_key;
      await seed('mcp-access.sh');
      await before.rig.manage('POST', '/secrets/set', {
        username: 'alice',
        serverName: 'wave',
        secretName: 'WAVE_TOKEN',
        secretValue: 'canary-wave-over-restart',
      });
    } finally {
      await before.rig.close();
    }

    const after: Rig = await startRig(options());
    try {
      // The first key is shown at the first start and never again; it still opens.
      expect(after.admin).toBe('');
      expect(await after.manage('GET', '/users/alice', undefined, admin)).toMatchObject({
        email: 'alice@example.com',
        mcp_allowed: ['erpnext', 'wave'],
      });
      const tools = (await after.rpc('/mcp', { method: 'tools/list' }, { key })).body.result.tools.map(
        ({ name }: { name: string }) => name,
      );
      expect(tools).toEqual(['erpnext__erpnext_list', 'wave__wave_list']);
      const call = await after.send('/mcp/tool/call', {
        key,
        body: { serverName: 'wave', methodName: 'wave_list', args: {} },
      });
      expect(call.body).toMatchObject({ success: true });
      expect(before.upstream.calls.at(-1)?.arguments).toEqual({ WAVE_TOKEN: 'canary-wave-over-restart' });
    } finally {
      await after.close();
      await before.upstream.close();
    }
  });

  it('leaves neither key nor secret readable in the data directory', async () => {
    const files = (await readdir(parent, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    expect(files.length).toBeGreaterThan(10);
    for (const file of files) {
      const bytes = await readFile(join(file.parentPath, file.name));
      for (const text of [key, admin, 'canary-wave-over-restart']) expect(bytes.includes(text), file.name).toBe(false);
    }
  });
});

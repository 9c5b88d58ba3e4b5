// Local servers through the whole gateway: what an operator, two users and an attacker can do over HTTP. No request starts anything but the
// entry that a connector names.
import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary, type Json, type Rig, startRig } from '../support/gateway.ts';
import { type CatalogueFile, writeCatalogue } from './stdio-catalogue-file.ts';
import { fingerprint, running, serversFolder } from './stdio-fixture.ts';

const marker = `gateway-${Math.random().toString(36).slice(2)}`;
const plain = {
  command: process.execPath,
  args: [`${serversFolder}/plain.mjs`, 'plain', marker],
  env: ['TOKEN'],
  files: [serversFolder],
};
const secrets = { alice: canary('alice'), bob: canary('bob') };
type Name = keyof typeof secrets;

let catalogue: CatalogueFile;
let rig: Rig;
const keys = {} as Record<Name, string>;

beforeAll(async () => {
  catalogue = writeCatalogue({ plain });
  rig = await startRig({
    env: { VALET_STDIO_CATALOG: catalogue.file, VALET_RATE_LIMIT: '1000000', VALET_CONCURRENT_CALLS: '2000' },
  });
  await rig.manage('POST', '/api/connectors', {
    connectorId: 'local',
    kind: 'mcp-stdio',
    entry: 'plain',
    secretNames: ['TOKEN'],
  });
  for (const name of ['alice', 'bob'] as const) {
    await rig.manage('POST', '/users', { username: name });
    keys[name] = (await rig.manage('POST', `/users/${name}/keys`, { key_name: 'own' })).api_key;
    await setSecret(name, secrets[name]);
  }
});
afterAll(async () => {
  await rig?.close();
  catalogue?.remove();
});

const setSecret = (username: string, secretValue: string): Promise<Json> =>
  rig.manage('POST', '/secrets/set', { username, serverName: 'local', secretName: 'TOKEN', secretValue });
const callTool = (name: Name, methodName: string, args: Record<string, unknown> = {}) =>
  rig.send('/mcp/tool/call', { key: keys[name], body: { serverName: 'local', methodName, args } });
const said = (answer: Json): Json => JSON.parse(answer.body.data.content[0].text);

describe('two users of one local server', () => {
  it('each get their own secret back in 1,000 interleaved concurrent calls', { timeout: 120_000 }, async () => {
    const names = ['alice', 'bob'] as const;
    const wrong: unknown[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < 1_000) {
        const n = next++;
        const name = names[n % 2] as Name;
        const answer = await callTool(name, 'whoami', { n });
        const isRight =
          answer.status === 200 && said(answer).n === n && said(answer).token === fingerprint(secrets[name]);
        if (!isRight || answer.text.includes(secrets.alice) || answer.text.includes(secrets.bob))
          wrong.push({ n, answer });
      }
    };
    await Promise.all(Array.from({ length: 32 }, worker));
    expect(wrong).toEqual([]);
  });

  it('do not feel each other’s crashes', async () => {
    const waiting = callTool('bob', 'wait', { ms: 800 });
    await sleep(200);
    const crashed = await callTool('alice', 'exit', { code: 9 });
    expect(crashed.body).toMatchObject({ success: false, error: 'The server process ended with exit code 9' });
    expect(await waiting).toMatchObject({ status: 200, body: { success: true } });
    expect(await callTool('alice', 'whoami')).toMatchObject({ status: 200, body: { success: true } });
  });

  it('have their process ended when their secret changes, and the next one knows the new secret', async () => {
    const before = said(await callTool('alice', 'whoami'));
    const fresh = canary('alice-new');
    await setSecret('alice', fresh);
    const after = said(await callTool('alice', 'whoami'));
    expect(after.token).toBe(fingerprint(fresh));
    expect(after.run).not.toBe(before.run);
    secrets.alice = fresh;
  });

  it('do not get their secrets into the arguments', async () => {
    const answer = await callTool('alice', 'environment');
    expect(said(answer).args).toEqual(['plain', marker]);
    expect(answer.text).not.toContain(secrets.alice);
  });
});

describe('a request', () => {
  const proof = join(tmpdir(), `${marker}-proof`);
  const touch = { command: '/usr/bin/touch', args: [proof] };
  const shell = `/bin/sh -c 'touch ${proof}'`;
  const create = { connectorId: 'evil', kind: 'mcp-stdio', entry: 'plain' };

  it.each([
    ['a command beside the entry', { ...create, ...touch }],
    ['arguments', { ...create, args: [proof] }],
    ['an environment', { ...create, env: { LD_PRELOAD: '/tmp/evil.so' } }],
    ['a working folder', { ...create, cwd: '/' }],
    ['a shell', { ...create, shell: true }],
    ['variables', { ...create, variables: { NODE_OPTIONS: '--require /tmp/evil.js' } }],
    ['files of the sandbox', { ...create, files: ['/'] }],
    ['a url instead of the entry', { connectorId: 'evil', kind: 'mcp-stdio', url: `stdio:${shell}` }],
    ['an entry that is not in the catalogue', { ...create, entry: 'other' }],
    ['an entry that is a path', { ...create, entry: '/usr/bin/touch' }],
    ['an entry that climbs', { ...create, entry: '../plain' }],
    ['an entry that is a command line', { ...create, entry: `plain ${proof}` }],
    ['an entry that is a shell', { ...create, entry: shell }],
    ['an entry that is an object', { ...create, entry: touch }],
    ['an entry that is a list', { ...create, entry: ['/usr/bin/touch', proof] }],
    ['an entry from the prototype', { ...create, entry: '__proto__' }],
    ['an entry that is constructor', { ...create, entry: 'constructor' }],
    ['an entry with a NUL', { ...create, entry: 'plain\0x' }],
    ['an entry of another kind', { connectorId: 'evil', kind: 'mcp-http', url: 'http://127.0.0.1:1/', ...touch }],
    ['a variable that the entry does not declare', { ...create, inject: { env: { LD_PRELOAD: '/tmp/evil.so' } } }],
    ['a template for PATH', { ...create, inject: { env: { PATH: '{{TOKEN}}' } } }],
  ])('never carries what is run: %s', async (_, body) => {
    const before = running(marker).length;
    const answer = await rig.send('/api/connectors', { key: rig.admin, body });
    // What is let in must still start nothing but the entry.
    if (answer.status < 300) {
      const called = await rig.send('/mcp/tool/call', {
        key: keys.alice,
        body: { serverName: 'evil', methodName: 'whoami', args: {} },
      });
      expect(called.status).not.toBe(200);
      await rig.send('/api/connectors/evil', { method: 'DELETE', key: rig.admin });
    } else expect([400, 404, 422]).toContain(answer.status);
    expect(existsSync(proof)).toBe(false);
    rmSync(proof, { force: true });
    expect(running(marker).length).toBe(before);
  });

  it.each([
    { command: '/usr/bin/touch', args: [] },
    { entry: '/usr/bin/touch' },
    { kind: 'mcp-stdio' },
    { url: 'stdio:/usr/bin/touch' },
    { env: { A: 'b' } },
  ])('never changes what is run: %j', async (body) => {
    const answer = await rig.send('/api/connectors/local', { method: 'PUT', key: rig.admin, body });
    expect(answer.status).toBe(400);
    expect(said(await callTool('bob', 'whoami')).token).toBe(fingerprint(secrets.bob));
  });

  it.each(['command', 'args', 'env', 'cwd', 'entry', '__proto__'])(
    'hands the tool an argument named %s as an argument',
    async (name) => {
      const answer = await callTool('bob', 'environment', JSON.parse(`{"${name}": "/usr/bin/touch"}`));
      expect(said(answer).args).toEqual(['plain', marker]);
    },
  );

  it('stores no secret that an environment cannot carry', async () => {
    const answer = await rig.send('/secrets/set', {
      key: rig.admin,
      body: { username: 'bob', serverName: 'local', secretName: 'TOKEN', secretValue: 'a\0b' },
    });
    const called = await callTool('bob', 'whoami');
    expect(answer.status === 400 || called.status !== 200).toBe(true);
    await setSecret('bob', secrets.bob);
    expect(said(await callTool('bob', 'whoami')).token).toBe(fingerprint(secrets.bob));
  });
});

describe('without a catalogue', () => {
  it('there are no local servers', async () => {
    const bare = await startRig();
    const answer = await bare.send('/api/connectors', {
      key: bare.admin,
      body: { connectorId: 'local', kind: 'mcp-stdio', entry: 'plain' },
    });
    expect(answer.status).toBe(400);
    await bare.close();
  });
});

describe('the end', () => {
  it('of the gateway is the end of every process', async () => {
    await callTool('alice', 'family', { count: 5, seconds: `600.${process.pid}1` });
    expect(running(marker).length).toBeGreaterThan(0);
    await rig.gateway.close();
    expect(running(marker)).toEqual([]);
    expect(running(`sleep 600.${process.pid}1`)).toEqual([]);
  });
});

// The README is true: its code is an example that runs, its commands work as they are written, its table is the configuration.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CredentialRequiredError } from '@mcp-valet/client';
import { limits } from '@mcp-valet/shared';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { startCrm } from '../../examples/quickstart/src/crm-upstream.ts';
import { loadConfig } from '../../packages/server/src/config.ts';
import { manifest, read, root } from '../repo/workspace.ts';
import { openTestDatabase } from '../support/database.ts';
import { startRig } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { blocksOf, proseOf, tableAfter } from './markdown.ts';
import { patternOf, runShell, tidy } from './run-blocks.ts';

const readme = read('README.md');
const blocks = blocksOf(readme);
const block = (role: string) => blocks.find((one) => one.role === role)?.code.trim() ?? '';

const closers: (() => Promise<void> | void)[] = [];
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

describe('the first screen', () => {
  it('says what it is, how to try it and how to test it within 60 lines', () => {
    const screen = readme.split('\n').slice(0, 60).join('\n');
    for (const command of ['npm run quickstart', 'npm test', 'npm start']) {
      expect(screen).toContain(`\`${command}\``);
      expect(manifest('.').scripts).toHaveProperty([command.replace(/^npm (run )?/, '')]);
    }
    const [first] = blocks;
    expect((first?.line ?? 0) + (first?.code.split('\n').length ?? 0)).toBeLessThan(60);
  });
});

describe('the code', () => {
  it('is the example file', () => {
    expect(blocks[0]).toMatchObject({ language: 'ts', code: read('examples/quickstart/src/readme.ts') });
  });

  it('runs, and each call reaches the upstream with the credential of its user', { timeout: 60_000 }, async () => {
    const keys = { ALICE_CRM_KEY: 'the-crm-key-of-alice', BOB_CRM_KEY: 'the-crm-key-of-bob' };
    const crm = await startCrm(
      new Map([
        [keys.ALICE_CRM_KEY, 'Alice GmbH'],
        [keys.BOB_CRM_KEY, 'Bob Ltd'],
      ]),
    );
    const rig = await startRig();
    closers.push(crm.close, () => rig.close());
    const env = { ...keys, CRM_URL: crm.url, MCP_VALET_BASE_URL: rig.url, MCP_VALET_API_KEY: rig.admin };
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const said: unknown[] = [];
    vi.spyOn(console, 'log').mockImplementation((...args: unknown[]) => void said.push(...args));
    await import('../../examples/quickstart/src/readme.ts');
    expect(said).toEqual(['Zoe is now a customer of Alice GmbH', 'Zoe is now a customer of Bob Ltd']);
    const carol = rig.sdk(rig.admin).forUser((await rig.sdk(rig.admin).users.create({ username: 'carol' })).username);
    await expect(carol.runAction('crm', 'add_customer', { name: 'Zoe' })).rejects.toBeInstanceOf(
      CredentialRequiredError,
    );
    expect(crm.calls).toEqual(
      new Map([
        ['Alice GmbH', 1],
        ['Bob Ltd', 1],
      ]),
    );
  });
});

describe('the commands', () => {
  it('work as they are written, from an empty gateway to a call', { timeout: 240_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'readme-'));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    const [gatewayPort, upstreamPort] = [String(await freePort()), String(await freePort())];
    const shared = { HOME: folder, PATH: `${shimOfNpm(folder)}:${process.env.PATH}` };
    const database = await openTestDatabase('pglite');

    const [told] = await Promise.all([
      startCommand(
        block('gateway'),
        { ...shared, PORT: gatewayPort, DATABASE_URL: database.url },
        /^\s*(mcpv_adm_\w+)$/,
      ),
      startCommand(block('upstream'), { ...shared, PORT: upstreamPort }, /listening on port (\d+)/),
    ]);
    const run = blocks
      .filter(({ role }) => role === 'run')
      .map((one) => ({ ...one, code: withValues(one.code, told, gatewayPort, upstreamPort) }));
    await warmUp(upstreamPort);
    const printed = await runShell(run, '', shared, root);
    const output = blocks.find(({ role }) => role === 'output');
    if (output === undefined) throw new Error('the README shows no output');
    expect(tidy(printed.at(-1)?.text ?? '', output.language)).toMatch(patternOf(output));
  });

  it('assume the port that the gateway listens on by default', () => {
    expect(block('run')).toContain(`http://127.0.0.1:${loadConfig({}).port}\n`);
  });
});

describe('the table of the configuration', () => {
  const rows = tableAfter(readme, '## Configuration').map(([name = '', value = '']) => ({
    name: name.replaceAll('`', ''),
    value: value.replaceAll('`', ''),
  }));

  it('names every variable that is read, and no other', () => {
    const source =
      /const variables = z\.object\(\{\n([\s\S]*?)\n\}\);/.exec(read('packages/server/src/config-variables.ts'))?.[1] ??
      '';
    const names = [...source.matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map((match) => match[1]);
    expect(names.length).toBeGreaterThan(15);
    expect(rows.map(({ name }) => name).sort()).toEqual(names.sort());
  });

  it('shows the defaults: setting one changes nothing', () => {
    const shown = rows.filter(({ value }) => value !== '' && value !== 'http://HOST:PORT');
    const defaults = loadConfig({});
    for (const { name, value } of shown) expect(plain(loadConfig({ [name]: value })), name).toEqual(plain(defaults));
    expect(shown.length).toBeGreaterThan(10);
    expect(defaults.publicUrl).toBe(`http://${defaults.host}:${defaults.port}`);
  });
});

it('tells the limits as they are', () => {
  const {
    callsPerMinute,
    callsInFlight,
    listsPerMinute,
    jsonDepth,
    callTimeoutMs,
    maxCallTimeoutMs,
    storedAnswerBytes,
  } = limits;
  const told = proseOf(readme).slice(proseOf(readme).indexOf('## Limits')).replaceAll('\n', ' ');
  expect(told).toContain(`${callsPerMinute} calls a minute and ${callsInFlight} in flight per user`);
  expect(told).toContain(`${listsPerMinute.toLocaleString('en')} lists a minute`);
  expect(told).toContain(
    `Requests of ${limits.mcpBodyBytes / 2 ** 20} MiB on MCP routes and ${limits.bodyBytes / 2 ** 20} MiB elsewhere`,
  );
  expect(told).toContain(`JSON ${jsonDepth} deep. Answers of ${limits.resultBytes / 2 ** 20} MiB.`);
  expect(told).toContain(`Calls of ${callTimeoutMs / 1000} s, up to ${maxCallTimeoutMs / 1000} s`);
  expect(told).toContain(`Answers up to ${storedAnswerBytes / 1024} KiB are kept`);
});

/** A secret prints the same whatever it holds, so the database's URL is compared in clear. */
const plain = (config: ReturnType<typeof loadConfig>) => ({
  ...config,
  database: { ...config.database, url: config.database.url.reveal() },
});

/** `npm start` without the installation and the build that `prestart` makes: the gateway from its sources. */
function shimOfNpm(folder: string): string {
  expect(manifest('.').scripts?.['start']).toBe('node packages/server/dist/main.js');
  const file = join(folder, 'npm');
  const gateway = `exec '${process.execPath}' --conditions=@mcp-valet/source --import tsx packages/server/src/main.ts`;
  writeFileSync(file, `#!/bin/sh\n[ "$*" = start ] || exit 64\n${gateway}\n`);
  chmodSync(file, 0o755);
  return folder;
}

/** Starts a command of the page and waits for what it must say. */
function startCommand(command: string, env: NodeJS.ProcessEnv, ready: RegExp): Promise<string> {
  const child: ChildProcess = spawn('bash', ['-c', `exec env ${command}`], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  closers.push(() => ended(child));
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`"${command}" ended with ${code}\n${said.join('\n')}`)));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        const found = ready.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
    }
  });
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 8_000).unref();
  });
}

/** Its first answer loads code, which on a busy machine can take longer than the gateway waits for an upstream's first word. */
async function warmUp(port: string): Promise<void> {
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'warm-up', version: '1' } };
  const answer = await fetch(`http://127.0.0.1:${port}/mcp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params }),
  });
  expect(await answer.text()).toContain('serverInfo');
}

/** The page's key and ports, each of which it names, replaced by this run's. */
function withValues(code: string, key: string, gatewayPort: string, upstreamPort: string): string {
  return code
    .replace("KEY='mcpv_adm_…'", `KEY='${key}'`)
    .replace(':8787', `:${gatewayPort}`)
    .replace(':3001', `:${upstreamPort}`);
}

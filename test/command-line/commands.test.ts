// What an operator does from a shell beside running gateways: keys, users, connectors, a look at everything, the trail. Each change is heard by the
// gateway at once and stands in its trail.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayCommand } from '../durability/support/child-gateway.ts';
import { root } from '../repo/workspace.ts';
import type { Json, Rig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { mcpValet as run, type Said, startBeside } from './run.ts';

const work = mkdtempSync(join(tmpdir(), 'valet-commands-'));
let rig: Rig;
let env: Record<string, string>;
let upstream: RecordingUpstream;

beforeAll(async () => {
  [{ rig, env }, upstream] = await Promise.all([startBeside(), startRecordingUpstream()]);
}, 120_000);
afterAll(async () => {
  await Promise.all([rig?.close(), upstream?.close()]);
  rmSync(work, { recursive: true, force: true });
});

const mcpValet = (...args: string[]): Promise<Said> => run(env, ...args);
const json = async (...args: string[]): Promise<Json> => JSON.parse((await mcpValet(...args, '--json')).out);
const newest = async (action: string): Promise<Json> =>
  (await rig.manage('GET', `/api/audit?action=${action}&limit=1`)).events[0];

describe('the command line', () => {
  it('helps: every group and command says what it does', async () => {
    const { code, out } = await mcpValet('--help');
    expect(code).toBe(0);
    const groups = ['init', 'doctor', 'keys', 'users', 'connectors', 'config', 'master-key', 'db', 'audit'];
    for (const name of groups) expect(out).toMatch(new RegExp(`^  ${name}\\b.*\\S{3}`, 'm'));
    for (const name of groups) expect((await mcpValet(name, '--help')).code).toBe(0);
  });

  it('answers a typing error with what was meant, and exit code 2', async () => {
    expect(await mcpValet('key', 'list')).toMatchObject({
      code: 2,
      err: expect.stringContaining('Did you mean keys?'),
    });
    expect(await mcpValet('keys', 'create')).toMatchObject({ code: 2, err: expect.stringContaining('--name') });
    expect(await mcpValet('keys', 'list', '--account', 'nobody')).toMatchObject({
      code: 2,
      err: 'There is no account nobody.',
    });
  });
});

describe('keys', () => {
  it('makes a key that works at once, shows it once, and ends it at once', async () => {
    const { out, code } = await mcpValet('keys', 'create', '--name', 'ci', '--kind', 'admin', '--days', '3');
    expect(code).toBe(0);
    const [apiKey = ''] = out.split('\n');
    const me = await rig.manage('GET', '/api/me', undefined, apiKey);
    expect(me).toMatchObject({ kind: 'adm' });
    expect(Date.parse(me.expiresAt) - Date.now()).toBeGreaterThan(2 * 86_400_000);
    expect(await newest('api_key.create')).toMatchObject({ target: me.keyId, details: { source: 'command' } });

    const listed = await mcpValet('keys', 'list');
    expect(listed.out).toMatch(new RegExp(`${me.keyId} +adm +ci`));
    expect(listed.out).not.toContain(apiKey);

    expect(await mcpValet('keys', 'revoke', me.keyId)).toMatchObject({ code: 0, out: `Revoked ${me.keyId} (ci).` });
    await expect.poll(async () => (await rig.send('/api/me', { key: apiKey })).status).toBe(401);
    expect(await newest('api_key.revoke')).toMatchObject({ target: me.keyId });
  });

  it('refuses what makes no sense', async () => {
    for (const [args, message] of [
      [['--kind', 'root'], '--kind is one of admin, enterprise, standard.'],
      [['--kind', 'standard'], 'A standard key needs --user.'],
      [['--days', 'x'], '--days is a whole number from 1 to 3650.'],
      [['--user', 'nobody'], 'User not found'],
    ] as const)
      expect(await mcpValet('keys', 'create', '--name', 'x', ...args)).toEqual({ code: 2, out: '', err: message });
  });
});

describe('users', () => {
  it('makes a user and keeps one out, heard at once', async () => {
    expect(await json('users', 'create', 'bob', '--email', 'bob@example.com')).toMatchObject({ username: 'bob' });
    const { apiKey } = await json('keys', 'create', '--name', 'bob', '--kind', 'standard', '--user', 'bob');
    expect((await rig.send('/api/me', { key: apiKey })).status).toBe(200);
    expect((await mcpValet('users', 'disable', 'bob')).out).toBe('bob is disabled.');
    await expect.poll(async () => (await rig.send('/api/me', { key: apiKey })).status).toBe(403);
    expect((await mcpValet('users', 'list')).out).toMatch(/^bob +usr_\S+ +bob@example.com +false$/m);
    await mcpValet('users', 'enable', 'bob');
    await expect.poll(async () => (await rig.send('/api/me', { key: apiKey })).status).toBe(200);
    expect(await newest('user.set_enabled')).toMatchObject({ target: 'bob', details: { enabled: true } });
    expect(await mcpValet('users', 'create', 'bob')).toMatchObject({ code: 2, err: 'There is a user bob already.' });
    expect(await mcpValet('users', 'create', 'no spaces')).toMatchObject({
      code: 2,
      err: expect.stringContaining('1-128'),
    });
  });
});

describe('connectors', () => {
  it('adds an MCP server that a user can call, and says when nothing changed', async () => {
    const add = [
      'connectors',
      'add',
      'demo',
      '--url',
      upstream.url,
      '--secret',
      'TOKEN',
      '--header',
      'Authorization: Bearer {{TOKEN}}',
    ];
    expect((await mcpValet(...add)).out).toBe('Connector demo: created.');
    expect((await mcpValet(...add)).out).toBe('Connector demo: unchanged.');
    await rig.manage('POST', '/users', { username: 'alice' });
    const secret = { username: 'alice', serverName: 'demo', secretName: 'TOKEN', secretValue: 'only-alice' };
    await rig.manage('POST', '/secrets/set', secret);
    const body = { username: 'alice', serverName: 'demo', methodName: 'echo', args: { text: 'hello' } };
    expect((await rig.send('/mcp/tool/call', { key: rig.admin, body })).status).toBe(200);
  });

  it('imports a REST API from its document', async () => {
    const file = join(root, 'test/fixtures/openapi/slack-web-api.swagger2.json');
    expect((await mcpValet('connectors', 'import', 'slack', file, '--name', 'Slack')).out).toBe(
      'Connector slack: created.',
    );
    expect((await rig.manage('GET', '/api/connectors/slack/actions')).count).toBeGreaterThan(100);
    expect((await mcpValet('connectors', 'list')).out).toMatch(/^slack +http +Slack +true/m);
    expect(await mcpValet('connectors', 'import', 'other', join(work, 'nothing.json'))).toMatchObject({ code: 2 });
  });
});

describe('doctor', () => {
  it('finds nothing wrong with a gateway that works, and reaches its upstreams', async () => {
    const { code, out } = await mcpValet('doctor');
    expect(out).toMatch(/^Nothing is wrong\./m);
    expect(code).toBe(0);
    for (const about of [
      'Database: PostgreSQL answers',
      'Schema: of this version',
      'Master key: opens',
      'Upstream demo of default: answers',
    ])
      expect(out).toContain(`ok    ${about}`);
  });

  it('says what is wrong and what to do, without stopping at the first thing', async () => {
    await rig.manage('POST', '/api/connectors', {
      connectorId: 'gone',
      kind: 'mcp-http',
      url: 'http://127.0.0.1:9/mcp',
    });
    const wrong = {
      ...env,
      VALET_MASTER_KEY: Buffer.from(
        'a wrong key, 32 bytes long......'.replace(/./g, (c, at) =>
          String.fromCharCode((c.charCodeAt(0) * 7 + at * 13) % 256),
        ),
        'latin1',
      )
        .subarray(0, 32)
        .toString('base64'),
      REDIS_URL: 'redis://127.0.0.1:9',
    };
    const { findings } = await (async () => JSON.parse((await run(wrong, 'doctor', '--json')).out))();
    const failed = findings.filter((finding: Json) => finding.what === 'fail');
    expect(failed.map((finding: Json) => finding.about).sort()).toEqual([
      'Master key',
      'Rate limits',
      'Upstream gone of default',
    ]);
    for (const finding of failed) expect(finding.advice.length).toBeGreaterThan(10);
    expect((await run({ ...env, DATABASE_URL: 'postgres://nobody@127.0.0.1:9/x' }, 'doctor')).code).toBe(1);
    expect(await run({ ...env, PORT: 'x' }, 'doctor')).toMatchObject({ code: 2, err: expect.stringContaining('PORT') });
    await rig.manage('DELETE', '/api/connectors/gone');
  });
});

describe('init', () => {
  it('writes keys and variables that a gateway starts with, readable by their owner only, once', async () => {
    const dir = join(work, 'new');
    const { code, out } = await run({}, 'init', '--dir', dir, '--public-url', 'https://mcp.example.com');
    expect(code).toBe(0);
    expect(out).toContain('mcp-valet doctor');
    const lines = readFileSync(join(dir, 'gateway.env'), 'utf8').trim().split('\n');
    const variables = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    for (const name of ['gateway.env', 'master.key']) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
    // No gateway has used it yet: nothing is wrong, and the doctor says what is to come.
    expect(await run(variables, 'doctor')).toMatchObject({ code: 0, out: expect.stringContaining('warn  Database') });
    expect(await run({}, 'init', '--dir', dir)).toMatchObject({
      code: 2,
      err: expect.stringContaining('nothing was written'),
    });
    expect(await run({}, 'init', '--dir', join(work, 'other'), '--public-url', 'nonsense')).toMatchObject({ code: 2 });
  });
});

describe('an answer that nobody reads', () => {
  it('ends the command without a trace of it', async () => {
    const child = spawn(process.execPath, [...gatewayCommand(), '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let complained = '';
    child.stderr.on('data', (chunk: Buffer) => {
      complained += chunk.toString();
    });
    child.stdout.destroy();
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect({ code, complained }).toEqual({ code: 0, complained: '' });
  }, 40_000);
});

describe('audit export', () => {
  it('writes every event of the account as a line, the same as the API shows', async () => {
    const file = join(work, 'trail.ndjson');
    const { code, out } = await mcpValet('audit', 'export', file);
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/^Wrote \d+ events/) });
    const lines = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { total } = await rig.manage('GET', '/api/audit?limit=1');
    expect(lines).toHaveLength(total);
    const { events } = await rig.manage('GET', '/api/audit?limit=50');
    expect(lines.slice(0, 50)).toEqual(events);
    expect((await mcpValet('audit', 'export', join(work, 'none.ndjson'), '--from', '2100-01-01')).out).toMatch(
      /^Wrote 0 events/,
    );
    expect(await mcpValet('audit', 'export', file, '--from', 'soon')).toMatchObject({ code: 2 });
    const before = readFileSync(file, 'utf8');
    expect(await mcpValet('audit', 'export', file)).toMatchObject({ code: 2, err: expect.stringContaining('exists') });
    expect(readFileSync(file, 'utf8')).toBe(before);
  });
});

// `mcp-valet config`: what one gateway exports makes an empty one answer as the first does; a second time it changes nothing. Through the command
// line's own parser, on PostgreSQL beside two running gateways.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dump, load } from 'js-yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../repo/workspace.ts';
import type { Json, Rig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { mcpValet as run, type Said, startBeside } from './run.ts';

const work = mkdtempSync(join(tmpdir(), 'valet-config-'));
const clientSecret = `canary-${randomBytes(12).toString('hex')}`;
const envs = new Map<Rig, Record<string, string>>();
let first: Rig;
let second: Rig;
let upstream: RecordingUpstream;

async function start(): Promise<Rig> {
  const { rig, env } = await startBeside({ CRM_CLIENT_SECRET: clientSecret });
  envs.set(rig, env);
  return rig;
}

const mcpValet = (rig: Rig, ...args: string[]): Promise<Said> => run(envs.get(rig) ?? {}, ...args);

beforeAll(async () => {
  [first, second, upstream] = [await start(), await start(), await startRecordingUpstream()];
  await configure(first);
}, 120_000);
afterAll(async () => {
  await Promise.all([first?.close(), second?.close(), upstream?.close()]);
  rmSync(work, { recursive: true, force: true });
});

/** A bit of everything that a file holds, and of what it does not. */
async function configure(rig: Rig): Promise<void> {
  const post = (path: string, body: unknown, key?: string): Promise<Json> => rig.manage('POST', path, body, key);
  await post('/users', { username: 'alice' });
  await post('/api/connectors', {
    connectorId: 'demo',
    kind: 'mcp-http',
    url: upstream.url,
    name: 'Demo: "quoted" # and more',
    headers: { 'x-tenant': 'acme' },
    secretNames: ['TOKEN'],
    inject: { headers: { authorization: 'Bearer {{TOKEN}}' } },
    requires: [{ actions: ['add*'], scopes: ['demo:write'], message: 'Ask your lead' }],
    timeoutMs: 5000,
  });
  await post('/api/connectors', {
    connectorId: 'slack',
    kind: 'http',
    openapi: readFileSync(join(root, 'test/fixtures/openapi/slack-web-api.swagger2.json'), 'utf8'),
    category: ['chat'],
  });
  await post('/api/connectors', {
    connectorId: 'crm',
    kind: 'mcp-http',
    url: upstream.url,
    oauth: {
      authorizationUrl: 'https://id.example.com/authorize',
      tokenUrl: 'https://id.example.com/token',
      clientId: 'valet',
      clientSecret,
    },
    enabled: false,
  });
  const { groupId } = await post('/api/groups', {
    name: 'Sales',
    access: { allowed: ['demo'], blocked: [], permissions: [{ connector: 'demo', mode: 'block', actions: ['fail'] }] },
    userIds: ['alice'],
  });
  const { serverId } = await post('/api/servers', {
    name: 'assistant',
    mode: 'direct',
    connectors: ['demo'],
    customInstructions: 'Be brief.\nBe kind.',
    restrictions: { permissions: [{ connector: 'demo', mode: 'allow', actions: ['echo', 'whoami'] }] },
    rateLimit: { max: 50, windowSeconds: 60 },
  });
  await post('/api/servers', {
    name: 'everything',
    restrictions: { actions: { mode: 'blocklist', blockedActions: ['x'] } },
  });
  await post('/api/limits', { groupId, connectorId: 'demo', action: 'echo', max: 7, window: 'day', shared: true });
  await post('/api/limits', { serverId, max: 20, window: 30 });
  await post('/api/limits', { userId: 'alice', max: 5, window: 60 });
  await post('/api/issuers', {
    type: 'jwt',
    name: 'idp',
    issuer: 'https://id.example.com',
    jwksUri: 'https://id.example.com/keys',
    audience: ['valet'],
    requiredScopes: ['mcp'],
  });
  await post('/api/issuers', {
    type: 'jwt',
    name: 'own',
    issuer: 'https://app.example.com',
    audience: ['valet'],
    sharedSecret: true,
  });
  await rig.manage('PUT', '/api/settings', { redirectUris: ['https://app.example.com/done'] });
  const { apiKey } = await post('/api/accounts', { name: 'customer', callsPerMinute: 30 });
  await post('/api/servers', { name: 'theirs', mode: 'connectivity' }, apiKey);
}

const volatile = /^(createdAt|updatedAt|accountId|tokenPrefix|tokenExpiresAt|url|members|toolsAge|lastError)$/;
/** What stays the same wherever it is: without times, addresses and what was seen of upstreams. */
function lasting(value: Json): Json {
  if (Array.isArray(value)) return value.map(lasting);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !volatile.test(name))
      .map(([name, part]) => [name, lasting(part)]),
  );
}

/** Every answer that the configuration decides, of the account `default`. */
async function answers(rig: Rig): Promise<Record<string, Json>> {
  const all: Record<string, Json> = {};
  for (const noun of ['connectors', 'groups', 'servers', 'limits', 'issuers', 'settings']) {
    const body = lasting(await rig.manage('GET', `/api/${noun}`));
    for (const list of Object.values(body))
      if (Array.isArray(list)) list.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    all[noun] = body;
  }
  const { actions } = await rig.manage('GET', '/api/connectors/slack/actions');
  all['slack'] = actions;
  const [server] = (await rig.manage('GET', '/api/servers?limit=100')).servers.filter(
    (s: Json) => s.name === 'assistant',
  );
  const headers = { 'x-alloy-userid': 'alice' };
  const list = await rig.rpc(`/mcp/${server.serverId}`, { method: 'tools/list' }, { key: rig.admin, headers });
  all['tools'] = list.body.result.tools;
  for (const action of ['echo', 'add', 'whoami', 'fail', 'add_customer'])
    all[`explain ${action}`] = lasting(
      await rig.manage('POST', '/api/explain', {
        userId: 'alice',
        serverId: server.serverId,
        connectorId: 'demo',
        action,
      }),
    );
  return all;
}

describe('config export and apply', () => {
  const file = join(work, 'config.yaml');

  it('writes one file without a secret, and says what it left out', async () => {
    const { code, out } = await mcpValet(first, 'config', 'export');
    expect(code).toBe(0);
    writeFileSync(file, out);
    expect(out).not.toContain(clientSecret);
    expect(out).toMatch(/^# default: the OAuth client secret of connector crm is not here$/m);
    expect(out).toMatch(/^# default: issuer own has a secret and is not here$/m);
    expect(out).toMatch(/^# default: limits of single users are not here \(1\)$/m);
    const { accounts } = load(out) as Json;
    expect(accounts.map((account: Json) => account.name)).toEqual(['customer', 'default']);
    expect((await mcpValet(first, 'config', 'diff', file)).code).toBe(0);
  });

  it('makes an empty gateway answer as the first one does, while it runs', async () => {
    const document = load(readFileSync(file, 'utf8')) as Json;
    const crm = document.accounts[1].connectors.find((c: Json) => c.connectorId === 'crm');
    crm.oauth.clientSecret = '$'.concat('{CRM_CLIENT_SECRET}');
    writeFileSync(file, dump(document));
    const planned = await mcpValet(second, 'config', 'diff', file);
    expect(planned.code).toBe(1);
    expect((await second.manage('GET', '/api/connectors')).connectors).toEqual([]);

    const { code, out, err } = await mcpValet(second, 'config', 'apply', file);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    // Values are shown, and this one is none of them.
    expect(planned.out + out).not.toContain(clientSecret);
    const apiKey = /^Admin key of customer, shown this once: (\S+)$/m.exec(out)?.[1];
    expect((await second.manage('GET', '/api/servers', undefined, apiKey)).servers).toMatchObject([{ name: 'theirs' }]);
    expect((await second.manage('GET', '/api/me', undefined, apiKey)).limits.calls.limit).toBe(30);

    // Users, their secrets and their limits are not configuration.
    const secret = { username: 'alice', serverName: 'demo', secretName: 'TOKEN', secretValue: 'only-alice-has-this' };
    const { limits } = await first.manage('GET', '/api/limits');
    const ofAlice = limits.find((limit: Json) => limit.userId !== null);
    await first.manage('DELETE', `/api/limits/${ofAlice.limitId}`);
    await second.manage('POST', '/users', { username: 'alice' });
    const sales = (await second.manage('GET', '/api/groups')).groups[0];
    await second.manage('PUT', `/api/groups/${sales.groupId}/members/alice`);
    for (const rig of [first, second]) await rig.manage('POST', '/secrets/set', secret);
    const [before, after] = [await answers(first), await answers(second)];
    expect(before['tools'].length).toBeGreaterThan(0);
    // An issuer with a secret is what a file cannot hold.
    for (const side of [before, after]) {
      side['issuers'].issuers = side['issuers'].issuers.filter((issuer: Json) => issuer.name !== 'own');
      delete side['issuers'].total;
    }
    const ids = new Map((await usersOf(first)).map((id, at) => [id, at]));
    const others = new Map((await usersOf(second)).map((id, at) => [id, at]));
    expect(withoutUsers(after, others)).toEqual(withoutUsers(before, ids));
  });

  it('changes nothing the second time', async () => {
    const events = (await second.manage('GET', '/api/audit?limit=1')).total;
    expect(await mcpValet(second, 'config', 'apply', file)).toEqual({ code: 0, out: 'Nothing to change.', err: '' });
    expect(await mcpValet(second, 'config', 'diff', file)).toMatchObject({ code: 0 });
    expect((await second.manage('GET', '/api/audit?limit=1')).total).toBe(events);
  });

  it('is heard by the running gateway at once, and written to its trail', async () => {
    const document = load(readFileSync(file, 'utf8')) as Json;
    const server = document.accounts[1].servers.find((s: Json) => s.name === 'assistant');
    server.restrictions.permissions[0].actions = ['echo'];
    writeFileSync(file, dump(document));
    const list = async (): Promise<string[]> => {
      const headers = { 'x-alloy-userid': 'alice' };
      const answer = await second.rpc(
        `/mcp/${server.serverId}`,
        { method: 'tools/list' },
        { key: second.admin, headers },
      );
      return answer.body.result.tools.map((tool: Json) => tool.name);
    };
    expect(await list()).toContain('demo__whoami');
    expect((await mcpValet(second, 'config', 'diff', file)).out).toMatch(
      /^ {4}restrictions\.permissions: \[.*"whoami".*\] -> \[.*"echo"\]\}\]$/m,
    );
    const applied = await mcpValet(second, 'config', 'apply', file, '--json');
    expect(JSON.parse(applied.out).changes).toMatchObject([
      { what: 'update', noun: 'server', fields: ['restrictions'] },
    ]);
    await expect.poll(list).toEqual(['demo__echo']);
    const { events } = await second.manage('GET', '/api/audit?action=server.update');
    expect(events).toMatchObject([
      { target: server.serverId, details: { source: 'config', changed: ['restrictions'] } },
    ]);
  });

  it('deletes only when it is told to prune', async () => {
    const document = load(readFileSync(file, 'utf8')) as Json;
    document.accounts[1].servers = document.accounts[1].servers.filter((s: Json) => s.name !== 'everything');
    document.accounts[1].groups = [];
    delete document.accounts[1].connectors;
    document.accounts[1].limits = document.accounts[1].limits.filter((limit: Json) => limit.groupId === null);
    const smaller = join(work, 'smaller.yaml');
    writeFileSync(smaller, dump(document));
    expect((await mcpValet(second, 'config', 'apply', smaller)).out).toBe('Nothing to change.');
    const { out } = await mcpValet(second, 'config', 'apply', smaller, '--prune');
    expect(out.match(/^- .*/gm)?.sort()).toEqual([
      '- group Sales (default)',
      expect.stringMatching(/^- limit .* \(default\)$/),
      '- server everything (default)',
    ]);
    expect((await second.manage('GET', '/api/groups')).groups).toEqual([]);
    // A kind that the file leaves out is not looked at.
    expect((await second.manage('GET', '/api/connectors')).connectors).toHaveLength(3);
  });
});

describe('a file that cannot be', () => {
  const apply = async (yaml: string): Promise<{ code: number; err: string }> => {
    const file = join(work, 'wrong.yaml');
    writeFileSync(file, yaml);
    return mcpValet(second, 'config', 'apply', file);
  };
  const head = 'format: mcp-valet/config/1\naccounts:\n';

  it.each([
    ['is no YAML', ': : :\n- [', /^The file is not YAML/],
    ['has another format', 'format: other\naccounts: []', /format: /],
    ['has a field that does not exist', `${head}- name: default\n  serverz: []`, /line 4, accounts\.0: .*serverz/],
    [
      'has a wrong value',
      `${head}- name: default\n  servers: [{ name: a, mode: sideways }]`,
      /line 4, accounts\.0\.servers\.0\.mode: /,
    ],
    [
      'has a name twice',
      `${head}- name: default\n  groups: [{ name: a }, { name: a }]`,
      /The group of account default: a is in the file twice/,
    ],
    [
      'names a variable that is not set',
      `${head}- name: default\n  connectors: [{ connectorId: c, kind: mcp-http, url: "http://127.0.0.1/", oauth: { issuer: "https://i.example", clientId: a, clientSecret: "$\{NOPE}" } }]`,
      /variable NOPE, which is not set/,
    ],
    [
      'names an address that may not be',
      `${head}- name: default\n  connectors: [{ connectorId: c, kind: mcp-http, url: "ftp://127.0.0.1/" }]`,
      /Account default was not changed: Connector c is refused\n- url: /,
    ],
  ])('is refused when it %s, with the place', async (_why, yaml, message) => {
    const { code, err } = await apply(yaml);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  it.each([
    ['disables the operator', '  enabled: false', /"default" cannot be disabled/],
    [
      'makes a connector another kind',
      '  connectors: [{ connectorId: demo, kind: http, openapi: "{}" }]',
      /Connector demo is of kind mcp-http/,
    ],
    ['limits an action of no connector', '  limits: [{ action: echo, max: 1, window: 60 }]', /needs the connectorId/],
    ['makes an issuer another one', '  issuers: ISSUERS', /Issuer idp cannot become another issuer/],
  ])('is refused when it %s', async (_why, part, message) => {
    const exported = load((await mcpValet(second, 'config', 'export', '--account', 'default')).out) as Json;
    const issuers = exported.accounts[0].issuers.map((issuer: Json) => ({
      ...issuer,
      issuer: 'https://other.example',
    }));
    const { code, err } = await apply(`${head}- name: default\n${part.replace('ISSUERS', JSON.stringify(issuers))}`);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  it('makes a limit that is about something else anew, once', async () => {
    const exported = load((await mcpValet(second, 'config', 'export', '--account', 'default')).out) as Json;
    const [limit] = exported.accounts[0].limits;
    const changed = { ...limit, serverId: null, connectorId: 'demo' };
    const yaml = `${head}- name: default\n  limits: [${JSON.stringify(changed)}]`;
    expect((await apply(yaml)).code).toBe(0);
    const { limits } = await second.manage('GET', '/api/limits');
    expect(limits).toMatchObject([{ limitId: limit.limitId, serverId: null, connectorId: 'demo', max: limit.max }]);
    expect((await mcpValet(second, 'config', 'diff', join(work, 'wrong.yaml'))).code).toBe(0);
  });

  it('leaves an account whole when a later object of it fails', async () => {
    const before = (await second.manage('GET', '/api/groups')).groups;
    const { code, err } = await apply(
      `${head}- name: default\n  groups: [{ name: New }]\n  limits: [{ serverId: nobody-00000000, max: 1, window: 60 }]`,
    );
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringMatching(/names the server nobody-00000000/) });
    expect((await second.manage('GET', '/api/groups')).groups).toEqual(before);
  });
});

describe('a local server', () => {
  it('is in the file as it is, and stays readable in a shell that has other rules than the gateway', async () => {
    const catalog = join(work, 'catalog.json');
    writeFileSync(catalog, JSON.stringify({ files: { description: 'Files', command: '/bin/cat', env: ['TOKEN'] } }));
    const env = { ...envs.get(second), VALET_STDIO_CATALOG: catalog };
    expect(await run(env, 'connectors', 'add', 'files', '--entry', 'files', '--secret', 'TOKEN')).toMatchObject({
      code: 0,
      err: '',
    });
    const file = join(work, 'local.yaml');
    expect((await run(env, 'config', 'export', '--file', file)).code).toBe(0);
    expect(await run(env, 'config', 'diff', file)).toEqual({ code: 0, out: 'Nothing would change.', err: '' });

    const { VALET_ALLOWED_UPSTREAM_CIDRS: _, ...strict } = envs.get(second) ?? {};
    const group = join(work, 'group.yaml');
    writeFileSync(group, 'format: mcp-valet/config/1\naccounts:\n- name: default\n  groups: [{ name: Ops }]');
    expect(await run(strict, 'config', 'apply', group)).toMatchObject({ code: 0, err: '' });
  });
});

const usersOf = async (rig: Rig): Promise<string[]> =>
  (await rig.manage('GET', '/users')).users.map((user: Json) => user.user_id);

/** Ids of users are drawn; where one stands in an answer, its place in the list counts. */
function withoutUsers(value: Json, ids: ReadonlyMap<string, number>): Json {
  const text = JSON.stringify(value).replace(/cred_\w+/g, 'cred_');
  return JSON.parse([...ids].reduce((all, [id, at]) => all.replaceAll(id, `user ${at}`), text));
}

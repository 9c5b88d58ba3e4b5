// ISO-1, management plane: every REST route, asked by every kind of credential of two accounts about objects of its own, of another user, of
// another account, and about none. Statuses come from a table written from the contract; bodies, logs and rows are searched for what is not theirs.
import { randomBytes } from 'node:crypto';
import { routes } from '@mcp-valet/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestDatabase, testDatabases } from '../support/database.ts';
import { type Caller, headerCallers } from './support/callers.ts';
import { dumpTables, withReader } from './support/dump.ts';
import { Marks } from './support/marks.ts';
import type { Rule, Subject } from './support/rest-rule.ts';
import { expectedStatus, restRules } from './support/rest-rules.ts';
import { inParallel, type Received } from './support/wire.ts';
import { buildWorld, type World, type WorldAccount } from './support/world.ts';

interface Cell {
  rule: Rule;
  caller: Caller;
  subject: Subject;
  status: number;
}

let unique = 0;
const nextUnique = () => `cell${++unique}x${randomBytes(4).toString('hex')}`;
const ruleName = (rule: Rule) => (rule.note === undefined ? rule.route : `${rule.route} (${rule.note})`);
const cellName = ({ rule, caller, subject }: Cell) =>
  `${ruleName(rule)} by ${caller.name} about ${subject.user ?? 'nobody'} of ${subject.account ?? 'nowhere'}`;

/** Well-formed, and given to nobody. */
const noLink = `http://127.0.0.1/connect/${'A'.repeat(43)}`;

const userSubject = ({ spareAccounts }: World, account: WorldAccount, username: 'alice' | 'bob'): Subject => ({
  account: account.name,
  user: username,
  userId: account.users[username].id,
  credentialId: account.users[username].credentials.demo,
  keyId: account.users[username].keyId,
  tokenId: account.users[username].tokenId,
  spareAccounts,
  limitId: account.limitId,
  groupId: account.groupId,
  issuerId: account.issuerId,
  serverId: account.servers.connect.id,
  connectorId: account.ownConnector,
  secretName: 'TOKEN',
  connectUrl: noLink,
  unique: '',
});
const missingIn = ({ spareAccounts }: World): Subject => ({
  account: null,
  user: null,
  userId: 'usr_0000000000000000000000',
  credentialId: 'cred_0000000000000000000000',
  keyId: 'key_0000000000000000000000',
  tokenId: 'key_0000000000000000000000',
  spareAccounts,
  limitId: 'lim_0000000000000000000000',
  groupId: 'grp_0000000000000000000000',
  issuerId: 'iss_0000000000000000000000',
  serverId: 'nowhere-00000000',
  connectorId: 'nowhere',
  secretName: 'TOKEN',
  connectUrl: noLink,
  unique: '',
});

describe.each(testDatabases())('isolation of REST routes on $kind', ({ kind, open }) => {
  let database: TestDatabase;
  let world: World;
  let callers: Caller[];
  let marks: Marks;
  let missing: Subject;
  const problems: string[] = [];
  let cells = 0;

  beforeAll(async () => {
    database = await open();
    world = await buildWorld(database);
    missing = missingIn(world);
    callers = headerCallers(world, 403);
    marks = new Marks(world);
    // Whoever made the other account may know that it is there.
    marks.said({ kind: 'adm', account: 'a' }, world.b.id);
  });
  afterAll(() => world?.close());

  const subjects = () => [
    userSubject(world, world.a, 'alice'),
    userSubject(world, world.a, 'bob'),
    userSubject(world, world.b, 'alice'),
    missing,
  ];

  function planCells(): Cell[] {
    return restRules.flatMap((rule) =>
      (rule.about === null ? [missing] : subjects()).flatMap((subject) =>
        callers.map((caller) => ({ rule, caller, subject, status: expectedStatus(rule, caller.identity, subject) })),
      ),
    );
  }

  async function run(cell: Cell): Promise<Received> {
    const { rule, caller } = cell;
    const subject = { ...cell.subject, unique: nextUnique() };
    const path = rule.path(subject);
    const body = rule.body === undefined ? undefined : JSON.stringify(rule.body(subject));
    marks.said(caller.identity, `${path} ${body ?? ''}`);
    const headers = [...caller.headers, ...(body === undefined ? [] : ['content-type', 'application/json'])];
    const answer = await world.wire.send({ method: rule.method, path, headers, body });
    cells++;
    const everything = `${answer.text} ${JSON.stringify(answer.headers)}`;
    const note = (problem: string) => void problems.push(`${cellName(cell)}: ${problem}`);
    if (answer.status !== cell.status) note(`${answer.status} instead of ${cell.status}: ${answer.text.slice(0, 300)}`);
    const leak = world.canaries.find(everything);
    if (leak !== undefined) note(`shows a secret: ${leak}`);
    const foreign = marks.foreign(caller.identity, everything);
    if (foreign.length > 0) note(`shows ${foreign.join(', ')}`);
    return answer;
  }

  const report = () => expect(problems.splice(0).slice(0, 40)).toEqual([]);
  const rowsThatCount = () =>
    withReader(database, world.rig.gateway.gateway.parts.db, (read) =>
      dumpTables(read, [
        'accounts',
        'users',
        'servers',
        'connectors',
        'credentials',
        'secrets',
        'data_keys',
        'claims',
        'connect_requests',
        'account_settings',
        'issuers',
        'user_identities',
        'revoked_tokens',
      ]).then(async (lines) => [
        ...lines,
        ...(await read(`select to_jsonb(k) - 'last_used_at' as key from api_keys k order by id`)).map((row) =>
          JSON.stringify(row['key']),
        ),
      ]),
    );

  it('has a rule for every route of the contract', () => {
    const known = new Set(restRules.map(({ route }) => route));
    expect(routes.map(({ id }) => id).filter((id) => !known.has(id))).toEqual([]);
  });

  it('serves no route that neither the contract nor the MCP endpoints name', () => {
    const { app } = world.rig.gateway.gateway;
    const served = registeredRoutes(app.printRoutes({ commonPrefix: false, includeMeta: false }));
    const known = new Set(routes.map(({ route }) => `${route.method} ${route.path.replace(/\{(\w+)\}/g, ':$1')}`));
    for (const path of ['/mcp', '/mcp/:serverId', '/mcp/:serverId/:accessToken'])
      for (const method of ['POST', 'GET', 'DELETE']) known.add(`${method} ${path}`);
    // The pages of a sign-in, for browsers.
    for (const page of ['GET /connect/:id', 'POST /connect/:id', 'GET /oauth/callback', 'GET /oauth/client.json'])
      known.add(page);
    // The dashboard: its page for anybody, and the session, whose routes test/dashboard/session.test.ts attacks.
    for (const page of [
      'GET /admin',
      'GET /admin*',
      'POST /admin/session',
      'GET /admin/session',
      'DELETE /admin/session',
    ])
      known.add(page);
    // Where users of an MCP endpoint sign in (RFC 9728), for anybody.
    for (const path of ['/mcp', '/mcp/:serverId']) known.add(`GET /.well-known/oauth-protected-resource${path}`);
    expect(served.length).toBeGreaterThan(40);
    expect(served.filter((route) => !known.has(route) && !route.startsWith('HEAD '))).toEqual([]);
  });

  it('refuses every cell that the table refuses, and changes nothing by it', async () => {
    const before = await rowsThatCount();
    const all = planCells().filter((cell) => cell.status >= 400);
    // Decided before any engine is asked, nearly all of them: the slower one repeats every other.
    const refused = kind === 'postgres' ? all : all.filter((_, at) => at % 2 === 0);
    await inParallel(refused, 16, async (cell) => void (await run(cell)));
    report();
    expect(all.length).toBeGreaterThan(2_000);
    expect(await rowsThatCount()).toEqual(before);
  }, 240_000);

  it('answers every read that the table allows, with nothing of anybody else', async () => {
    const reads = planCells().filter((cell) => cell.status < 400 && !cell.rule.changes);
    await inParallel(reads, 16, async (cell) => void (await run(cell)));
    report();
    expect(reads.length).toBeGreaterThan(200);
  }, 180_000);

  it('carries out every change that the table allows', async () => {
    // Each on objects of its own, so one subject per rule and caller is enough. The embedded engine takes its time: it carries out every third.
    const seen = new Set<string>();
    const allowed = planCells().filter(({ status, rule, caller }) => {
      const name = `${ruleName(rule)} ${caller.name}`;
      if (status >= 400 || !rule.changes || seen.has(name)) return false;
      return seen.add(name);
    });
    const changes = kind === 'postgres' ? allowed : allowed.filter((_, at) => at % 3 === 0);
    await inParallel(changes, 8, async (cell) => {
      const { identity } = cell.caller;
      if (identity.kind === 'nobody') throw new Error('nobody may change anything');
      const account = world[identity.account];
      const fresh =
        cell.rule.about === null
          ? cell.subject
          : await freshSubject(world, account, identity.kind === 'std' ? identity.user : undefined);
      await run({ ...cell, subject: fresh });
    });
    report();
    expect(changes.length).toBeGreaterThan(kind === 'postgres' ? 180 : 60);
  }, 180_000);

  it('answers for foreign and missing objects with the same bytes', async () => {
    const different: string[] = [];
    const bare = ({ status, text, headers }: Received) =>
      JSON.stringify([
        status,
        text.replace(/req_[0-9A-Za-z]+/g, 'req'),
        headers['x-should-retry'],
        headers['cache-control'],
        headers['content-type'],
      ]);
    const about = restRules.filter((rule) => rule.about !== null);
    for (const caller of callers.filter(({ identity }) => identity.kind !== 'nobody')) {
      const { identity } = caller;
      const foreign =
        identity.kind !== 'nobody' && identity.account === 'a'
          ? userSubject(world, world.b, 'alice')
          : userSubject(world, world.a, 'alice');
      await inParallel(about, 8, async (rule) => {
        const [theirs, none] = [
          await run({ rule, caller, subject: foreign, status: expectedStatus(rule, identity, foreign) }),
          await run({ rule, caller, subject: missing, status: expectedStatus(rule, identity, missing) }),
        ];
        if (bare(theirs) !== bare(none))
          different.push(`${ruleName(rule)} by ${caller.name}: ${bare(theirs)} / ${bare(none)}`);
      });
    }
    report();
    expect(different).toEqual([]);
  }, 180_000);

  it('answers for every bad credential with the same bytes', async () => {
    const bad = callers.filter(({ identity }) => identity.kind === 'nobody' && identity.refused === 401);
    const bodies = new Set<string>();
    for (const { headers } of bad) {
      const answer = await world.wire.send({ method: 'GET', path: '/api/me', headers });
      bodies.add(
        JSON.stringify([
          answer.status,
          answer.text.replace(/req_[0-9A-Za-z]+/g, 'req'),
          answer.headers['www-authenticate'],
        ]),
      );
    }
    expect(bad.length).toBeGreaterThan(8);
    expect([...bodies]).toHaveLength(1);
  });

  it('sends an opened secret to the upstream of its connector only, and only for its user', () => {
    const wrong = [...world.upstreams.demo.recorded, ...world.upstreams.notes.recorded].flatMap((request) => {
      const owners = world.canaries.ownersIn(
        `${request.url} ${JSON.stringify(request.headers)} ${request.body.toString()}`,
      );
      return owners.length > 1 ? [owners.join(' and ')] : [];
    });
    expect(world.upstreams.demo.recorded.length).toBeGreaterThan(10);
    expect(wrong).toEqual([]);
  });

  it('keeps secrets and tokens out of every log line and every row', async () => {
    const lines = await withReader(database, world.rig.gateway.gateway.parts.db, (read) => dumpTables(read));
    const leaks = lines.flatMap((line) => {
      const found = world.canaries.find(line) ?? world.tokens.find((token) => line.includes(token));
      return found === undefined ? [] : [`${found} in ${line.slice(0, 200)}`];
    });
    expect(lines.length).toBeGreaterThan(500);
    expect(leaks).toEqual([]);
    expect(world.log.lines).toBeGreaterThan(2_000);
    expect(world.log.leaks).toEqual([]);
    expect(cells).toBeGreaterThan(2_500);
  });
});

/** Objects of their own for one change: what it deletes nobody else asks about. */
async function freshSubject(world: World, account: WorldAccount, own: string | undefined): Promise<Subject> {
  const manage = (method: string, path: string, body?: unknown) => world.rig.manage(method, path, body, account.admin);
  const name = nextUnique();
  const username = own ?? name;
  const user = own === undefined ? await manage('POST', '/users', { username }) : await manage('GET', `/users/${own}`);
  const key = own === undefined ? await manage('POST', `/users/${username}/keys`, { key_name: name }) : { key_id: '' };
  const fields = { TOKEN: world.canaries.make(`${account.name}/${username}/fresh`) };
  const credential = await manage('POST', '/api/credentials', {
    userId: username,
    connectorId: 'demo',
    authenticationType: 'secrets',
    fields,
    isDefault: own === undefined,
  });
  await manage('POST', '/secrets/set', { username, serverName: 'demo', secretName: name, secretValue: fields.TOKEN });
  const server = await manage('POST', '/api/servers', { name });
  const connector = await manage('POST', '/api/connectors', {
    connectorId: name,
    kind: 'mcp-http',
    url: world.upstreams.demo.url,
  });
  const issuer = await manage('POST', '/api/issuers', {
    type: 'jwt',
    name,
    issuer: `https://${name}.test`,
    audience: ['valet'],
    sharedSecret: true,
  });
  await manage('POST', '/api/identities', { issuerId: issuer.issuerId, subject: user.user_id, userId: user.user_id });
  const token = await manage('POST', '/api/tokens', { userId: user.user_id });
  const limit = await manage('POST', '/api/limits', { userId: user.user_id, max: 1_000_000, window: 60 });
  const group = await manage('POST', '/api/groups', { name, userIds: [user.user_id] });
  const { credentialId } = credential;
  const { oauthUrl } = await manage('POST', `/api/credentials/${credentialId}/connect`);
  return {
    account: account.name,
    user: username,
    userId: user.user_id,
    credentialId,
    keyId: key.key_id,
    tokenId: token.tokenId,
    spareAccounts: world.spareAccounts,
    limitId: limit.limitId,
    groupId: group.groupId,
    issuerId: issuer.issuerId,
    serverId: server.serverId,
    connectorId: connector.connectorId,
    secretName: name,
    connectUrl: oauthUrl,
    unique: '',
  };
}

/** `METHOD /path` of every leaf that Fastify's router prints. */
function registeredRoutes(printed: string): string[] {
  const stack: string[] = [];
  return printed.split('\n').flatMap((line) => {
    const match = /^([│ ]*)(?:├──|└──) (\S+?)(?: \(([A-Z, ]+)\))?\s*$/u.exec(line);
    if (match === null) return [];
    const depth = (match[1]?.length ?? 0) / 4;
    stack.length = depth;
    stack.push(match[2] ?? '');
    const path = stack.join('');
    return (match[3]?.split(', ') ?? []).map((method) => `${method} ${path}`);
  });
}

// ISO-1, call plane: every MCP endpoint in every form, asked by every kind of credential for every way to name a user. The oracle stands at
// the upstream: a call that must run arrives there with exactly its effective user's canary, one that must not run does not arrive.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestDatabase, testDatabases } from '../support/database.ts';
import type { RecordedRequest } from '../support/recorded-request.ts';
import { type Caller, headerCallers, type Identity, madeUpToken, urlIdentity } from './support/callers.ts';
import { dumpTables, withReader } from './support/dump.ts';
import { Marks } from './support/marks.ts';
import { type Naming, namings, type Place, type Verdict, verdict } from './support/mcp-rules.ts';
import { inParallel, json, type Received } from './support/wire.ts';
import { buildWorld, type ConnectorName, connectorIds, serverNames, type World } from './support/world.ts';

interface Cell {
  caller: Caller;
  place: Place;
  path: string;
  headers?: readonly string[];
  naming: Naming;
  expected: Verdict;
}
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape; whoever asks says what it reads of one
type Rpc = { result?: Record<string, any>; error?: { code: number; data?: Record<string, unknown> } };

const reads: [string, Record<string, unknown>?][] = [
  ['initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } }],
  ['ping'],
  ['prompts/list'],
  ['resources/list'],
  ['resources/templates/list'],
  ['tools/list'],
];
const json16 = (n: number) => n.toString(16);

describe.each(testDatabases())('isolation of MCP endpoints on $kind', ({ open }) => {
  let database: TestDatabase;
  let world: World;
  let marks: Marks;
  const problems: string[] = [];
  const expectedAt = new Map<string, { connector: ConnectorName; verdict: Verdict; cell: string }>();
  let cells = 0;

  beforeAll(async () => {
    database = await open();
    world = await buildWorld(database);
    marks = new Marks(world);
  });
  afterAll(() => world?.close());

  const nameOf = ({ caller, path, naming }: Cell) =>
    `${caller.name} at ${path.replace(/mcpv_\w+/, 'token')} naming ${naming.name}`;
  const usesOwnTools = (place: Place) =>
    place.at === 'aggregate' || (place.at === 'server' && place.server === 'direct');

  async function ask(
    cell: Cell,
    method: string,
    params: Record<string, unknown> | undefined,
  ): Promise<{ answer: Received; rpc: Rpc }> {
    const { caller, path, naming, headers = [] } = cell;
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, ...(params && { params }) });
    const named = naming.header === undefined ? [] : ['x-alloy-userid', naming.header];
    marks.said(caller.identity, `${path} ${naming.header} ${body}`);
    const answer = await world.wire.send({
      method: 'POST',
      path,
      headers: ['content-type', 'application/json', ...caller.headers, ...headers, ...named],
      body,
    });
    cells++;
    const rpc = (json(answer.text) ?? {}) as Rpc;
    const text = `${answer.text} ${JSON.stringify(answer.headers)}`;
    const note = (problem: string) =>
      void problems.push(`${nameOf(cell)} ${method}: ${problem}: ${answer.status} ${answer.text.slice(0, 240)}`);
    const leak = world.canaries.find(text);
    if (leak !== undefined) note(`shows a secret ${leak}`);
    const as = cell.expected.kind === 'runs' ? cell.expected.as : undefined;
    const foreign = marks.foreign(caller.identity, text, as);
    if (foreign.length > 0) note(`shows ${foreign.join(', ')}`);
    if (cell.expected.kind === 'refused') {
      if (answer.status !== cell.expected.status) note(`not ${cell.expected.status}`);
      if (rpc.result !== undefined || rpc.error === undefined) note('not a JSON-RPC error');
      if (cell.expected.code !== undefined && rpc.error?.data?.['code'] !== cell.expected.code)
        note(`not ${cell.expected.code}`);
      if (typeof rpc.error?.data?.['requestId'] !== 'string') note('without a request id');
    } else if (cell.expected.kind === 'runs') {
      if (answer.status !== 200 || rpc.result === undefined) note('did not run');
    } else if (method !== 'tools/call' && rpc.error?.data?.['code'] !== 'FORBIDDEN') note('not FORBIDDEN');
    return { answer, rpc };
  }

  async function callWhoami(cell: Cell, connector: ConnectorName): Promise<void> {
    const marker = `call${json16(expectedAt.size)}z`;
    expectedAt.set(marker, { connector, verdict: cell.expected, cell: nameOf(cell) });
    const params = usesOwnTools(cell.place)
      ? { name: `${connector}__whoami`, arguments: { marker } }
      : {
          name: 'execute_action_alloy',
          arguments: { connectorId: connector, actionId: 'whoami', parameters: { marker } },
        };
    const { rpc } = await ask(cell, 'tools/call', params);
    if (cell.expected.kind === 'runs' && rpc.result?.['isError'] === true)
      problems.push(`${nameOf(cell)}: ${JSON.stringify(rpc.result).slice(0, 300)}`);
    if (cell.expected.kind === 'not-on-server' && rpc.result?.['isError'] !== true)
      problems.push(`${nameOf(cell)}: ran on a server that is closed to it`);
  }

  /** What arrived, checked against what should have: who it was for, and that nothing else came. */
  function checkUpstreams(): void {
    const arrived = new Map<string, number>();
    for (const connector of connectorIds) {
      for (const request of world.upstreams[connector].recorded) {
        const text = textOf(request);
        const owners = world.canaries.ownersIn(text);
        const marker = /"(call[0-9a-f]+z)"/.exec(request.body.toString())?.[1];
        if (owners.some((owner) => !owner.endsWith(`/${connector}`)) || owners.length > 1)
          problems.push(`${connector} was sent secrets of ${owners.join(' and ')}`);
        if (world.tokens.some((token) => text.includes(token))) problems.push(`${connector} was sent an inbound token`);
        if (marker === undefined) continue;
        const expected = expectedAt.get(marker);
        arrived.set(marker, (arrived.get(marker) ?? 0) + 1);
        if (expected?.verdict.kind !== 'runs') {
          problems.push(`${expected?.cell}: arrived at the upstream though ${JSON.stringify(expected?.verdict)}`);
          continue;
        }
        const { as, account } = expected.verdict;
        const want = `${world[account].users[as].mark}/${connector}`;
        if (owners[0] !== want) problems.push(`${expected.cell}: arrived as ${owners[0]} instead of ${want}`);
      }
    }
    for (const [marker, { verdict: wanted, cell }] of expectedAt) {
      const count = arrived.get(marker) ?? 0;
      if (wanted.kind === 'runs' && count !== 1) problems.push(`${cell}: arrived ${count} times`);
    }
  }

  const report = () => expect(problems.splice(0).slice(0, 20)).toEqual([]);
  const plan = (
    callers: readonly Caller[],
    places: readonly { place: Place; path: string; headers?: readonly string[] }[],
    names: readonly Naming[],
  ): Cell[] =>
    callers.flatMap((caller) =>
      places.flatMap((place) =>
        names.map((naming) => ({ caller, ...place, naming, expected: verdict(caller.identity, place.place, naming) })),
      ),
    );

  async function runAll(planned: readonly Cell[]): Promise<void> {
    await inParallel(planned, 16, async (cell, index) => {
      await callWhoami(
        cell,
        cell.place.at === 'server' && cell.place.server === 'narrow'
          ? 'demo'
          : (connectorIds[index % 2] as ConnectorName),
      );
      const [method, params] = reads[index % reads.length] as [string, Record<string, unknown>?];
      await ask(cell, method, params);
    });
  }

  it('runs each call with a key in a header as the user whom the contract names, or not at all', async () => {
    const servers = (['a', 'b'] as const).flatMap((account) =>
      serverNames.map((server) => ({
        place: { at: 'server', account, server } as Place,
        path: `/mcp/${world[account].servers[server].id}`,
      })),
    );
    const others = [
      { place: { at: 'aggregate' } as Place, path: '/mcp' },
      {
        place: { at: 'server', account: 'a', server: 'direct' } as Place,
        path: '/mcp',
        headers: ['x-mcp-server-id', world.a.servers.direct.id],
      },
      { place: { at: 'missing' } as Place, path: '/mcp/nowhere-00000000' },
      { place: { at: 'missing' } as Place, path: `/mcp/${world.a.dead.deletedServer}` },
    ];
    const [good, bad] = [
      headerCallers(world, 401).filter(isSomebody),
      headerCallers(world, 401).filter((caller) => !isSomebody(caller)),
    ];
    const planned = [
      ...plan(good, [...servers, ...others], namings(world)),
      ...plan(
        bad.filter(({ name }) => name !== 'two user headers'),
        [...servers.slice(0, 2), ...others],
        namings(world).slice(0, 2),
      ),
    ];
    await runAll(planned);
    checkUpstreams();
    report();
    expect(planned.length).toBeGreaterThan(1_000);
  }, 120_000);

  it('runs each call with a token in the path as the contract says, on its own server only', async () => {
    const planned: Cell[] = [];
    for (const account of ['a', 'b'] as const) {
      for (const server of serverNames) {
        const { id, token } = world[account].servers[server];
        const caller = {
          name: `token of ${server} in ${account}`,
          identity: urlIdentity(world[account], server),
          headers: [],
        };
        const at = (of: 'a' | 'b', name: (typeof serverNames)[number]) => ({
          place: { at: 'server', account: of, server: name } as Place,
          path: `/mcp/${world[of].servers[name].id}/${token}`,
        });
        planned.push(...plan([caller], [at(account, server)], namings(world)));
        const wrong = [
          at(account, server === 'direct' ? 'connect' : 'direct'),
          at(account === 'a' ? 'b' : 'a', server),
          { place: { at: 'missing' } as Place, path: `/mcp/nowhere-00000000/${token}` },
        ];
        planned.push(...plan([caller], wrong, namings(world).slice(0, 2)));
        const both = {
          ...caller,
          name: `${caller.name} and a key`,
          identity: { kind: 'nobody', refused: 400 } as Identity,
          headers: ['authorization', `Bearer ${world[account].users.alice.key}`],
        };
        planned.push(
          ...plan(
            [both],
            [{ place: at(account, server).place, path: `/mcp/${id}/${token}` }],
            namings(world).slice(0, 2),
          ),
        );
      }
    }
    const { a } = world;
    const dead = [
      a.dead.rotatedUrl,
      a.dead.expiredUrl,
      a.dead.deletedUrl,
      `/mcp/${a.servers.connect.id}/${madeUpToken('url')}`,
      `/mcp/${a.servers.connect.id}/garbage`,
      `/mcp/${a.servers.connect.id}/${a.admin}`,
      `/mcp/${a.servers.connect.id}/${a.users.alice.key}`,
    ];
    const nobody: Caller = {
      name: 'a dead or misplaced token',
      identity: { kind: 'nobody', refused: 401 },
      headers: [],
    };
    planned.push(
      ...plan(
        [nobody],
        dead.map((path) => ({ place: { at: 'missing' } as Place, path })),
        namings(world).slice(0, 2),
      ),
    );
    await runAll(planned);
    checkUpstreams();
    report();
    expect(planned.length).toBeGreaterThan(150);
  }, 60_000);

  it('uses no credential of another user or account, however it is named', async () => {
    const cases: { caller: Caller; wish: string }[] = headerCallers(world, 401)
      .filter(isSomebody)
      .flatMap((caller) => {
        const { a, b } = world;
        const own = caller.identity as { account: 'a' | 'b'; kind: string; user?: string };
        const foreign = [a.users.bob, a.users.carol, b.users.bob, b.users.carol, a.users.dora].filter(
          ({ username, mark }) => !(mark.startsWith(world[own.account].mark) && username === (own.user ?? 'default')),
        );
        return [...foreign.map(({ credentials }) => credentials.demo), 'cred_0000000000000000000000'].map((wish) => ({
          caller,
          wish,
        }));
      });
    let refused = 0;
    await inParallel(cases, 8, async ({ caller, wish }) => {
      for (const [headers, argument] of [
        [['x-credential-id', wish], {}],
        [[], { credentialId: wish }],
      ] as const) {
        const server = world[(caller.identity as { account: 'a' | 'b' }).account].servers.connect;
        const expected: Verdict = { kind: 'not-on-server' };
        const marker = `call${json16(expectedAt.size)}z`;
        expectedAt.set(marker, { connector: 'demo', verdict: expected, cell: `${caller.name} wishing for ${wish}` });
        const naming = namings(world)[0] as Naming;
        const cell: Cell = { caller, place: { at: 'aggregate' }, path: `/mcp/${server.id}`, headers, naming, expected };
        const args = { connectorId: 'demo', actionId: 'whoami', parameters: { marker }, ...argument };
        const { rpc } = await ask(cell, 'tools/call', { name: 'execute_action_alloy', arguments: args });
        if (JSON.parse(rpc.result?.['content']?.[0]?.text ?? '{}').code === 'CREDENTIALS_REQUIRED') refused++;
      }
    });
    checkUpstreams();
    report();
    expect(refused).toBe(cases.length * 2);
  }, 60_000);

  it("lists only the effective user's own credentials", async () => {
    const { a, rig } = world;
    for (const username of ['alice', 'bob', 'carol'] as const) {
      const answer = await rig.rpc(
        `/mcp/${a.servers.connect.id}`,
        { method: 'tools/call', params: { name: 'get_credentials_alloy', arguments: {} } },
        { key: a.enterprise, headers: { 'x-alloy-userid': username } },
      );
      const shown = answer.body.result.structuredContent.credentials.map(
        ({ credentialId }: { credentialId: string }) => credentialId,
      );
      expect(shown.sort()).toEqual(Object.values(a.users[username].credentials).sort());
    }
  });

  it('records every refused attempt to act for somebody, and keeps secrets out of journal, audit trail and log', async () => {
    const { db } = world.rig.gateway.gateway.parts;
    const lines = await withReader(database, db, (read) => dumpTables(read));
    const leaks = lines.filter(
      (line) => world.canaries.find(line) !== undefined || world.tokens.some((token) => line.includes(token)),
    );
    expect(leaks.map((line) => line.slice(0, 300))).toEqual([]);
    expect(world.log.leaks).toEqual([]);
    const refused = await world.rig.manage('GET', '/api/audit?action=user.override&outcome=refused&limit=1000');
    const attempts = new Set(refused.events.map(({ attemptedUser }: { attemptedUser: string }) => attemptedUser));
    for (const name of ['bob', 'dora', 'nobody-here', 'alice, bob']) expect(attempts).toContain(name);
    expect(cells).toBeGreaterThan(2_500);
  });
});

const isSomebody = ({ identity }: Caller) => identity.kind !== 'nobody';
const textOf = (request: RecordedRequest) =>
  `${request.url} ${decodeURIComponent(request.url.replaceAll('+', '%20'))} ${JSON.stringify(request.rawHeaders)} ${request.rawHeaders.join(' ')} ${request.body.toString()}`;

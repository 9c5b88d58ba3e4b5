// NET-1 on the call plane: thousands of generated JSON-RPC messages, and what is none, on every form of MCP endpoint and on the direct tool
// call. No 5xx, no crash, no unhandled rejection; each answer is JSON-RPC and each refusal has a code and the request's id.
import { contract } from '@mcp-valet/shared';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { openTestDatabase } from '../support/database.ts';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';
import { restFault, rpcFault } from './support/envelopes.ts';
import { almost, bodies, contentTypes, headerLists, queries, segments } from './support/garbage.ts';
import { messages, modernRequests } from './support/rpc-garbage.ts';
import { inParallel, json, type Sent, Wire } from './support/wire.ts';
import { noLimits } from './support/world.ts';

const messagesPerEndpoint = 1_200;
const seed = Number(process.env['VALET_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

describe('garbage on MCP routes', () => {
  let rig: Rig;
  let fixtures: Fixtures;
  let wire: Wire;
  let direct: { serverId: string; accessToken: string };
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);

  beforeAll(async () => {
    process.on('unhandledRejection', note);
    rig = await startRig({
      database: await openTestDatabase('postgres'),
      env: { ...noLimits, LOG_LEVEL: 'trace' },
      logDestination: { write: () => undefined },
    });
    fixtures = await addFixtures(rig);
    direct = await rig.manage('POST', '/api/servers', { name: 'direct', mode: 'direct' });
    wire = new Wire(rig.url, 16);
  });
  afterAll(async () => {
    process.off('unhandledRejection', note);
    await wire?.close();
    await rig?.close();
    await fixtures?.close();
  });

  const shown = (sent: Sent) =>
    `${sent.method} ${sent.path.replace(/mcpv_\w+/, 'token').slice(0, 90)} ${JSON.stringify(sent.headers?.filter((text) => !text.startsWith('Bearer'))).slice(0, 200)} ${String(sent.body).slice(0, 300)}`;

  async function check(sample: readonly Sent[], fault: typeof rpcFault): Promise<Map<number, number>> {
    const faults: string[] = [];
    const statuses = new Map<number, number>();
    await inParallel(sample, 16, async (sent) => {
      const answer = await wire.send(sent);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      const problem = fault(answer);
      if (problem !== undefined)
        faults.push(`${shown(sent)}: ${problem}: ${answer.status} ${answer.text.slice(0, 200)}`);
    });
    expect(faults.slice(0, 10), `seed ${seed}`).toEqual([]);
    return statuses;
  }

  it('answers every message on every endpoint as JSON-RPC, and never with a 5xx', async () => {
    const { home } = fixtures;
    const all = new Map<number, number>();
    const endpoints = [
      { path: '/mcp', isOpen: false },
      { path: `/mcp/${home.server.serverId}`, isOpen: false },
      { path: `/mcp/${direct.serverId}`, isOpen: false },
      { path: `/mcp/${home.server.serverId}/${home.server.accessToken}`, isOpen: true },
      { path: `/mcp/${direct.serverId}/${direct.accessToken}`, isOpen: true },
    ];
    for (const { path, isOpen } of endpoints) {
      const keys = isOpen ? [undefined] : [home.admin, home.alice.key, home.enterprise, 'garbage'];
      const requests = fc.tuple(bodies(messages), headerLists, contentTypes, fc.constantFrom(...keys)).map(
        ([body, headers, type, key]): Sent => ({
          method: 'POST',
          path,
          headers: [...(key === undefined ? [] : ['authorization', `Bearer ${key}`]), 'content-type', type, ...headers],
          body,
        }),
      );
      const modern = fc.tuple(modernRequests, fc.constantFrom(...keys)).map(
        ([{ body, headers }, key]): Sent => ({
          method: 'POST',
          path,
          headers: [
            ...(key === undefined ? [] : ['authorization', `Bearer ${key}`]),
            'content-type',
            'application/json',
            ...headers,
          ],
          body,
        }),
      );
      const sample = fc.sample(fc.oneof({ weight: 3, arbitrary: requests }, { weight: 1, arbitrary: modern }), {
        numRuns: messagesPerEndpoint,
        seed,
      });
      const statuses = await check(sample, rpcFault);
      for (const [status, count] of statuses) all.set(status, (all.get(status) ?? 0) + count);
    }
    expect([...all.values()].reduce((sum, count) => sum + count, 0)).toBe(messagesPerEndpoint * endpoints.length);
    expect(all.get(200) ?? 0).toBeGreaterThan(200);
    expect(all.get(400) ?? 0).toBeGreaterThan(200);
  }, 120_000);

  it('answers odd paths and methods of MCP endpoints as JSON-RPC', async () => {
    const { home } = fixtures;
    const names = segments([home.server.serverId, direct.serverId, 'nowhere']);
    const paths = fc.oneof(
      names.map((name) => `/mcp/${name}`),
      fc.tuple(names, segments(['garbage'])).map(([name, token]) => `/mcp/${name}/${token}`),
      fc.constant('/mcp'),
    );
    const requests = fc
      .tuple(paths, queries([]), fc.constantFrom('POST', 'GET', 'DELETE'), headerLists, bodies(messages))
      .map(
        ([path, query, method, headers, body]): Sent => ({
          method,
          path: path + query,
          headers: ['authorization', `Bearer ${home.admin}`, 'content-type', 'application/json', ...headers],
          body: method === 'POST' ? body : undefined,
        }),
      );
    const sample = fc
      .sample(requests, { numRuns: 600, seed })
      .filter(({ path }) => !/^\/mcp\/(tool\/call|%2e%2e|\.\.?)(\?|$)/.test(path) && !/^\/mcp\/(\?|$|\/)/.test(path));
    // Ids that no database can hold: found here once, sent every time since.
    for (const id of ['%00', 'a%00b', '%EF%BF%BF', '%ED%A0%80'])
      sample.push({
        method: 'POST',
        path: `/mcp/${id}`,
        headers: ['authorization', `Bearer ${home.admin}`, 'content-type', 'application/json'],
        body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
      });
    await check(sample, rpcFault);
    expect(sample.length).toBeGreaterThan(500);
  }, 60_000);

  it('answers the direct tool call in its own envelope', async () => {
    const { home } = fixtures;
    const body = bodies(
      almost(z.toJSONSchema(contract.tools.call.body, { io: 'input', unrepresentable: 'any' }) as object),
    );
    const requests = fc.tuple(body, headerLists, contentTypes, fc.constantFrom(home.admin, home.alice.key)).map(
      ([content, headers, type, key]): Sent => ({
        method: 'POST',
        path: '/mcp/tool/call',
        headers: ['authorization', `Bearer ${key}`, 'content-type', type, ...headers],
        body: content,
      }),
    );
    const statuses = await check(fc.sample(requests, { numRuns: 1_500, seed }), restFault);
    expect(statuses.get(400) ?? 0).toBeGreaterThan(50);
  }, 60_000);

  it('echoes ids with their type, and answers null for what cannot be one', async () => {
    const cases: [unknown, unknown][] = [
      [0, 0],
      [-1, -1],
      ['', ''],
      ['1', '1'],
      [1, 1],
      [999_999, 999_999],
      ['__proto__', '__proto__'],
      [1.5, null],
      [true, null],
      [[], null],
      [{}, null],
      [null, null],
    ];
    for (const [sent, expected] of cases) {
      const answer = await wire.send({
        method: 'POST',
        path: '/mcp',
        headers: ['authorization', `Bearer ${fixtures.home.alice.key}`, 'content-type', 'application/json'],
        body: JSON.stringify({ jsonrpc: '2.0', id: sent, method: 'ping' }),
      });
      expect([sent, (json(answer.text) as { id: unknown }).id]).toEqual([sent, expected]);
    }
  });

  it('is alive and well afterwards', async () => {
    const answer = await rig.rpc(
      '/mcp',
      { method: 'tools/call', params: { name: 'demo__echo', arguments: { text: 'still here' } } },
      { key: fixtures.home.alice.key },
    );
    expect(answer.body.result.content[0].text).toBe('still here');
    expect(unhandled).toEqual([]);
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined();
  });
});

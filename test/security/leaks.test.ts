// LOG-1, from the upstream's side: secrets that are said back in every place and encoding, and upstreams that misbehave in ways that make
// software quote what it sent. Searches every answer, every log line at trace level, what is printed, and every row.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { behaviours, encodings } from '../support/hostile-upstream.ts';
import { LeakStage, rpc } from './support/leak-stage.ts';
import { inParallel } from './support/wire.ts';

const places = ['text', 'error', 'structured', 'meta', 'resource', 'link', 'blob', 'rpc-error'];
/** Places that encode what is put there: with another encoding inside, the value has been transformed, which nobody promises to see. */
const encodes = ['link', 'blob'];

describe.each(testDatabases())('secrets that an upstream says back on $kind', ({ kind }) => {
  let stage: LeakStage;

  beforeAll(async () => {
    stage = await LeakStage.open(kind);
  });
  afterAll(() => stage?.close());

  it('takes a secret out of every place and encoding in which an upstream says it back', async () => {
    const before = stage.hostile.recorded.length;
    const cells = ['byheader', 'byquery', 'byargument'].flatMap((id) =>
      places.flatMap((where) =>
        (encodes.includes(where) ? ['raw'] : [undefined, ...Object.keys(encodings)]).map((encoding) => ({
          id,
          where,
          encoding,
        })),
      ),
    );
    await inParallel(
      cells,
      8,
      async ({ id, where, encoding }) =>
        void (await stage.call(`${id}__echo-secrets`, { where, ...(encoding !== undefined && { encoding }) })),
    );
    expect(stage.hostile.recorded.length - before).toBeGreaterThanOrEqual(cells.length);
    expect(stage.leaks.splice(0)).toEqual([]);
  }, 60_000);

  it('takes it out of lists, prompts, resources, completions, notifications and errors', async () => {
    for (const id of stage.echoes.keys()) {
      const name = `echo${id}`;
      for (const method of ['initialize', 'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list']) {
        const params =
          method === 'initialize'
            ? { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }
            : {};
        await stage.provoke({ method: 'POST', path: '/mcp', headers: stage.asAlice, body: rpc(method, params) });
      }
      await stage.call(`${name}__tell`);
      const others: [string, object][] = [
        ['prompts/get', { name: `${name}__tell`, arguments: { topic: 'x' } }],
        ['resources/read', { uri: `${name}+echo://tell` }],
        ['resources/read', { uri: 'echo://tell' }],
        [
          'completion/complete',
          { ref: { type: 'ref/prompt', name: `${name}__tell` }, argument: { name: 'topic', value: 'x' } },
        ],
        ['tools/call', { name: `${name}__tell`, arguments: {}, _meta: { progressToken: 7 } }],
      ];
      for (const [method, params] of others)
        await stage.provoke({
          method: 'POST',
          path: `/mcp/${stage.server.serverId}`,
          headers: stage.asAlice,
          body: rpc(method, params),
        });
      await stage.provoke({
        method: 'GET',
        path: `/api/connectors/${name}/actions?userId=alice`,
        headers: stage.asAdmin,
      });
      await stage.provoke({
        method: 'POST',
        path: `/api/connectors/${name}/refresh?userId=alice`,
        headers: stage.asAdmin,
      });
      await stage.provoke({ method: 'GET', path: `/api/connectors/${name}?userId=alice`, headers: stage.asAdmin });
      await stage.provoke({
        method: 'POST',
        path: '/mcp/tool/call',
        headers: stage.asAlice,
        body: JSON.stringify({ serverName: name, methodName: 'tell', args: {} }),
      });
    }
    for (const { asked } of stage.echoes) expect(asked.get('tools/call') ?? 0).toBeGreaterThanOrEqual(2);
    expect(stage.leaks.splice(0)).toEqual([]);
  }, 60_000);

  it('says nothing of it when an upstream misbehaves in any way', async () => {
    const quick = Object.keys(behaviours).filter((name) => !['huge-json', 'huge-sse'].includes(name));
    await inParallel(
      quick.flatMap((name) => ['byheader', 'byquery'].map((id) => ({ id, name }))),
      12,
      async ({ id, name }) => {
        await stage.call(
          `${id}__${name}`,
          name === 'redirect' ? { location: `http://127.0.0.1:9/${stage.tokens[0]}` } : {},
        );
      },
    );
    for (const id of ['nowhere', 'broken', 'newline', 'foreign-letters']) {
      await stage.call(`${id}__whoami`);
      await stage.provoke({
        method: 'POST',
        path: '/mcp/tool/call',
        headers: stage.asAlice,
        body: JSON.stringify({ serverName: id, methodName: 'whoami', args: {} }),
      });
      await stage.provoke({
        method: 'POST',
        path: `/api/connectors/${id}/refresh?userId=alice`,
        headers: stage.asAdmin,
      });
      await stage.provoke({ method: 'GET', path: `/api/connectors/${id}?userId=alice`, headers: stage.asAdmin });
    }
    await stage.provoke({ method: 'GET', path: '/status', headers: stage.asAdmin });
    expect(stage.hostile.recorded.some(({ headers: sent }) => sent['x-evil'] !== undefined)).toBe(false);
    expect(stage.leaks.splice(0)).toEqual([]);
  }, 60_000);

  it('leaves nothing of it in the log, in what is printed, and in the database', async () => {
    const { found, rows } = await stage.residue();
    expect(found).toEqual([]);
    expect(rows).toBeGreaterThan(150);
    expect(stage.log.lines).toBeGreaterThan(350);
  });

  it('would have noticed: the search finds a canary in each encoding, anywhere in a text', () => {
    const value = stage.canaries.make('control');
    for (const [name, encode] of Object.entries(encodings))
      expect([
        name,
        stage.canaries.find(`${randomBytes(3).toString('hex')}${encode(value)}tail`) !== undefined,
      ]).toEqual([name, true]);
    expect(stage.canaries.find(randomBytes(200).toString('base64'))).toBeUndefined();
  });
});

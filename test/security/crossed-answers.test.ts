// ISO-2: sixty-four clients that all use JSON-RPC id 1 at the same time, for different users, with quick, slow, failing and vanishing calls.
// Every answer names what was asked and was made with the secret of who asked; none is somebody else's.
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { inParallel, json, Wire } from './support/wire.ts';
import { noLimits } from './support/world.ts';

const clients = 64;
const callsPerClient = 40;
const people = 16;

/** A secret of the user's name: shorter than what is scrubbed, so that the upstream's echo shows whose call it was. */
const shortSecret = (index: number) => `s${index.toString(36).padStart(2, '0')}`;

describe.each(testDatabases())('answers to equal ids on $kind', ({ open }) => {
  let rig: Rig;
  let wire: Wire;
  let upstreams: RecordingUpstream[];
  let server: string;
  const keys: string[] = [];

  beforeAll(async () => {
    upstreams = [
      await startRecordingUpstream(),
      await startRecordingUpstream({ modern: true }),
      await startRecordingUpstream({ sse: true }),
    ];
    rig = await startRig({ database: await open(), env: noLimits });
    wire = new Wire(rig.url, clients);
    for (const [index, { url }] of upstreams.entries()) {
      const inject = { headers: { 'x-who': '{{WHO}}' } };
      await rig.manage('POST', '/api/connectors', {
        connectorId: `up${index}`,
        kind: 'mcp-http',
        url,
        secretNames: ['WHO'],
        inject,
      });
    }
    for (let index = 0; index < people; index++) {
      const username = `user${index}`;
      await rig.manage('POST', '/users', { username });
      for (const at of upstreams.keys()) {
        await rig.manage('POST', '/secrets/set', {
          username,
          serverName: `up${at}`,
          secretName: 'WHO',
          secretValue: shortSecret(index),
        });
      }
      keys.push((await rig.manage('POST', `/users/${username}/keys`, { key_name: 'k' })).api_key);
    }
    server = (await rig.manage('POST', '/api/servers', { name: 'direct', mode: 'direct' })).serverId;
  });
  afterAll(async () => {
    await wire?.close();
    await rig?.close();
    await Promise.all(upstreams.map((upstream) => upstream.close()));
  });

  const headersFor = (index: number) =>
    // Half of the clients prove their user by its key, half name it with the admin key.
    index % 2 === 0
      ? ['authorization', `Bearer ${keys[index % people]}`]
      : ['authorization', `Bearer ${rig.admin}`, 'x-alloy-userid', `user${index % people}`];

  interface Result {
    content: { text: string }[];
    isError?: boolean;
  }
  /** What is wrong with the answer, if anything. */
  function fault(
    tool: string,
    mark: string,
    who: string,
    id: unknown,
    answer: { id: unknown; result?: Result; error?: { message: string } },
  ): string | undefined {
    if (answer.id !== id) return `the id ${JSON.stringify(answer.id)} instead of ${JSON.stringify(id)}`;
    if (tool === 'rpc-fail')
      return answer.error?.message === mark ? undefined : `another error than ${mark}: ${JSON.stringify(answer)}`;
    const text = answer.result?.content[0]?.text ?? JSON.stringify(answer);
    if (tool === 'fail')
      return text === mark && answer.result?.isError === true ? undefined : `another failure than ${mark}: ${text}`;
    if (tool === 'slow') return text === `waited ${mark} ms` ? undefined : `another wait than ${mark}: ${text}`;
    if (tool === 'echo') return text === mark ? undefined : `another echo than ${mark}: ${text}`;
    const seen = json(text) as { headers: Record<string, string>; arguments: Record<string, string> };
    return seen?.headers['x-who'] === who && seen.arguments['mark'] === mark
      ? undefined
      : `made for ${who} with ${mark}, answered ${text}`;
  }

  it('never answers one client with what belongs to another', async () => {
    const faults: string[] = [];
    let answered = 0;
    await inParallel(
      Array.from({ length: clients }, (_, index) => index),
      clients,
      async (client) => {
        for (let n = 0; n < callsPerClient; n++) {
          const mark = `${client}.${n}`;
          const at = (client + n) % upstreams.length;
          const tool = (['whoami', 'echo', 'whoami', 'fail', 'whoami', 'rpc-fail', 'echo', 'slow'] as const)[
            (client * 7 + n) % 8
          ] as string;
          const wait = String(1 + ((client * 13 + n * 7) % 40));
          const args = {
            whoami: { mark },
            echo: { text: mark },
            fail: { message: mark },
            'rpc-fail': { message: mark, code: -32602 },
            slow: { ms: Number(wait) },
          }[tool];
          const id = n % 5 === 4 ? '1' : 1;
          const params = { name: `up${at}__${tool === 'rpc-fail' ? 'fail' : tool}`, arguments: args };
          const path = client % 3 === 0 ? '/mcp' : `/mcp/${server}`;
          const body = JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params });
          const answer = await wire.send({
            method: 'POST',
            path,
            headers: ['content-type', 'application/json', ...headersFor(client)],
            body,
          });
          answered++;
          const parsed = json(answer.text) as Parameters<typeof fault>[4];
          const problem =
            answer.status === 200
              ? fault(tool, tool === 'slow' ? wait : mark, shortSecret(client % people), id, parsed)
              : `${answer.status} ${answer.text}`;
          if (problem !== undefined) faults.push(`client ${client}, ${tool}: ${problem}`);
        }
      },
    );
    expect(faults.slice(0, 20)).toEqual([]);
    expect(answered).toBe(clients * callsPerClient);
  }, 120_000);

  it('keeps the answers apart while other clients go away in the middle of their calls', async () => {
    const faults: string[] = [];
    const agent = (client: number) =>
      new Promise<void>((resolve) => {
        const headers = Object.fromEntries(chunked(headersFor(client)));
        const request = httpRequest(`${rig.url}/mcp/${server}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          agent: false,
        });
        request.on('error', () => resolve());
        request.on('close', () => resolve());
        request.end(
          JSON.stringify({
            jsonrpc: '2.0',
            id: 1,
            method: 'tools/call',
            params: { name: 'up0__slow', arguments: { ms: 200 } },
          }),
        );
        setTimeout(() => request.destroy(), 5 + ((client * 11) % 60));
      });
    const steady = async (client: number) => {
      for (let n = 0; n < 12; n++) {
        const mark = `steady ${client}.${n}`;
        const body = JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: 'up0__whoami', arguments: { mark } },
        });
        const answer = await wire.send({
          method: 'POST',
          path: `/mcp/${server}`,
          headers: ['content-type', 'application/json', ...headersFor(client)],
          body,
        });
        const problem = fault(
          'whoami',
          mark,
          shortSecret(client % people),
          1,
          json(answer.text) as Parameters<typeof fault>[4],
        );
        if (problem !== undefined) faults.push(problem);
      }
    };
    const everybody = Array.from({ length: clients }, (_, index) => index);
    await Promise.all(everybody.map((client) => (client % 2 === 0 ? agent(client) : steady(client))));
    expect(faults).toEqual([]);
  }, 60_000);
});

function chunked(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, index) => [
    flat[index * 2] as string,
    flat[index * 2 + 1] as string,
  ]);
}

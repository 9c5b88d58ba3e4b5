// The kept list of tools: per user, server, credential and credential id, for as long as the server says.
import { describe, expect, it, vi } from 'vitest';
import { MCPClient } from '../index.ts';
import { clientOf, type Handler, json, rpcResult, textResult } from '../stand-in.test-support.ts';

const tool = (name: string, more: object = {}) => ({ name, inputSchema: { type: 'object' }, ...more });

/** Lists one tool named after the user who asks. */
const ownTool =
  (extra: object = {}): Handler =>
  (seen, response) =>
    rpcResult(seen, response, { tools: [tool(String(seen.headers['x-alloy-userid']))], ...extra });

const names = (tools: readonly { name: string }[]) => tools.map(({ name }) => name);

describe('the list of tools', () => {
  it('is asked for once and kept, and each user gets their own', async () => {
    const { client, seen } = await clientOf(ownTool());
    const [alice, again, bob] = await Promise.all(
      ['alice', 'alice', 'bob'].map((id) => client.forUser(id).tools.all()),
    );
    expect([names(alice ?? []), names(again ?? []), names(bob ?? [])]).toEqual([['alice'], ['alice'], ['bob']]);
    expect(names(await client.forUser('alice').tools.all())).toEqual(['alice']);
    expect(seen).toHaveLength(2);
  });

  it('is not shared between credentials, servers and credential ids', async () => {
    const { client, seen, url } = await clientOf(ownTool());
    const views = [
      client.forUser('a'),
      client.forUser('a', { server: 's1' }),
      client.forUser('a', { credentialId: 'c1' }),
      client.withOptions({ apiKey: 'other' }).forUser('a'),
      new MCPClient({ baseUrl: url, apiKey: 'k-canary' }).forUser('a'),
    ];
    for (const view of [...views, ...views]) await view.tools.all();
    expect(seen).toHaveLength(views.length);
  });

  it.each([
    ['as long as the server says', { ttlMs: 5000 }, 4900, 5100],
    ['a minute when the server says nothing', {}, 59_000, 61_000],
    ['an hour at most', { ttlMs: 999_999_999 }, 3_599_000, 3_601_000],
  ])('is kept for %s', async (_, extra, still, over) => {
    const { client, seen } = await clientOf(ownTool(extra));
    const { tools } = client.forUser('a');
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      await tools.all();
      vi.advanceTimersByTime(still);
      await tools.all();
      expect(seen).toHaveLength(1);
      vi.advanceTimersByTime(over - still);
      await tools.all();
      expect(seen).toHaveLength(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it('is asked for anew on demand, after a failure, and when a tool of it turns out to be gone', async () => {
    const { client, seen } = await clientOf((s, response, count) => {
      if (count === 1) return json(response, 400, { error: { code: 'INVALID_REQUEST', message: 'no' } });
      if (s.json.method === 'tools/list') return rpcResult(s, response, { tools: [tool('x')] });
      return json(response, 200, { jsonrpc: '2.0', id: s.json.id, error: { code: -32602, message: 'Unknown tool' } });
    });
    const user = client.forUser('a');
    await expect(user.tools.all()).rejects.toMatchObject({ name: 'BadRequestError' });
    await user.tools.all();
    await user.tools.all({ refresh: true });
    expect(seen).toHaveLength(3);
    const mcp = user.asMcpClient();
    expect(await mcp.callTool({ name: 'x' })).toMatchObject({ isError: true });
    await mcp.listTools();
    expect(seen.map(({ json: { method } }) => method).slice(3)).toEqual(['tools/call', 'tools/list']);
  });

  it('follows pages, leaves out what is no tool, and ends when a cursor repeats', async () => {
    const { client, seen } = await clientOf((s, response, count) =>
      rpcResult(s, response, {
        tools: [tool(`t${count}`), { name: 'no schema' }, null],
        nextCursor: count > 2 ? 'c2' : `c${count}`,
      }),
    );
    expect(names(await client.forUser('a').tools.all())).toEqual(['t1', 't2', 't3']);
    expect(seen.map(({ json: { params } }) => params.cursor)).toEqual([undefined, 'c1', 'c2']);
  });

  it('is filtered by name, ending, hint and anything else', async () => {
    const all = [tool('a__one', { annotations: { readOnlyHint: true } }), tool('a__two'), tool('b__one')];
    const { client } = await clientOf((s, response) => rpcResult(s, response, { tools: all }));
    const { tools } = client.forUser('u');
    expect(names(await tools.all({ include: ['a__*', 'b__one'], exclude: ['a__two'] }))).toEqual(['a__one', 'b__one']);
    expect(names(await tools.all({ readOnly: true }))).toEqual(['a__one']);
    expect(names(await tools.all({ where: ({ name }) => name.endsWith('two') }))).toEqual(['a__two']);
    expect(names(await tools.all({ include: [] }))).toEqual([]);
    await expect(tools.all({ include: 'a__one' as never })).rejects.toMatchObject({ name: 'ValidationError' });
  });

  it('comes as a stream of events as well', async () => {
    const { client } = await clientOf((s, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const answer = { jsonrpc: '2.0', id: s.json.id, result: { tools: [tool('streamed')] } };
      response.end(`event: message\ndata: ${JSON.stringify(answer)}\n\n`);
    });
    expect(names(await client.forUser('a').tools.all())).toEqual(['streamed']);
  });
});

it('asMcpClient passes options of both generations on', async () => {
  const { client } = await clientOf((s, response) => {
    if (s.json.method === 'tools/list') return rpcResult(s, response, { tools: [tool('x')] });
    if (!s.json.params._meta) return rpcResult(s, response, textResult('no progress asked'));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const params = { progressToken: s.json.params._meta.progressToken, progress: 7 };
    response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params })}\n\n`);
    response.end(`data: ${JSON.stringify({ jsonrpc: '2.0', id: s.json.id, result: textResult('ok') })}\n\n`);
  });
  const mcp = client.forUser('a').asMcpClient();
  const heard: number[] = [];
  const onprogress = ({ progress }: { progress: number }) => void heard.push(progress);
  const params = { name: 'x', arguments: {} };
  expect(await mcp.callTool(params, { onprogress })).toEqual({ content: [{ type: 'text', text: 'ok' }] });
  expect(await mcp.callTool(params, undefined, { onprogress })).toEqual({ content: [{ type: 'text', text: 'ok' }] });
  expect(heard).toEqual([7, 7]);
  await expect(mcp.callTool(params, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
  await mcp.close();
});

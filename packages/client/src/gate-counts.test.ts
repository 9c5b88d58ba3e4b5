// What counts against a limit at the server counts in front of it too: whichever policy an answer names, and whatever it is that was sent.
import { describe, expect, it } from 'vitest';
import type { MCPClient } from './index.ts';
import { clientOf, json, rpcResult, textResult } from './stand-in.test-support.ts';

const run = (client: MCPClient) => client.executeForUser('alice', 'echo', {});

describe('what counts at the server counts here', () => {
  it('is the user, also where an answer names the limit of a tool first', async () => {
    const { client, seen } = await clientOf((s, r) =>
      rpcResult(s, r, textResult('ok'), {
        'ratelimit-policy': '"lim_1";q=5;w=86400, "user";q=100;w=60',
        ratelimit: '"lim_1";r=0;t=40000, "user";r=7;t=30',
      }),
    );
    await run(client);
    expect(client.forUser('alice').limits()).toMatchObject({ policy: 'user', limit: 100, remaining: 7 });
    await run(client);
    expect(seen).toHaveLength(2);
  });

  it('is the policy that a refusal names, a tool’s too', async () => {
    const { client } = await clientOf((_, r) =>
      json(
        r,
        429,
        {},
        { 'retry-after': '90', ratelimit: '"lim_1";r=0;t=90', 'ratelimit-policy': '"lim_1";q=5;w=86400' },
      ),
    );
    await expect(run(client)).rejects.toMatchObject({ source: 'server', policy: 'lim_1' });
  });

  it('is the question for a promise of idempotency', async () => {
    const { client, seen } = await clientOf((s, r) =>
      s.json.method === 'ping'
        ? rpcResult(s, r, {}, { 'ratelimit-policy': '"user-lists";q=1000;w=60', ratelimit: '"user-lists";r=0;t=50' })
        : void r.writeHead(502).end(),
    );
    await run(client).catch(() => undefined);
    await expect(client.forUser('alice').tools.list()).rejects.toMatchObject({ source: 'local', policy: 'user-lists' });
    expect(seen.map(({ json: sent }) => sent.method)).toEqual(['tools/call', 'ping']);
    // It waits its turn too: with no room in sight nobody asks, and nothing is promised.
    await run(client).catch(() => undefined);
    expect(seen).toHaveLength(3);
  });

  it('is each message of a batch', async () => {
    const { client, seen, url } = await clientOf((_, r) => json(r, 200, []), {
      rateLimit: { mode: 'reject', quota: { limit: 3, windowMs: 60_000 } },
    });
    const call = (id: number) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'echo' } });
    const note = { jsonrpc: '2.0', method: 'notifications/initialized' };
    const post = (batch: unknown) =>
      client.forUser('alice').mcp.fetch(`${url}/mcp`, { method: 'POST', body: JSON.stringify(batch) });
    await post([call(1), note, call(2)]);
    await expect(post([call(3), call(4)])).rejects.toMatchObject({ source: 'local' });
    expect(seen).toHaveLength(1);
    // Lists have a quota of their own.
    await post([1, 2, 3].map((id) => ({ jsonrpc: '2.0', id, method: 'tools/list' })));
    expect(seen).toHaveLength(2);
  });
});

// What leaves the process: minted tokens instead of the key, to the user's own endpoint only, each tools/call under a key of its own.
import { inspect } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { MCPClient } from '../index.ts';
import { clientOf, json, reset, rpcResult, standIn, textResult } from '../stand-in.test-support.ts';
import { minting } from './minting.test-support.ts';

const call = (name = 'echo') => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: {} } }),
});

describe('a minted token', () => {
  it('is used instead of the key, once for all who ask at the same time', async () => {
    const { client, seen } = await clientOf(minting);
    const { mcp } = client.forUser('alice');
    const all = await Promise.all([mcp.headers(), mcp.authProvider.token(), client.forUser('alice').mcp.headers()]);
    expect(all).toEqual([{ authorization: 'Bearer token-1' }, 'token-1', { authorization: 'Bearer token-1' }]);
    expect(seen.map(({ path, json: body }) => [path, body])).toEqual([
      ['/api/tokens', { userId: 'alice', ttlSeconds: 900 }],
    ]);
  });

  it('is kept apart by user, server and credential', async () => {
    const { client, seen, url } = await clientOf(minting);
    await client.forUser('alice').mcp.headers();
    await client.forUser('bob').mcp.headers();
    await client.forUser('alice', { server: 's1' }).mcp.headers();
    await new MCPClient({ baseUrl: url, apiKey: 'another' }).forUser('alice').mcp.headers();
    let key = 'one';
    const turning = client.withOptions({ apiKey: () => key });
    await turning.forUser('alice').mcp.headers();
    key = 'two';
    await turning.forUser('alice').mcp.headers();
    await turning.forUser('alice').mcp.headers();
    expect(seen.map(({ json: { userId, servers }, headers }) => [userId, servers, headers.authorization])).toEqual([
      ['alice', undefined, 'Bearer k-canary'],
      ['bob', undefined, 'Bearer k-canary'],
      ['alice', ['s1'], 'Bearer k-canary'],
      ['alice', undefined, 'Bearer another'],
      ['alice', undefined, 'Bearer one'],
      ['alice', undefined, 'Bearer two'],
    ]);
  });

  it('is renewed after four fifths of its life', async () => {
    const { client, seen } = await clientOf(minting);
    const { mcp } = client.forUser('alice');
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      expect(await mcp.authProvider.token()).toBe('token-1');
      vi.advanceTimersByTime(719_000);
      expect(await mcp.authProvider.token()).toBe('token-1');
      vi.advanceTimersByTime(2000);
      expect(await mcp.authProvider.token()).toBe('token-2');
      expect(seen).toHaveLength(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it('lives on while a new one cannot be had, and not when the gateway refuses', async () => {
    let status = 201;
    const { client } = await clientOf(
      (seen, response, count) =>
        status === 201
          ? minting(seen, response, count)
          : json(response, status, { error: { code: 'x', message: 'x' } }),
      { maxRetries: 0 },
    );
    const { authProvider } = client.forUser('alice').mcp;
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      await authProvider.token();
      vi.advanceTimersByTime(800_000);
      status = 500;
      expect(await authProvider.token()).toBe('token-1');
      status = 403;
      await expect(authProvider.token()).rejects.toMatchObject({ name: 'PermissionError' });
      status = 500;
      vi.advanceTimersByTime(200_000);
      await expect(authProvider.token()).rejects.toMatchObject({ status: 500 });
    } finally {
      vi.useRealTimers();
    }
  });

  it('can be had by hand, with limits, and prints as a secret', async () => {
    const { client, seen } = await clientOf(minting);
    const token = await client.forUser('alice').token({ ttlSeconds: 60, maxCalls: 3 });
    expect(token.token).toBe('token-1');
    expect(inspect(token) + JSON.stringify(token)).not.toContain('token-1');
    expect(seen[0]?.json).toEqual({ userId: 'alice', ttlSeconds: 60, maxCalls: 3 });
  });

  it('is not handed out by a closed client, kept or not', async () => {
    const { client } = await clientOf(minting);
    const user = client.forUser('alice');
    await user.mcp.headers();
    await client.close();
    await expect(user.mcp.headers()).rejects.toMatchObject({ name: 'ConfigError' });
    await expect(user.tools.all()).rejects.toMatchObject({ name: 'ConfigError' });
  });

  it('gives way to the key only when it is asked for by name', async () => {
    const { client, seen } = await clientOf(minting);
    expect(await client.forUser('alice').mcp.headers({ use: 'key' })).toEqual({
      authorization: 'Bearer k-canary',
      'x-alloy-userid': 'alice',
      'x-valet-strict-user': 'true',
    });
    expect(seen).toEqual([]);
  });

  it('cannot be had with a tokenized URL', async () => {
    const user = new MCPClient({ accessUrl: 'https://mcp.example.com/mcp/s1/mcpv_url_secret' }).forUser('alice');
    await expect(user.mcp.headers()).rejects.toMatchObject({ name: 'ConfigError' });
    expect(inspect(user.mcp, { getters: false }) + JSON.stringify(user.mcp)).not.toContain('mcpv_url_secret');
  });
});

describe('mcp.fetch', () => {
  it('carries a call as the user, whatever the client says of itself', async () => {
    const { client, seen } = await clientOf(minting);
    const { mcp } = client.forUser('alice', { credentialId: 'c1' });
    const carried = call();
    const headers = {
      ...carried.headers,
      authorization: 'Bearer stolen',
      'X-Alloy-UserId': 'bob',
      'mcp-session-id': 's',
    };
    const answer = await mcp.fetch(new URL(mcp.url), { ...carried, headers });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ id: 1, result: { content: [{ text: carried.body }] } });
    expect(seen[0]?.headers).toMatchObject({
      authorization: 'Bearer k-canary',
      'x-alloy-userid': 'alice',
      'x-valet-strict-user': 'true',
      'x-credential-id': 'c1',
      'mcp-session-id': 's',
      'idempotency-key': expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    });
  });

  it('takes a Request as well', async () => {
    const { client, seen } = await clientOf(minting);
    const { mcp } = client.forUser('alice');
    await mcp.fetch(new Request(mcp.url, call('other')));
    expect(seen[0]?.json.params.name).toBe('other');
  });

  it.each([
    'https://evil.example/mcp',
    'http://127.0.0.1:1/mcp',
    '/api/users',
    '/mcp/other-server',
    '/mcp?x=1',
    '/mcp/../api/tokens',
    '/.well-known/oauth-protected-resource',
  ])('sends nothing to %s', async (path) => {
    const { client, seen, url } = await clientOf(minting);
    const { mcp } = client.forUser('alice');
    await expect(mcp.fetch(path.startsWith('http') ? path : url + path, call())).rejects.toMatchObject({
      name: 'ConfigError',
    });
    expect(seen).toEqual([]);
  });

  it('sends a refused call again, under the same key, and a lost one never', async () => {
    const { client, seen } = await clientOf((s, response, count) => {
      if (count === 1) return void response.writeHead(429, { 'retry-after-ms': '1' }).end();
      return count === 2 ? rpcResult(s, response, textResult('ok')) : reset(response);
    });
    const { mcp } = client.forUser('alice');
    expect((await mcp.fetch(mcp.url, call())).status).toBe(200);
    expect(seen[1]?.headers['idempotency-key']).toBe(seen[0]?.headers['idempotency-key']);
    // Another user, because the first one's calls wait for the limit that the 429 told of.
    await expect(client.forUser('bob').mcp.fetch(mcp.url, call())).rejects.toMatchObject({
      name: 'OutcomeUnknownError',
    });
    expect(seen.filter(({ json: body }) => body.method === 'tools/call')).toHaveLength(3);
  });

  it('sends a lost call again to a server that promises to honour its key', async () => {
    const promise = { 'valet-idempotency': 'ttl=86400, epoch="e1", durable' };
    const { client, seen } = await clientOf((s, response, count) =>
      count === 2 ? reset(response) : rpcResult(s, response, textResult('ok'), promise),
    );
    const { mcp } = client.forUser('alice');
    await mcp.fetch(mcp.url, call());
    expect((await mcp.fetch(mcp.url, call())).status).toBe(200);
    expect(seen).toHaveLength(3);
    expect(seen[2]?.headers['idempotency-key']).toBe(seen[1]?.headers['idempotency-key']);
  });

  it('hands refusals on as they came, for the client to understand', async () => {
    const { client } = await clientOf((_, response) =>
      json(response, 404, { jsonrpc: '2.0', id: 1, error: { code: -32001, message: 'Session not found' } }),
    );
    const { mcp } = client.forUser('alice');
    const answer = await mcp.fetch(mcp.url, call());
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ error: { code: -32001 } });
    const stream = await mcp.fetch(mcp.url, { method: 'GET', headers: { accept: 'text/event-stream' } });
    expect(stream.status).toBe(404);
  });

  it('streams, and ends the stream when the signal fires', async () => {
    let closed = false;
    const { client } = await clientOf((_, response) => {
      response.on('close', () => {
        closed = true;
      });
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: one\n\n');
    });
    const { mcp } = client.forUser('alice');
    const controller = new AbortController();
    const answer = await mcp.fetch(mcp.url, { ...call(), signal: controller.signal });
    const reader = answer.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('data: one\n\n');
    controller.abort();
    await expect(reader?.read()).rejects.toThrow();
    await expect.poll(() => closed).toBe(true);
  });
});

it('goes to the endpoint that the view says', async () => {
  const { url } = await standIn(minting);
  const client = new MCPClient({ baseUrl: `${url}/prefix`, apiKey: 'k', server: 's/1' });
  expect(client.forUser('a').mcp.url).toBe(`${url}/prefix/mcp/s%2F1`);
  expect(client.forUser('a', { server: 's2' }).mcp.url).toBe(`${url}/prefix/mcp/s2`);
});

// What the SDK does for end users, in front of a real gateway: calls with a user's own token, tools that ask, calls that are cancelled, typed
// tools, whole lists.
import { createHmac } from 'node:crypto';
import { AuthenticationError, ConfigError, MCPClient } from '@mcp-valet/client';
import { toolTypes } from '@mcp-valet/client/codegen';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type DirectGateway, startDirectGateway } from '../mcp/direct-gateway.ts';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';

let upstream: EverythingUpstream;
let direct: DirectGateway;
let server: string;
let secret: string;
let client: MCPClient;
let keyless: MCPClient;
let waiting = 0;
let cancelled = 0;

beforeAll(async () => {
  upstream = await startEverything({
    extend: (mcp) => {
      mcp.registerTool('test_json_text', { description: 'Answers JSON' }, () => ({
        content: [{ type: 'text', text: '{"n":7}' }],
      }));
      mcp.registerTool('wait', { description: 'Waits to be cancelled' }, async (ctx) => {
        waiting++;
        await new Promise((resolve) => ctx.mcpReq.signal.addEventListener('abort', resolve));
        cancelled++;
        return { content: [] };
      });
    },
  });
  direct = await startDirectGateway([{ id: 'everything', url: upstream.url }]);
  const { serverId } = await direct.publish({ connectors: ['everything'], prefix: 'none' });
  server = serverId;
  const baseUrl = direct.gateway.url;
  client = new MCPClient({ baseUrl, apiKey: direct.gateway.apiKey, server });
  keyless = new MCPClient({ baseUrl, server });
  for (const username of ['alice', 'bob']) await client.users.create({ username });
  const issuer = await direct.api<{ secret: string; issuerId: string }>('POST', '/api/issuers', {
    type: 'jwt',
    name: 'app',
    issuer: 'https://app.example.com',
    audience: ['mcp'],
    sharedSecret: true,
    userClaim: 'name',
  });
  ({ secret } = issuer);
}, 120_000);
afterAll(async () => {
  await direct?.close();
  await upstream?.close();
});

function tokenOf(name: string, more: object = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: 'https://app.example.com', aud: 'mcp', sub: name, name, iat, exp: iat + 900, ...more };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

describe.each(['alone', 'beside an API key'])('a user token %s', (how) => {
  const viewOf = (name: string) => (how === 'alone' ? keyless : client).forUser({ token: () => tokenOf(name) });

  it('is the user in calls, lists, MCP requests and tools for agents', async () => {
    const alice = viewOf('alice');
    expect((await alice.me()).effectiveUser?.username).toBe('alice');
    expect((await alice.execute('test_simple_text')).isError).toBe(false);
    expect((await alice.tools.all()).length).toBeGreaterThan(3);
    expect((await alice.resources.list()).items.length).toBeGreaterThan(0);
    expect((await alice.prompts.list()).items.length).toBeGreaterThan(0);
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'test_simple_text' } });
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    expect((await alice.mcp.fetch(alice.mcp.url, { method: 'POST', body, headers })).status).toBe(200);
    const named = { name: 'names', build: ({ tools }: { tools: readonly { name: string }[] }) => tools.length };
    expect(await alice.toolsFor(named)).toBeGreaterThan(3);
    const elsewhere = await fetch(alice.mcp.url, {
      method: 'POST',
      body,
      headers: { ...headers, ...(await alice.mcp.headers()) },
    });
    expect(elsewhere.status).toBe(200);
  });

  it('sees its own history and credentials, and nobody else’s', async () => {
    const [alice, bob] = [viewOf('alice'), viewOf('bob')];
    await bob.execute('test_simple_text');
    await client.credentials.deposit({
      userId: 'bob',
      connectorId: 'everything',
      authenticationType: 'api_key',
      fields: { k: 'v' },
    });
    const ofAlice = await alice.history().then((page) => page.toArray({ limit: 100 }));
    const ofBob = await bob.history().then((page) => page.toArray({ limit: 100 }));
    expect(new Set(ofAlice.map(({ username }) => username))).toEqual(new Set(['alice']));
    expect(new Set(ofBob.map(({ username }) => username))).toEqual(new Set(['bob']));
    expect((await alice.credentials.list()).items).toEqual([]);
    expect((await bob.credentials.list()).items.length).toBeGreaterThan(0);
    expect((await alice.secrets.list({ connector: 'everything' })).items).toEqual([]);
  });

  it('is refused when it is not good', async () => {
    const api = how === 'alone' ? keyless : client;
    const iat = Math.floor(Date.now() / 1000) - 10_000;
    const old = api.forUser({ token: tokenOf('alice', { iat, exp: iat + 60 }) });
    await expect(old.execute('test_simple_text')).rejects.toThrowError(AuthenticationError);
    await expect(old.history()).rejects.toThrowError(AuthenticationError);
  });
});

it('without key and token nothing can be called', async () => {
  await expect(keyless.executeForUser('alice', 'test_simple_text')).rejects.toThrowError(ConfigError);
});

describe('a tool that asks', () => {
  const tool = 'test_input_required_result_request_state';

  it('is answered through onInputRequired', async () => {
    const asked: string[] = [];
    const result = await client.forUser('alice').execute(
      tool,
      {},
      {
        onInputRequired: (requests) => {
          asked.push(...Object.values(requests).map(({ method }) => method));
          return Object.fromEntries(
            Object.keys(requests).map((name) => [name, { action: 'accept' as const, content: { ok: true } }]),
          );
        },
      },
    );
    expect(asked).toEqual(['elicitation/create']);
    expect(result.text()).toBe('state-ok');
  });

  it('hears that nobody can be asked when there is no handler, and says so', async () => {
    const result = await client.forUser('alice').execute(tool, {});
    expect(result).toMatchObject({ isError: true });
    expect(result.text()).toContain('elicitation');
    const strict = await client.forUser('alice').execute(tool, {}, { cancelOnAbort: true }).safe();
    expect(strict).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST', executed: 'no' } });
  });
});

it('cancelOnAbort stops the tool at its upstream; without it the tool runs on', async () => {
  const stop = async (cancelOnAbort: boolean) => {
    const controller = new AbortController();
    const before = waiting;
    const call = client.forUser('alice').execute('wait', {}, { signal: controller.signal, cancelOnAbort });
    const ended = expect(call).rejects.toMatchObject({ name: 'AbortError', executed: 'unknown' });
    await expect.poll(() => waiting, { timeout: 10_000 }).toBe(before + 1);
    controller.abort();
    await ended;
  };
  await stop(true);
  await expect.poll(() => cancelled, { timeout: 10_000 }).toBe(1);
  await stop(false);
  await client.forUser('alice').execute('test_simple_text');
  expect(cancelled).toBe(1);
});

it('a schema types the output of a tool', async () => {
  const alice = client.forUser('alice');
  const good = await alice.execute('test_json_text', {}, { output: z.object({ n: z.number() }) });
  expect(good.structuredContent?.n).toBe(7);
  const wrong = await alice.execute('test_json_text', {}, { output: z.object({ n: z.string() }) }).safe();
  expect(wrong).toMatchObject({ ok: false, error: { code: 'OUTPUT_MISMATCH', executed: 'yes' } });
  const text = await alice.execute('test_simple_text', {}, { output: z.unknown() }).safe();
  expect(text).toMatchObject({ ok: false, error: { code: 'NOT_JSON', executed: 'yes' } });
});

it('the types of a user’s tools are printed from what the gateway lists', async () => {
  const text = await toolTypes(client.forUser('alice'), { include: ['test_simple_text', 'wait'] });
  expect([...text.matchAll(/^ {4}(\w+): \{$/gm)].map(([, name]) => name)).toEqual(['test_simple_text', 'wait']);
  expect(text).toContain('/** Waits to be cancelled */');
});

it('whole lists come an entry at a time, longer than a page', async () => {
  for (let n = 0; n < 30; n++) await client.users.create({ username: `u-${n}` });
  const events: string[] = [];
  for await (const { action } of client.audit.export({ action: 'user.create' })) events.push(action);
  expect(events.length).toBe(32);
  const calls: (string | null)[] = [];
  for await (const { username } of client.calls.export({ userId: 'bob' })) calls.push(username);
  expect(new Set(calls)).toEqual(new Set(['bob']));
  const kinds = new Set<string>();
  for await (const { type } of client.users.exportHistory('bob')) kinds.add(type);
  expect(kinds).toContain('call');
});

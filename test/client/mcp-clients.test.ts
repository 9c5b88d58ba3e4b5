// The official MCP clients of both generations, connected through `user.connect` and carried by `user.mcp.fetch`, in both eras: two users at
// once, tools, resources, prompts, progress and cancellation. Each tools/call gets an idempotency key of its own.
import { MCPClient, type McpConnector, type UserClient } from '@mcp-valet/client';
import { mcpClient as clientV2, mcpClientWith as clientV2With } from '@mcp-valet/client/mcp';
import { mcpClient as clientV1, mcpClientWith as clientV1With } from '@mcp-valet/client/mcp-v1';
import { Client as OfficialV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';

interface Result {
  content: { type: string; text?: string }[];
}
/** What both generations have in common, as far as it is used here. */
interface AnyClient {
  listTools(): Promise<{ tools: { name: string }[] }>;
  listPrompts(): Promise<{ prompts: { name: string }[] }>;
  listResources(): Promise<{ resources: { uri: string }[] }>;
  getPrompt(params: { name: string; arguments?: Record<string, string> }): Promise<{ messages: unknown[] }>;
  readResource(params: { uri: string }): Promise<{ contents: { uri: string }[] }>;
  getNegotiatedProtocolVersion?(): string | undefined;
  close(): Promise<void>;
}

let rig: Rig;
let fixtures: Fixtures;
let everything: EverythingUpstream;
let client: MCPClient;
let cancelled = 0;
const sent: Request[] = [];

beforeAll(async () => {
  rig = await startRig({ env: { VALET_RATE_LIMIT: '1000000' } });
  fixtures = await addFixtures(rig);
  everything = await startEverything({
    extend: (server) => {
      server.registerTool('wait', { description: 'Reports once and waits to be cancelled' }, async (ctx) => {
        const progressToken = ctx.mcpReq._meta?.progressToken;
        if (progressToken !== undefined)
          await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
        await new Promise((resolve) => ctx.mcpReq.signal.addEventListener('abort', resolve));
        cancelled++;
        return { content: [] };
      });
    },
  });
  await rig.manage('POST', '/api/connectors', { connectorId: 'everything', kind: 'mcp-http', url: everything.url });
  const recording: typeof fetch = (input, init) => {
    const request = new Request(input, init);
    sent.push(request.clone());
    return fetch(request);
  };
  client = new MCPClient({ baseUrl: rig.url, apiKey: fixtures.home.enterprise, logLevel: 'off', fetch: recording });
});
afterAll(async () => {
  await rig?.close();
  await fixtures?.close();
  await everything?.close();
});

// Whoever can be asked back gets a session in the older era, and only in a session can a call be cancelled there.
const capabilities = { elicitation: { form: {} } };
const legacy = { versionNegotiation: { mode: 'legacy' } } as const;
const pinned = { versionNegotiation: { mode: { pin: '2026-07-28' } } } as const;
const kinds: [string, { plain: McpConnector<unknown>; asked: McpConnector<unknown>; isModern: boolean }][] = [
  ['v1', { plain: clientV1, asked: clientV1With({ capabilities }), isModern: false }],
  ['v2, handshake', { plain: clientV2With(legacy), asked: clientV2With({ ...legacy, capabilities }), isModern: false }],
  ['v2, as the server speaks', { plain: clientV2, asked: clientV2With({ capabilities }), isModern: true }],
  ['v2, 2026-07-28', { plain: clientV2With(pinned), asked: clientV2With({ ...pinned, capabilities }), isModern: true }],
];

async function connected<T>(user: UserClient, connector: McpConnector<unknown>, use: (c: AnyClient) => Promise<T>) {
  const made = (await user.connect(connector)) as AnyClient;
  try {
    return await use(made);
  } finally {
    await made.close();
  }
}

type Options = { signal?: AbortSignal; onprogress?: (progress: { progress: number }) => void };
function call(made: AnyClient, name: string, args: object, options: Options = {}): Promise<Result> {
  const params = { name, arguments: args };
  const v1 = made instanceof OfficialV1;
  const run = made as unknown as { callTool(...args: unknown[]): Promise<Result> };
  return v1 ? run.callTool(params, undefined, options) : run.callTool(params, options);
}

describe.each(kinds)('the official client %s', (kind, { plain, asked, isModern }) => {
  it('calls as two users at once, each call under a key of its own', async () => {
    const from = sent.length;
    const calls = 10;
    const run = ({ username }: { username: string }) =>
      connected(client.forUser(username), plain, async (made) => {
        expect(made.getNegotiatedProtocolVersion?.() === '2026-07-28').toBe(isModern);
        const { tools } = await made.listTools();
        expect(tools.map(({ name }) => name)).toContain('demo__count');
        for (let turn = 1; turn <= calls; turn++) {
          const { content } = await call(made, 'demo__count', { marker: `${kind}-${username}` });
          expect(content[0]?.text).toBe(String(turn));
        }
      });
    const { alice, bob } = fixtures.home;
    await Promise.all([run(alice), run(bob)]);
    for (const { username, canary } of [alice, bob]) {
      const own = fixtures.upstream.recorded.filter(({ body }) => body.includes(`"${kind}-${username}"`));
      expect(own.map(({ headers }) => headers.authorization)).toEqual(Array(calls).fill(`Bearer ${canary}`));
    }
    const bodies = await Promise.all(sent.slice(from).map(async (request) => [request, await request.text()] as const));
    const keys = bodies
      .filter(([, body]) => body.includes('"tools/call"'))
      .map(([{ headers }]) => headers.get('idempotency-key'));
    expect(keys).toHaveLength(2 * calls);
    expect(new Set(keys).size).toBe(2 * calls);
    expect(keys).not.toContain(null);
  });

  it('reads resources, gets prompts and hears of progress', async () => {
    await connected(client.forUser('alice'), plain, async (made) => {
      const { resources } = await made.listResources();
      expect(resources.map(({ uri }) => uri)).toContain('everything+test://static-text');
      const { contents } = await made.readResource({ uri: 'everything+test://static-text' });
      expect(contents.map(({ uri }) => uri)).toEqual(['everything+test://static-text']);
      const name = 'everything__test_prompt_with_arguments';
      expect((await made.listPrompts()).prompts.map((prompt) => prompt.name)).toContain(name);
      const prompt = await made.getPrompt({ name, arguments: { arg1: 'one', arg2: 'two' } });
      expect(JSON.stringify(prompt.messages)).toContain('one');
      const heard: number[] = [];
      const onprogress = ({ progress }: { progress: number }) => void heard.push(progress);
      await call(made, 'everything__test_tool_with_progress', {}, { onprogress });
      expect(heard).toEqual([0, 50, 100]);
    });
  });

  it('cancels a call down to the tool', async () => {
    const before = cancelled;
    await connected(client.forUser('alice'), asked, async (made) => {
      const controller = new AbortController();
      const onprogress = () => controller.abort();
      const running = call(made, 'everything__wait', {}, { signal: controller.signal, onprogress });
      await expect(running).rejects.toThrow();
      await expect.poll(() => cancelled).toBe(before + 1);
    });
  });
});

describe('the nouns of MCP', () => {
  it('list pages, read a resource and get a prompt, as the user', async () => {
    const user = client.forUser('alice');
    const names: string[] = [];
    for await (const tool of user.tools.list()) names.push(tool.name);
    expect(names).toContain('demo__whoami');
    expect((await user.tools.all({ include: ['demo__*'], exclude: ['demo__fail'] })).map(({ name }) => name)).toEqual(
      names.filter((name) => name.startsWith('demo__') && name !== 'demo__fail'),
    );
    expect((await user.resources.list()).items.map(({ uri }) => uri)).toContain('everything+test://static-text');
    expect((await user.resources.templates()).items.length).toBeGreaterThan(0);
    const { contents } = await user.resources.read('everything+test://static-text');
    expect(contents).toMatchObject([{ uri: 'everything+test://static-text', text: expect.any(String) as string }]);
    expect((await user.prompts.list()).items.map(({ name }) => name)).toContain('everything__test_simple_prompt');
    const prompt = await user.prompts.get('everything__test_prompt_with_arguments', { arg1: 'one', arg2: 'two' });
    expect(JSON.stringify(prompt.messages)).toContain('one');
  });

  it('refuse as the gateway refuses', async () => {
    const missing = client.forUser('alice').resources.read('everything+test://missing');
    await expect(missing).rejects.toMatchObject({ name: expect.stringMatching(/RpcError|NotFoundError/) as string });
    await expect(client.forUser('nobody').tools.all()).rejects.toMatchObject({ name: 'NotFoundError' });
  });
});

describe('a token of the user', () => {
  it('opens the endpoint to any client, as that user and with nothing else', async () => {
    const { alice } = fixtures.home;
    const user = client.forUser(alice.username);
    const { authorization } = await user.mcp.headers();
    const answer = await rig.rpc(
      new URL(user.mcp.url).pathname,
      { method: 'tools/call', params: { name: 'demo__whoami', arguments: { marker: 'by-token' } } },
      { headers: { authorization: authorization ?? '' } },
    );
    expect(answer.status).toBe(200);
    const [seen] = fixtures.upstream.recorded.filter(({ body }) => body.includes('by-token'));
    expect(seen?.headers.authorization).toBe(`Bearer ${alice.canary}`);
    const managed = await rig.send('/users', { headers: { authorization: authorization ?? '' } });
    expect(managed.status).toBeGreaterThanOrEqual(401);
  });
});

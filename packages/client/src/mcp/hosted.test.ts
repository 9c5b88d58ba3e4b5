// Settings for agents elsewhere: a token of one user, never the key, and nothing that a provider would misread or could not reach.
import { describe, expect, it } from 'vitest';
import { publicClient } from './minting.test-support.ts';

describe('hosted', () => {
  it('makes settings for OpenAI with a token of the user', async () => {
    const { client } = publicClient();
    const made = await client.forUser('alice').hosted('openai', { include: ['slack__*'], approval: 'writes' });
    expect(made).toEqual({
      type: 'mcp',
      server_label: 'mcp_valet',
      server_url: 'https://mcp.example.com/mcp',
      authorization: expect.stringMatching(/^token-/) as string,
      allowed_tools: ['slack__read', 'slack__post'],
      require_approval: { never: { read_only: true } },
    });
    expect((await client.forUser('alice').hosted('openai')).require_approval).toBe('always');
  });

  it('makes settings for Anthropic with a token of the user', async () => {
    const { client, requests } = publicClient();
    const made = await client
      .forUser('alice', { server: 's1' })
      .hosted('anthropic', { label: 'tools', ttlSeconds: 60 });
    expect(made).toEqual({
      mcp_servers: [
        { type: 'url', name: 'tools', url: 'https://mcp.example.com/mcp/s1', authorization_token: 'token-1' },
      ],
      tools: [{ type: 'mcp_toolset', mcp_server_name: 'tools' }],
      betas: ['mcp-client-2025-11-20'],
    });
    expect(await requests[0]?.json()).toEqual({ userId: 'alice', servers: ['s1'], ttlSeconds: 60 });
    const some = await client.forUser('alice').hosted('anthropic', { include: ['github__read'] });
    expect(some.tools[0]).toMatchObject({
      default_config: { enabled: false },
      configs: { github__read: { enabled: true } },
    });
  });

  it.each(['http://localhost:3000', 'https://127.0.0.1', 'https://[::1]:8443', 'http://mcp.example.com'])(
    'refuses %s, which a provider cannot reach or must not be given a token for',
    async (baseUrl) => {
      const { client, requests } = publicClient({ baseUrl, allowInsecureHttp: true });
      await expect(client.forUser('alice').hosted('openai')).rejects.toMatchObject({ name: 'ConfigError' });
      expect(requests).toEqual([]);
    },
  );

  it('refuses what a provider would silently leave out', async () => {
    const { client } = publicClient();
    const refused = [
      client.forUser('alice').hosted('anthropic', { approval: 'always' }),
      client.forUser('alice', { credentialId: 'c' }).hosted('openai'),
      client.forUser('alice').hosted('openai', { label: 'my label' }),
    ];
    for (const each of refused) await expect(each).rejects.toMatchObject({ name: 'ConfigError' });
  });
});

describe('config', () => {
  it('holds a token and never the key', async () => {
    const { client } = publicClient();
    const user = client.forUser('alice');
    const entry = { type: 'http', url: 'https://mcp.example.com/mcp', headers: { authorization: 'Bearer token-1' } };
    expect(await user.config('claude-agent')).toEqual({ mcp_valet: entry });
    expect(await user.config('mcp-json', { label: 'crm' })).toEqual({ mcpServers: { crm: entry } });
  });

  it('names the user, the gateway and the credential in the id by which Mastra keeps clients', async () => {
    const ids = new Set<string>();
    const first = publicClient().client;
    for (const user of ['alice', 'bob']) ids.add((await first.forUser(user).config('mastra')).id);
    ids.add((await first.forUser('alice', { server: 's1' }).config('mastra')).id);
    ids.add((await first.withOptions({ apiKey: 'other' }).forUser('alice').config('mastra')).id);
    ids.add((await publicClient({ baseUrl: 'https://b.example.com' }).client.forUser('alice').config('mastra')).id);
    expect(ids.size).toBe(5);
    expect((await first.forUser('alice').config('mastra')).id).toBe([...ids][0]);
    expect([...ids].join()).not.toContain('k-canary');
  });
});

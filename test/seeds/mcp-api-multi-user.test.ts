// Seed mcp-api-multi-user: its HTTP examples with and without `username`, two users with different secrets, and that deleting deletes.
// Checklist point 6.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, canary, type Json, type Rig, startRig } from '../support/gateway.ts';
import { example, exampleJson, sendHttp } from './example.ts';
import { type NamedUpstream, startNamedUpstream } from './named-upstream.ts';

const seed = (file: string) => `mcp-api-multi-user/${file}`;
/** How the text leaves the user out: "If the username parameter is omitted". */
const withoutUsername = { '  "username": "user123",\n': '' };

let rig: Rig;
let upstream: NamedUpstream;
let ownKey: string;
beforeAll(async () => {
  rig = await startRig();
  upstream = await startNamedUpstream({ 'mcp-github': ['create_issue', 'broken'], 'mcp-gitlab': ['create_issue'] });
  for (const connectorId of ['mcp-github', 'mcp-gitlab']) {
    await rig.manage('POST', '/api/connectors', { connectorId, kind: 'mcp-http', url: upstream.urlOf(connectorId) });
  }
  for (const username of ['user123', 'user456']) await rig.manage('POST', '/users', { username });
  ownKey = (await rig.manage('POST', '/users/user123/keys', { key_name: 'own' })).api_key;
});
afterAll(async () => {
  await rig?.close();
  await upstream?.close();
});
beforeEach(() => upstream.reset());

const run = async (file: string, replacements: Record<string, string> = {}, key = rig.admin): Promise<Answer> =>
  sendHttp(rig, await example(seed(file), replacements), key);
const args = async (): Promise<Json> => (await exampleJson(seed('tool-call-body.json'))).args;
const lastArguments = () => upstream.calls.at(-1)?.arguments;

describe.each([
  { who: 'with username', replacements: {}, owner: 'user123', key: () => rig.admin },
  { who: 'without username', replacements: withoutUsername, owner: 'default', key: () => rig.admin },
  {
    who: 'without username, by the user’s own key',
    replacements: withoutUsername,
    owner: 'user123',
    key: () => ownKey,
  },
])('the HTTP examples $who', ({ replacements, owner, key }) => {
  it('set, use, replace and really delete a secret', async () => {
    const secret = canary(owner);
    const set = await run('set-secret.http', { ...replacements, ghp_xxxxxxxxxxxx: secret }, key());
    expect(set).toMatchObject({ status: 200, body: { success: true, secret: { name: 'GITHUB_TOKEN' } } });
    expect(set.text).not.toContain(secret);

    const called = await run('tool-call.http', replacements, key());
    expect(called).toMatchObject({ status: 200, body: { success: true, data: { content: [{ type: 'text' }] } } });
    // The text's own rule: `args = { ...args, ...secrets[serverName] }`.
    expect(lastArguments()).toEqual({ ...(await args()), GITHUB_TOKEN: secret });
    expect(called.text).not.toContain(secret);

    const replaced = canary(`${owner}-second`);
    await run('set-secret.http', { ...replacements, ghp_xxxxxxxxxxxx: replaced }, key());
    await run('tool-call.http', replacements, key());
    expect(lastArguments()).toEqual({ ...(await args()), GITHUB_TOKEN: replaced });

    expect(await run('delete-secret.http', replacements, key())).toMatchObject({
      status: 200,
      body: { success: true },
    });
    await run('tool-call.http', replacements, key());
    expect(lastArguments()).toEqual(await args());
    const again = await run('delete-secret.http', replacements, key());
    expect(again).toMatchObject({ status: 404, body: { success: false, code: 'secret_not_found' } });
  });

  it('run as the user whom the text names', async () => {
    await run('tool-call.http', replacements, key());
    const { calls } = await rig.manage('GET', '/api/calls?limit=1');
    expect(calls[0]).toMatchObject({ username: owner, connectorId: 'mcp-github', tool: 'create_issue', outcome: 'ok' });
  });
});

describe('two users of one MCP server', () => {
  it('have different secrets, and neither sees the other’s', async () => {
    const [first, second] = [canary('user123'), canary('user456')];
    await run('set-secret.http', { ghp_xxxxxxxxxxxx: first });
    await run('set-secret.http', { user123: 'user456', ghp_xxxxxxxxxxxx: second });
    await run('tool-call.http');
    expect(lastArguments().GITHUB_TOKEN).toBe(first);
    await run('tool-call.http', { user123: 'user456' });
    expect(lastArguments().GITHUB_TOKEN).toBe(second);
    await run('delete-secret.http');
    await run('tool-call.http', { user123: 'user456' });
    expect(lastArguments().GITHUB_TOKEN).toBe(second);
  });

  it('manage their own secrets with their own keys, and nobody else’s', async () => {
    const foreign = await run('set-secret.http', { user123: 'user456' }, ownKey);
    expect(foreign).toMatchObject({ status: 403, body: { success: false } });
    expect(await run('tool-call.http', { user123: 'user456' }, ownKey)).toMatchObject({
      status: 403,
      body: { success: false },
    });
    expect(upstream.calls).toEqual([]);
  });
});

describe('what is not there', () => {
  const elsewhere = { 'mcp-github': 'mcp-nowhere' };

  it.each(['tool-call.http', 'set-secret.http', 'delete-secret.http'])(
    'is an error: %s for an unknown server',
    async (file) => {
      const answer = await run(file, elsewhere);
      expect(answer).toMatchObject({ status: 404, body: { success: false, code: 'server_not_found' } });
      expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'));
    },
  );

  it('is an error: an unknown tool', async () => {
    expect(await run('tool-call.http', { create_issue: 'no_such_tool' })).toMatchObject({
      status: 404,
      body: { success: false, code: 'tool_not_found' },
    });
  });

  it('is an error: an unknown user, who is not created on the way', async () => {
    for (const file of ['set-secret.http', 'tool-call.http']) {
      expect((await run(file, { user123: 'nobody-here' })).status, file).toBe(404);
    }
    expect((await rig.send('/users/nobody-here', { key: rig.admin })).status).toBe(404);
  });

  it('is an error: a key', async () => {
    for (const file of ['tool-call.http', 'set-secret.http', 'delete-secret.http']) {
      expect((await run(file, {}, 'not-a-key')).status, file).toBe(401);
    }
  });
});

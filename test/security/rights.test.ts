// Rights per user and group on a running gateway: what they take away is gone from every list and refused in every call, at once; what a group
// lends is its members' and nobody else's.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import {
  type Answer,
  addFixtures,
  canary,
  demoConnector,
  type Fixtures,
  type Json,
  type Rig,
  startRig,
} from '../support/gateway.ts';
import { noLimits } from './support/world.ts';

describe.each(testDatabases())('rights on $kind', ({ open }) => {
  let rig: Rig;
  let stage: Fixtures;
  let direct: string;
  let count = 0;

  const call = (username: string, serverName = 'demo', methodName = 'whoami', headers: Record<string, string> = {}) =>
    rig.send('/mcp/tool/call', {
      key: stage.home.enterprise,
      headers,
      body: { username, serverName, methodName, args: {} },
    });
  const names = async (username: string, path = direct): Promise<string[]> => {
    const answer = await rig.rpc(path, { method: 'tools/list' }, as(username));
    return answer.body.result.tools.map(({ name }: Json) => name);
  };
  const as = (username: string) => ({ key: stage.home.enterprise, headers: { 'x-alloy-userid': username } });
  const person = async (): Promise<string> => {
    const username = `person${++count}`;
    await rig.manage('POST', '/users', { username });
    await rig.manage('POST', '/api/credentials', {
      userId: username,
      connectorId: 'demo',
      authenticationType: 'secrets',
      fields: { TOKEN: canary(username) },
    });
    return username;
  };
  const group = (body: object): Promise<Json> =>
    rig.manage('POST', '/api/groups', { name: `group ${++count}`, ...body });
  const code = ({ body }: Answer): string => (body.success === true ? 'ok' : body.code);

  beforeAll(async () => {
    rig = await startRig({ database: await open(), env: noLimits });
    stage = await addFixtures(rig);
    const server = await rig.manage('POST', '/api/servers', { name: 'direct', mode: 'direct', connectors: ['demo'] });
    direct = `/mcp/${server.serverId}`;
  });
  afterAll(async () => {
    await rig?.close();
    await stage?.close();
  });

  it('go down to actions per user, in lists and calls alike, and mcp-access leaves them alone', async () => {
    const username = await person();
    const access = await rig.manage('PUT', `/users/${username}/mcp-access`, { allowed_mcps: ['demo'] });
    expect(access).toMatchObject({ mcp_allowed: ['demo'] });
    const rules = { blocked: [], permissions: [{ connector: 'demo', mode: 'block', actions: ['wh*'] }] };
    const set = await rig.manage('PUT', `/api/users/${username}/access`, rules);
    expect(set).toMatchObject({ username, allowed: [], permissions: rules.permissions, groupIds: [] });
    expect(await names(username)).not.toContain('demo__whoami');
    expect(await names(username)).toContain('demo__echo');
    expect((await call(username)).body).toMatchObject({
      code: 'not_allowed',
      error: 'Action whoami is not allowed for connector demo',
    });
    expect(code(await call(username, 'demo', 'echo'))).toBe('ok');
    await rig.manage('PUT', `/users/${username}/mcp-access`, { allowed_mcps: ['demo'] });
    expect(code(await call(username))).toBe('not_allowed');
    expect(await rig.manage('GET', `/api/users/${username}/access`)).toMatchObject({
      allowed: ['demo'],
      permissions: rules.permissions,
    });
  });

  it('of a group bind its members from the moment they are in until they are out', async () => {
    const username = await person();
    const made = await group({ access: { permissions: [{ connector: 'demo', mode: 'allow', actions: ['echo'] }] } });
    expect(made).toMatchObject({ members: 0, access: { allowed: [], blocked: [] } });
    expect(code(await call(username))).toBe('ok');
    const joined = await rig.manage('PUT', `/api/groups/${made.groupId}/members/${username}`);
    expect(joined).toMatchObject({ groupId: made.groupId, username });
    expect(await names(username)).toEqual(['demo__echo']);
    expect(code(await call(username))).toBe('not_allowed');
    await rig.manage('PATCH', `/api/groups/${made.groupId}`, { access: { blocked: ['demo'] } });
    expect(await names(username)).toEqual([]);
    expect((await call(username, 'demo', 'echo')).body.error).toBe('Connector demo is not allowed');
    await rig.manage('DELETE', `/api/groups/${made.groupId}/members/${username}`);
    expect(code(await call(username))).toBe('ok');
    const again = await rig.send(`/api/groups/${made.groupId}/members/${username}`, {
      method: 'DELETE',
      key: rig.admin,
    });
    expect(again.status).toBe(404);
  });

  it('of several groups add up what they allow, and what one blocks stays blocked', async () => {
    const username = await person();
    const allow = (action: string) => ({ permissions: [{ connector: 'demo', mode: 'allow', actions: [action] }] });
    await group({ access: allow('whoami'), userIds: [username] });
    await group({ access: allow('echo'), userIds: [username, username] });
    expect(await names(username)).toEqual(['demo__echo', 'demo__whoami']);
    await group({
      access: { permissions: [{ connector: 'demo', mode: 'block', actions: ['echo'] }] },
      userIds: [username],
    });
    expect(await names(username)).toEqual(['demo__whoami']);
    const { groups, total } = await rig.manage('GET', `/api/groups?userId=${username}`);
    expect([groups.length, total]).toEqual([3, 3]);
  });

  it('are the account’s own: groups of another one are not found, and its users are unknown', async () => {
    const { groupId } = await group({});
    for (const [method, path, body] of [
      ['GET', `/api/groups/${groupId}`],
      ['PATCH', `/api/groups/${groupId}`, { name: 'mine' }],
      ['DELETE', `/api/groups/${groupId}`],
      ['GET', `/api/groups/${groupId}/members`],
      ['PUT', `/api/groups/${groupId}/members/alice`],
    ] as const) {
      const answer = await rig.send(path, { method, key: stage.other.admin, ...(body && { body }) });
      expect([method, path, answer.status]).toEqual([method, path, 404]);
    }
    const foreign = { name: 'theirs', userIds: [stage.other.alice.userId] };
    expect((await rig.send('/api/groups', { key: rig.admin, body: foreign })).body.error.code).toBe('USER_NOT_FOUND');
    expect((await rig.manage('GET', '/api/groups')).groups.map(({ name }: Json) => name)).not.toContain('theirs');
  });

  describe('a credential shared with a group', () => {
    let lent: string;
    let groupId: string;
    let member: string;
    let outsider: string;
    const lastToken = () => stage.upstream.recorded.at(-1)?.headers['authorization'];

    beforeAll(async () => {
      await rig.manage('POST', '/api/connectors', { ...demoConnector(stage.upstream.url, 'team'), allowShared: true });
      member = await person();
      outsider = await person();
      groupId = (await group({ userIds: [member] })).groupId;
      lent = canary('lent');
      const shared = await rig.manage('POST', '/api/credentials', {
        userId: 'alice',
        connectorId: 'team',
        credentialId: 'of-the-group',
        authenticationType: 'secrets',
        fields: { TOKEN: lent },
        shared: true,
        groupIds: [groupId],
      });
      expect(shared).toMatchObject({ shared: true, groupIds: [groupId] });
    });

    it('serves members and nobody else, by choice or by name', async () => {
      expect(code(await call(member, 'team'))).toBe('ok');
      expect(lastToken()).toBe(`Bearer ${lent}`);
      expect(code(await call(outsider, 'team'))).toBe('credentials_required');
      expect(code(await call(outsider, 'team', 'whoami', { 'x-credential-id': 'of-the-group' }))).toBe(
        'credentials_required',
      );
    });

    it('comes before what the whole account shares, which serves the others', async () => {
      const everybodys = canary('everybodys');
      await rig.manage('POST', '/api/credentials', {
        userId: 'bob',
        connectorId: 'team',
        credentialId: 'of-the-account',
        authenticationType: 'secrets',
        fields: { TOKEN: everybodys },
        shared: true,
      });
      await call(member, 'team');
      expect(lastToken()).toBe(`Bearer ${lent}`);
      await call(outsider, 'team');
      expect(lastToken()).toBe(`Bearer ${everybodys}`);
      await rig.manage('DELETE', '/api/credentials/of-the-account');
    });

    it('is out of a removed member’s reach at once, and of a deleted group’s members for good', async () => {
      await rig.manage('DELETE', `/api/groups/${groupId}/members/${member}`);
      expect(code(await call(member, 'team'))).toBe('credentials_required');
      await rig.manage('PUT', `/api/groups/${groupId}/members/${member}`);
      expect(code(await call(member, 'team'))).toBe('ok');
      await rig.manage('DELETE', `/api/groups/${groupId}`);
      for (const username of [member, outsider])
        expect(code(await call(username, 'team'))).toBe('credentials_required');
      // Still lent to groups, of which none is left: never to the account.
      expect(await rig.manage('GET', '/api/credentials/of-the-group')).toMatchObject({ shared: true, groupIds: [] });
      await rig.manage('PATCH', '/api/credentials/of-the-group', { shared: true });
      expect(code(await call(outsider, 'team'))).toBe('credentials_required');
    });

    it('is shared by management keys only, with groups that are there', async () => {
      const send = (body: object, key: string) =>
        rig.send('/api/credentials', {
          key,
          body: { connectorId: 'team', authenticationType: 'secrets', fields: { TOKEN: 'x' }, ...body },
        });
      const { groupId: own } = await group({});
      const { groupId: foreign } = await rig.manage('POST', '/api/groups', { name: 'g' }, stage.other.admin);
      expect((await send({ shared: true, groupIds: [own] }, stage.home.bob.key)).status).toBe(403);
      expect((await send({ groupIds: [own] }, stage.home.bob.key)).status).toBe(400);
      for (const groupIds of [[foreign], [own, 'grp_0123456789']])
        expect((await send({ shared: true, groupIds }, rig.admin)).status).toBe(404);
      expect((await send({ shared: true, groupIds: [] }, rig.admin)).status).toBe(400);
      expect((await send({ groupIds: [own] }, rig.admin)).status).toBe(400);
    });
  });

  describe('scopes that a tool demands', () => {
    let guarded: string;
    let token: (scopes: string[]) => Promise<string>;
    const text = async (path: string, key: string, name: string, args: object = {}) =>
      rig.rpc(path, { method: 'tools/call', params: { name, arguments: args } }, { key });

    const refusal = (result: Json): Json => (result.isError ? JSON.parse(result.content[0].text) : null);

    beforeAll(async () => {
      await rig.manage('POST', '/api/connectors', {
        ...demoConnector(stage.upstream.url, 'guarded'),
        requires: [{ actions: ['who*'], scopes: ['people:read'] }],
      });
      await rig.manage('POST', '/api/credentials', {
        userId: 'alice',
        connectorId: 'guarded',
        authenticationType: 'secrets',
        fields: { TOKEN: canary('guarded') },
      });
      const server = await rig.manage('POST', '/api/servers', {
        name: 'guarded',
        mode: 'direct',
        connectors: ['guarded'],
        requires: [{ actions: ['echo'], scopes: ['texts:write'], message: 'Echo is for writers' }],
      });
      expect(server.requires).toHaveLength(1);
      guarded = `/mcp/${server.serverId}`;
      token = async (scopes) => (await rig.manage('POST', '/api/tokens', { userId: 'alice', scopes })).token;
    });

    it('hide it from who lacks them, and name what is missing in a 403', async () => {
      const key = await token(['texts:write']);
      const list = await rig.rpc(guarded, { method: 'tools/list' }, { key });
      const listed = list.body.result.tools.map(({ name }: Json) => name);
      expect(listed).toContain('guarded__echo');
      expect(listed).not.toContain('guarded__whoami');
      // A delegated token cannot be stepped up by its bearer: it reads so as any refusal of a tool. User tokens are challenged by HTTP 403.
      const { result } = (await text(guarded, key, 'guarded__whoami')).body;
      expect(refusal(result)).toEqual({
        error: 'Action whoami of connector guarded needs the scope people:read',
        code: 'INSUFFICIENT_SCOPE',
      });
      expect(result._meta['mcp-valet/error']).toMatchObject({
        executed: 'no',
        requiredScopes: ['people:read'],
        missingScopes: ['people:read'],
      });
      const directly = await rig.send('/mcp/tool/call', {
        key,
        body: { serverName: 'guarded', methodName: 'whoami', args: {} },
      });
      expect([directly.status, directly.body.code]).toEqual([403, 'insufficient_scope']);
      expect((await text(guarded, key, 'guarded__echo', { text: 'hi' })).body.result.isError).toBeFalsy();
      expect(stage.upstream.recorded.some(({ text }: Json) => String(text).includes('guarded__whoami'))).toBe(false);
    });

    it('open it to who holds them, and the server’s own words say what it wants', async () => {
      const key = await token(['people:*']);
      expect((await text(guarded, key, 'guarded__whoami')).body.result.isError).toBeFalsy();
      expect(refusal((await text(guarded, key, 'guarded__echo')).body.result).error).toBe('Echo is for writers');
    });

    it('are held by no key that was given none: an enterprise key is not above them', async () => {
      const answer = await call('alice', 'guarded');
      expect([answer.status, answer.body.code]).toEqual([403, 'insufficient_scope']);
    });

    it('change at once, and belong to their connector', async () => {
      const key = await token([]);
      await rig.manage('PUT', '/api/connectors/guarded', { requires: null });
      expect((await text(guarded, key, 'guarded__whoami')).body.result.isError).toBeFalsy();
      const shown = await rig.manage('PUT', '/api/connectors/guarded', {
        requires: [{ actions: ['*'], scopes: ['people:read'] }],
      });
      expect(shown.requires).toEqual([{ actions: ['*'], scopes: ['people:read'] }]);
      expect(refusal((await text(guarded, key, 'guarded__whoami')).body.result).code).toBe('INSUFFICIENT_SCOPE');
      const wrong = await rig.send('/api/connectors/guarded', {
        method: 'PUT',
        key: rig.admin,
        body: { requires: [{ connector: 'demo', actions: ['*'] }] },
      });
      expect(wrong.body.error.details.issues[0].path).toBe('requires.0.connector');
    });
  });
});

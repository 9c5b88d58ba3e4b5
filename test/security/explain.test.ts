// `explain` by example: every layer that can refuse is named with whose rule it is and which entry, the credential with why it is this one, and
// what is left of every limit. That it says what calls come to is shown by generated cases in test/unit.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addFixtures,
  canary,
  demoConnector,
  type Fixtures,
  type Json,
  type Rig,
  startRig,
} from '../support/gateway.ts';

describe('explain', () => {
  let rig: Rig;
  let stage: Fixtures;
  let direct: string;
  let count = 0;
  const ask = (question: Json, key = rig.admin): Promise<Json> =>
    rig.manage('POST', '/api/explain', { connectorId: 'demo', action: 'whoami', ...question }, key);
  const person = async (access?: Json): Promise<{ username: string; userId: string }> => {
    const username = `person${++count}`;
    const { user_id: userId } = await rig.manage('POST', '/users', { username });
    await rig.manage('POST', '/api/credentials', {
      userId,
      connectorId: 'demo',
      credentialId: `of-${username}`,
      authenticationType: 'secrets',
      fields: { TOKEN: canary(username) },
    });
    if (access !== undefined) await rig.manage('PUT', `/api/users/${username}/access`, access);
    return { username, userId };
  };

  beforeAll(async () => {
    rig = await startRig();
    stage = await addFixtures(rig);
    const made = await rig.manage('POST', '/api/servers', {
      name: 'guarded',
      mode: 'direct',
      restrictions: { actions: { mode: 'blocklist', blockedActions: ['demo.slow'] } },
      requires: [{ actions: ['add'], scopes: ['math'], claims: [{ claim: 'tier', oneOf: ['pro'] }] }],
    });
    direct = made.serverId;
  });
  afterAll(async () => {
    await rig?.close();
    await stage?.close();
  });

  it('says that a call would be executed, as whom, signed in with what, and what is left', async () => {
    const { username, userId } = await person();
    const said = await ask({ userId: username });
    expect(said).toMatchObject({
      outcome: 'execute',
      code: null,
      userId,
      username,
      serverId: null,
      connectorId: 'demo',
      action: 'whoami',
      decidedBy: { layer: 'arguments' },
      credential: { credentialId: `of-${username}`, chosenBy: 'default', ownerUserId: userId, status: 'valid' },
      limits: [{ policy: 'user', limit: 100, remaining: 100, window: 60 }],
      missingScopes: [],
    });
    expect(said.steps.map(({ layer }: Json) => layer)).toEqual([
      'caller',
      'limit',
      'server',
      'user',
      'group',
      'key',
      'requirement',
      'credential',
      'arguments',
    ]);
    expect((await ask({ userId: username, credentialId: `of-${username}` })).credential.chosenBy).toBe('argument');
  });

  it('names the server, the user, the group or the key whose entry refuses', async () => {
    const blocked = await person({ permissions: [{ connector: 'demo', mode: 'block', actions: ['who*'] }] });
    expect(await ask({ userId: blocked.userId })).toMatchObject({
      outcome: 'refuse',
      code: 'FORBIDDEN',
      message: 'Action whoami is not allowed for connector demo',
      reason: 'action_not_for_user',
      decidedBy: { layer: 'user', id: blocked.userId, rule: 'permissions: block demo who*' },
    });
    expect(await ask({ userId: blocked.userId, serverId: direct, action: 'slow' })).toMatchObject({
      decidedBy: { layer: 'server', id: direct, rule: 'actions.blockedActions: demo.slow' },
    });
    const member = await person();
    const { groupId } = await rig.manage('POST', '/api/groups', {
      name: 'blockers',
      access: { blocked: ['demo'] },
      userIds: [member.username],
    });
    expect(await ask({ userId: member.username })).toMatchObject({
      decidedBy: { layer: 'group', id: groupId, rule: 'blocked: demo' },
    });
    const { username } = await person();
    const permissions = [{ connector: 'demo', mode: 'allow', actions: ['echo'] }];
    const { tokenId } = await rig.manage('POST', '/api/tokens', { userId: username, permissions, servers: [direct] });
    expect(await ask({ keyId: tokenId, serverId: direct })).toMatchObject({
      username,
      reason: 'action_not_for_key',
      decidedBy: { layer: 'key', id: tokenId, rule: null },
    });
    expect(await ask({ keyId: tokenId, action: 'echo' })).toMatchObject({
      reason: 'server_not_for_key',
      decidedBy: { layer: 'key', id: tokenId, rule: 'servers' },
    });
  });

  it('names the scopes and the claim that a user token lacks', async () => {
    const { username } = await person();
    const question = { userId: username, serverId: direct, action: 'add', arguments: { a: 1, b: 2 } };
    expect(await ask(question)).toMatchObject({
      code: 'INSUFFICIENT_SCOPE',
      missingScopes: ['math'],
      decidedBy: { layer: 'requirement', id: direct, rule: 'requires: scope math' },
    });
    expect(await ask({ ...question, scopes: ['math'] })).toMatchObject({
      code: 'FORBIDDEN',
      reason: 'claim_missing',
      decidedBy: { layer: 'requirement', id: direct, rule: 'requires: claim tier' },
    });
    expect((await ask({ ...question, scopes: ['math'], claims: { tier: 'pro' } })).outcome).toBe('execute');
  });

  it('tells every limit of the call, and the one that is used up', async () => {
    const { username } = await person();
    const { limitId } = await rig.manage('POST', '/api/limits', {
      userId: username,
      connectorId: 'demo',
      max: 1,
      window: 'day',
    });
    const before = await ask({ userId: username });
    expect(before.limits).toContainEqual({ policy: limitId, limit: 1, remaining: 1, window: 'day' });
    expect(await ask({ userId: username })).toEqual(before);
    const body = { username, serverName: 'demo', methodName: 'whoami', args: {} };
    expect((await rig.send('/mcp/tool/call', { key: rig.admin, body })).body.success).toBe(true);
    expect(await ask({ userId: username })).toMatchObject({
      code: 'RATE_LIMITED',
      reason: `rate_limit:${limitId}`,
      decidedBy: { layer: 'limit', id: limitId },
    });
  });

  it('says why a credential is chosen, and that there is none', async () => {
    await rig.manage('POST', '/api/connectors', { ...demoConnector(stage.upstream.url, 'team'), allowShared: true });
    const { username } = await person();
    const { groupId } = await rig.manage('POST', '/api/groups', { name: 'borrowers', userIds: [username] });
    expect(await ask({ userId: username, connectorId: 'team' })).toMatchObject({
      code: 'CREDENTIALS_REQUIRED',
      credential: null,
      decidedBy: { layer: 'credential' },
    });
    const lend = (credentialId: string, more: Json) =>
      rig.manage('POST', '/api/credentials', {
        userId: 'alice',
        connectorId: 'team',
        credentialId,
        authenticationType: 'secrets',
        fields: { TOKEN: canary('lent') },
        shared: true,
        ...more,
      });
    await lend('everybodys', {});
    expect((await ask({ userId: username, connectorId: 'team' })).credential).toMatchObject({
      credentialId: 'everybodys',
      chosenBy: 'shared',
      ownerUserId: stage.home.alice.userId,
    });
    await lend('the-groups', { groupIds: [groupId] });
    expect((await ask({ userId: username, connectorId: 'team' })).credential).toMatchObject({
      credentialId: 'the-groups',
      chosenBy: 'group',
    });
  });

  it('checks arguments as the call would, and knows the tools that were listed', async () => {
    await rig.manage('POST', '/api/connectors', {
      connectorId: 'shop',
      kind: 'http',
      baseUrl: 'http://127.0.0.1:9',
      openapi: {
        openapi: '3.0.3',
        info: { title: 'Shop', version: '1' },
        paths: {
          '/items/{id}': {
            get: {
              operationId: 'getItem',
              parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer' } }],
              responses: { 200: { description: 'ok' } },
            },
          },
        },
      },
    });
    const question = { connectorId: 'shop', action: 'getItem' };
    expect(await ask({ ...question, arguments: { id: 'seven' } })).toMatchObject({
      code: 'UNPROCESSABLE',
      reason: 'invalid_parameters',
      decidedBy: { layer: 'arguments' },
    });
    expect((await ask({ ...question, arguments: { id: 7 } })).outcome).toBe('execute');
    expect(await ask({ connectorId: 'shop', action: 'nosuch' })).toMatchObject({
      code: 'NOT_FOUND',
      message: 'Action not found',
    });
    await rig.manage('GET', '/api/connectors/demo/actions?userId=alice');
    expect(await ask({ userId: 'alice', action: 'nosuch' })).toMatchObject({ message: 'Action not found' });
  });

  it('answers what is missing or foreign as the call would, and a key that is not there with 404', async () => {
    for (const userId of ['nobody', stage.other.alice.userId])
      expect(await ask({ userId })).toMatchObject({
        outcome: 'refuse',
        code: 'USER_NOT_FOUND',
        decidedBy: { layer: 'caller' },
      });
    for (const serverId of ['nowhere-00000000', stage.other.server.serverId])
      expect(await ask({ serverId })).toMatchObject({ code: 'NOT_FOUND', message: 'Server not found' });
    expect(await ask({ connectorId: 'nowhere' })).toMatchObject({
      message: 'Connector not found',
      decidedBy: { layer: 'connector' },
    });
    expect(await ask({ keyId: stage.home.alice.keyId, userId: 'bob' })).toMatchObject({
      reason: 'override_not_allowed',
    });
    for (const keyId of ['key_nothing', stage.other.alice.keyId]) {
      const answer = await rig.send('/api/explain', {
        key: rig.admin,
        body: { keyId, connectorId: 'demo', action: 'x' },
      });
      expect([answer.status, answer.body.error.code]).toEqual([404, 'NOT_FOUND']);
    }
  });

  it('asks by a draft of the server’s rules, which opens nothing that other rules close', async () => {
    const blocked = await person({ permissions: [{ connector: 'demo', mode: 'block', actions: ['who*'] }] });
    const { username } = await person();
    const { serverId } = await rig.manage('POST', '/api/servers', {
      name: 'drafted',
      connectors: ['demo'],
      restrictions: { actions: { mode: 'allowlist', allowedActions: ['echo'] } },
    });
    const open = { restrictions: null };
    const everything = { permissions: [{ connector: 'demo', mode: 'allow', actions: ['*'] }] };
    expect(await ask({ userId: username, serverId })).toMatchObject({ code: 'FORBIDDEN', isDraft: false });
    expect(await ask({ userId: username, serverId, draft: open })).toMatchObject({ outcome: 'execute', isDraft: true });
    const refusals: [string, Json, Json][] = [
      ['the user’s own rules', { userId: blocked.username }, { decidedBy: { layer: 'user' } }],
      ['a connector that the server was not given', { connectorId: 'team' }, { decidedBy: { layer: 'connector' } }],
      ['a user of another account', { userId: stage.other.alice.userId }, { code: 'USER_NOT_FOUND', userId: null }],
      ['a connector of nobody', { connectorId: 'nowhere' }, { message: 'Connector not found' }],
    ];
    for (const [what, question, answer] of refusals)
      for (const draft of [open, { restrictions: everything }]) {
        const said = await ask({ userId: username, serverId, ...question, draft });
        expect([what, said]).toMatchObject([what, { outcome: 'refuse', ...answer }]);
      }
  });

  it('takes a draft that could be saved, by whoever may save it, and no other', async () => {
    const { serverId } = stage.home.server;
    const body = { serverId, connectorId: 'demo', action: 'whoami' };
    const mode = { users: { mode: 'sometimes' } };
    const saving = await rig.send(`/api/servers/${serverId}`, {
      method: 'PUT',
      key: rig.admin,
      body: { restrictions: mode },
    });
    expect(saving.status).toBe(400);
    for (const path of ['/api/explain', '/api/explain/many']) {
      const many = { serverId, questions: [{ connectorId: 'demo', action: 'whoami' }] };
      const question = path === '/api/explain' ? body : many;
      const send = (draft: Json, key = rig.admin) => rig.send(path, { key, body: { ...question, draft } });
      const invalid = await send({ restrictions: mode });
      expect([invalid.status, invalid.body.error.details.issues[0].path]).toEqual([
        400,
        `draft.${saving.body.error.details.issues[0].path}`,
      ]);
      const keyOf = async (narrowing: Json): Promise<string> => {
        const made = { key_name: `n${++count}`, kind: 'enterprise', ...narrowing };
        return (await rig.manage('POST', `/users/${(await person()).username}/keys`, made)).api_key;
      };
      const draft = { restrictions: null };
      const reader = await send(draft, await keyOf({ scopes: ['policy:read', 'servers:read'] }));
      expect(reader.body.error).toMatchObject({
        code: 'INSUFFICIENT_SCOPE',
        details: { requiredScopes: ['servers:write'] },
      });
      expect((await send(draft, await keyOf({ scopes: ['policy:read', 'servers:write'] }))).status).toBe(200);
      expect((await send(draft, await keyOf({ allowed_users: ['alice'] }))).status).toBe(403);
    }
  });

  it('is for whoever manages the account: a user’s own key asks nothing', async () => {
    const body = { connectorId: 'demo', action: 'whoami' };
    expect((await rig.send('/api/explain', { key: stage.home.alice.key, body })).status).toBe(403);
    expect((await ask({ userId: 'alice' }, stage.home.enterprise)).username).toBe('alice');
  });
});
